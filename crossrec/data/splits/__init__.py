"""Splits of a log into training clicks, validation queries and test queries."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

SPLITS = Family(
    "split",
    {
        "leave_one_out": "crossrec.data.splits.leave_one_out:LeaveOneOutSplitter",
        "temporal": "crossrec.data.splits.temporal:TemporalSplitter",
    },
)
SplitOptions = Annotated[ComponentOptions, SPLITS]
