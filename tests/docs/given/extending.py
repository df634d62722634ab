"""A folder, and the page itself as the module ``my_shop``."""

import sys
import tempfile
import types
from pathlib import Path

__name__ = "my_shop"
page = globals()
shop = Path(tempfile.mkdtemp(dir="."))


class _Page(types.ModuleType):
    def __getattr__(self, name: str) -> object:
        try:
            return page[name]
        except KeyError as error:
            raise AttributeError(name) from error


sys.modules["my_shop"] = _Page("my_shop")
