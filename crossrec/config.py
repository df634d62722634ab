"""Configuration: frozen pydantic models read from one YAML file, with dotted overrides.

A component's config class stands beside the component. Families (encoders, fusions, …) are told
apart by their ``type`` key; :class:`Family` marks the union. A class outside the project is named
as ``type: my_package.module:MyConfig``, which imports that module: what is read from a folder that may come
from somebody else is read without trust (:func:`trusting`), so that naming a class is refused there.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, core_schema

from crossrec.types import InputError

ConfigT = TypeVar("ConfigT", bound="Config")

Trust = bool | Collection[str]
"""Which classes outside the project may be imported: all, none, or those of these names."""

_trust: ContextVar[Trust] = ContextVar("trust", default=True)


class ConfigError(InputError):
    """A configuration that can't be used; the message names the file, the key and the way out."""


class Config(BaseModel):
    """Base of every configuration: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_keys(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}'; {_nearest(str(key), list(cls.model_fields))}")
        return value


class Family:
    """Marks a union of configs that are told apart by ``type``; the union is the family's registry.

    ``FusionConfig = Annotated[ConcatConfig | GatedConfig, Family()]``: each member has a field
    ``type: Literal["name"] = "name"``.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        members = {m.model_fields["type"].default: m for m in get_args(source) or (source,)}
        return core_schema.no_info_plain_validator_function(
            partial(_choose, members),
            serialization=core_schema.plain_serializer_function_ser_schema(partial(_dump, members)),
        )


def _choose(members: Mapping[str, type[Config]], value: Any) -> Config:
    if isinstance(value, Config):
        return value
    if not isinstance(value, Mapping) or "type" not in value:
        raise ValueError(f"needs a mapping with a 'type', one of {', '.join(members)}")
    name = str(value["type"])
    if ":" in name:
        return _external(name).model_validate({k: v for k, v in value.items() if k != "type"})
    if name not in members:
        raise ValueError(f"unknown type '{name}'; {_nearest(name, list(members))}")
    return members[name].model_validate(value)


def _dump(members: Mapping[str, type[Config]], value: Config) -> dict[str, Any]:
    content = value.model_dump(mode="json")
    if type(value) not in members.values():
        content = {**content, "type": f"{type(value).__module__}:{type(value).__qualname__}"}
    return content


@contextmanager
def trusting(trust: Trust) -> Iterator[None]:
    """Bounds what configurations validated inside the block may import by ``type: module:Class``."""
    token = _trust.set(trust)
    try:
        yield
    finally:
        _trust.reset(token)


def outside_classes(content: Any) -> frozenset[str]:
    """Names of the classes outside the project, as ``module:Class``, anywhere in a raw configuration."""
    if isinstance(content, Mapping):
        name = content.get("type")
        own = {name} if isinstance(name, str) and ":" in name else set()
        return frozenset(own).union(*map(outside_classes, content.values()))
    if isinstance(content, list | tuple):
        return frozenset[str]().union(*map(outside_classes, content))
    return frozenset()


def _external(name: str) -> type[Config]:
    module, _, attribute = name.partition(":")
    trust = _trust.get()
    if not (trust if isinstance(trust, bool) else name in trust):
        raise ValueError(
            f"type '{name}' would import the Python module '{module}', which may run any code; if you trust "
            "where this comes from, pass trust_code=True (on the command line --trust-code)"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"type '{name}' can't be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Config)):
        raise ValueError(f"type '{name}' is not a subclass of crossrec.config.Config")
    return found


def _nearest(word: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid: {', '.join(valid)}"


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lays ``over`` on ``base``, mapping by mapping; a changed ``type`` starts from its own defaults."""
    if "type" in over and over["type"] != base.get("type"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Turns ``["fusion.type=attention", "trainer.epochs=3"]`` into nested mappings; values are YAML.

    The order makes no difference between a ``type`` and the keys beside it: they are the new type's.
    """
    result: dict[str, Any] = {}
    for argument in sorted(arguments, key=lambda argument: not argument.partition("=")[0].endswith(".type")):
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise ConfigError(f"override '{argument}' is not of the form key.subkey=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"override '{argument}': the value is not YAML ({error})") from error
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merge(result, value)
    return result


def read_yaml(path: Path, *, extends: bool = True) -> dict[str, Any]:
    """Reads a YAML mapping, following at most one level of ``extends: other.yaml``.

    Args:
        path: of the file.
        extends: whether it may name another file; not where the file may come from somebody else.
    """
    content = _read_mapping(path)
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not extends:
        raise ConfigError(f"{path}: extends {parent}; the configuration of a run reaches no other file")
    base = _read_mapping(path.parent / parent)
    if "extends" in base:
        raise ConfigError(f"{path}: extends {parent}, which extends another file; one level is allowed")
    return merge(base, content)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return content


def load_config(cls: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> ConfigT:
    """Reads, overrides and validates a configuration.

    Raises:
        ConfigError: with one line for each wrong key: file, dotted key, what is wrong.
    """
    content = merge(read_yaml(path), parse_overrides(overrides))
    return validate(cls, content, str(path), trust_code=True)


def validate(
    cls: type[ConfigT], content: Mapping[str, Any], origin: str, *, trust_code: Trust = False
) -> ConfigT:
    """Validates a mapping as ``cls``; errors name ``origin`` and the dotted key.

    Args:
        cls: of the result.
        content: as read.
        origin: what errors call it, such as a file's path.
        trust_code: classes outside the project that may be imported; True for the user's own files.
    """
    try:
        with trusting(trust_code):
            return cls.model_validate(content)
    except ValidationError as error:
        lines = [f"{origin}: {'.'.join(loc) or '(top level)'}: {text}" for loc, text in _flatten(error, ())]
        raise ConfigError("\n".join(lines)) from error


def _flatten(error: ValidationError, prefix: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    for entry in error.errors():
        loc = prefix + tuple(str(part) for part in entry["loc"])
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            found.extend(_flatten(cause, loc))
        else:
            found.append((loc, entry["msg"].removeprefix("Value error, ")))
    return found
