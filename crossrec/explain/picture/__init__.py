"""Where on the scored item's picture there is what raises its score."""
