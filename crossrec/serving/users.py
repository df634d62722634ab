"""The users of a log: their histories by original id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from crossrec.serving.items import near
from crossrec.types import InputError, Sequences

if TYPE_CHECKING:
    from crossrec.data.interactions import ClickLog


class Users:
    """Users and all their clicks, those of the validation and test parts included.

    Args:
        clicks: one row a user; None where the log is not there.
    """

    def __init__(self, clicks: ClickLog | None) -> None:
        self.clicks = clicks

    @cached_property
    def ids(self) -> list[str]:
        """U original ids; empty without a log."""
        return [] if self.clicks is None else [str(user_id) for user_id in self.clicks.user_ids]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {user_id: row for row, user_id in enumerate(self.ids)}

    def histories(self, user_ids: Sequence[str]) -> Sequences:
        """All clicks of some users, oldest first, with their times.

        Raises:
            InputError: a user is not in the log, or there is none.
        """
        if self.clicks is None:
            raise InputError("this recommender came without its users' log: give a history")
        rows = []
        for user_id in user_ids:
            if str(user_id) not in self._rows:
                raise InputError(f"user '{user_id}' is not in the log{near(str(user_id), self.ids)}")
            rows.append(self._rows[str(user_id)])
        return self.clicks.sequences.take(np.asarray(rows, dtype=np.int64))
