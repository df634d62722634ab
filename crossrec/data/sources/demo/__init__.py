"""The embedded default data set: a generated storefront, not real shoppers."""

from crossrec.data.sources.demo.config import DemoConfig

__all__ = ["DemoConfig"]
