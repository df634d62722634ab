"""The server: a recommender over HTTP, with a page to try it on."""
