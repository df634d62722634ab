"""Two small tables."""

import polars as pl

import crossrec as cr  # noqa: F401

items = pl.DataFrame({"item_id": [f"i{item}" for item in range(40)]})
clicks = pl.DataFrame(
    [
        (f"u{user}", f"i{(3 * user + step) % 40}", 1_700_000_000 + 86_400 * step + user)
        for user in range(40)
        for step in range(4 + user % 5)
    ],
    schema=["user_id", "item_id", "timestamp"],
    orient="row",
)
