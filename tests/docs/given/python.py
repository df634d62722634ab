"""Two frames and a folder of images: shoppers who stay with a kind of item, which its color shows."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

_random = np.random.default_rng(0)
_kinds = ["red mug", "blue lamp", "green chair"]
_colors = [(200, 40, 40), (40, 40, 200), (40, 160, 40)]
Path("photos").mkdir(exist_ok=True)
_rows = []
for _item in range(60):
    _kind = _item % 3
    Image.new("RGB", (32, 32), _colors[_kind]).save(f"photos/i{_item}.png")
    _rows.append(
        (f"i{_item}", f"{_kinds[_kind]} {_item}", f"A {_kinds[_kind]}.", _kinds[_kind], 10.0 + _item)
    )
items = pd.DataFrame(_rows, columns=["item_id", "title", "text", "categories", "price"])
_clicks = []
for _user in range(80):
    _own, _start = int(_random.integers(3)), 1_700_000_000 + int(_random.integers(10**6))
    for _step, _number in enumerate(_random.permutation(20)[: int(_random.integers(6, 12))]):
        _clicks.append((f"u{_user}", f"i{3 * int(_number) + _own}", _start + 86_400 * _step))
clicks = pd.DataFrame(_clicks, columns=["user_id", "item_id", "timestamp"])
_seen = {user: {*group} for user, group in clicks.groupby("user_id")["item_id"]}
_new = {user: [item for item in items["item_id"] if item not in seen][:10] for user, seen in _seen.items()}
lists = pd.DataFrame(
    [(user, item, rank) for user, new in _new.items() for rank, item in enumerate(new, 1)],
    columns=["user_id", "item_id", "rank"],
)
