"""Overrides as mappings, with dotted keys for short, laid on one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossrec.ablation.grid.search_config import Choices
from crossrec.config import merge


def nested(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested mappings; where both say the same key, the nested one counts.

    ``{"trainer.lr": 0.1, "model": {"width": 32}}`` gives
    ``{"trainer": {"lr": 0.1}, "model": {"width": 32}}``.
    """
    result: dict[str, Any] = {}
    plain = {key: value for key, value in overrides.items() if "." not in key}
    for key, value in overrides.items():
        if "." in key:
            for part in reversed(key.split(".")):
                value = {part: value}
            result = _laid(result, value)
    return _laid(result, plain)


def _laid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Key by key, for all are said together: here a ``type`` throws no key beside it away."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _laid(old, value) if both else value  # type: ignore[arg-type]
    return result


def lay(base: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lays overrides on a configuration, one after the other; a changed ``type`` starts from its defaults."""
    result = dict(base)
    for layer in layers:
        result = merge(result, nested(layer))
    return result


def named_choices(axis: str, values: Choices) -> dict[str, dict[str, Any]]:
    """The values of an axis by name: name -> overrides."""
    if isinstance(values, Mapping):
        return dict(values)
    return {label_of(value): {axis: value} for value in values}


def label_of(value: Any) -> str:
    """A value as names show it: text as it is, all else as YAML or Python would write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return str(value.get("type", "-".join(f"{key}-{label_of(inner)}" for key, inner in value.items())))
    if isinstance(value, (list, tuple)):
        return "-".join(label_of(inner) for inner in value) or "none"
    return str(value)
