"""Configuration: frozen pydantic models read from one YAML file, with dotted overrides.

A :class:`Component` and its options are in one module. A :class:`Family` is a table of names to components,
discriminated by the key ``type``; only the chosen one is imported. A class outside the project is named as
``type: my_package.module:MyComponent``, which imports that module. Configurations from folders of unknown
origin are read without trust (:func:`trusting`), so that naming a class is rejected there.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import types
from abc import ABCMeta
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from crossrec.strict_yaml import LONGEST_NAME, parse_yaml, read_mapping, shortened
from crossrec.types import ConfigError

ConfigT = TypeVar("ConfigT", bound="Config")

Trust = bool | Collection[str]
"""Classes outside the project that may be imported: all, none, or those with these names."""

_trust: ContextVar[Trust] = ContextVar("trust", default=True)

LARGEST_INTEGER = 2**32 - 1
"""Maximum of every integer in a configuration; NumPy, PyTorch and scikit-learn accept seeds up to it."""


class Config(BaseModel):
    """Base of every configuration: frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    largest_integer: ClassVar[int | None] = LARGEST_INTEGER

    @model_validator(mode="before")
    @classmethod
    def _reject_unusable_input(cls, value: Any) -> Any:
        """Reject unknown keys, booleans for numbers, and unusable values (see :func:`_check_value`)."""
        if isinstance(value, Mapping):
            for key, content in value.items():
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}'; {nearest(str(key), list(cls.model_fields))}")
                annotation = cls.model_fields[key].annotation
                if isinstance(content, bool) and _is_number(annotation):
                    raise UnusableValue((key,), f"needs a number, not {str(content).lower()}")
                names_file = isinstance(content, str) and Path in (annotation, *get_args(annotation))
                _check_value(Path(content) if names_file else content, (key,), cls.largest_integer)
        return value


class ComponentOptions(Config):
    """Base of a component's options: the nested class ``Options`` of a :class:`Component`."""

    component: ClassVar[type]
    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that may be given without their names when the component is called."""

    def __repr_name__(self) -> str:
        return type(self).__qualname__.removesuffix(".Options")

    def __str__(self) -> str:
        return repr(self)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield the fields that differ from their defaults."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.is_required() or value != field.get_default(call_default_factory=True):
                yield name, value

    def build(self, *arguments: Any, **keywords: Any) -> Any:
        """Return the component with these options; arguments follow them, the same for a whole family."""
        return self.component(self, *arguments, **keywords)


class ComponentType(ABCMeta):
    """Type of components: a call with options alone returns these options, checked and frozen.

    ``MMR(diversity=0.2)`` is what ``{type: mmr, diversity: 0.2}`` is in YAML: a description, which is
    printed, compared and saved. The object at work also needs what is known only later, such as the items;
    ``build`` makes it, in the parts of crossrec that take the description.
    """

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        options = getattr(cls, "Options", None)
        given = arguments[0] if arguments else keywords.get("options")
        if options is None or isinstance(given, ComponentOptions):
            return super().__call__(*arguments, **keywords)
        names = options.positional
        if len(arguments) > len(names):
            takes = f"by position only {', '.join(names)}" if names else "options by name only"
            raise TypeError(f"{cls.__name__} takes {takes}: {cls.__name__}{inspect.signature(options)}")
        content = {**dict(zip(names, arguments, strict=False)), **keywords}
        return validate(options, content, cls.__name__, trust_code=True)


class Component(metaclass=ComponentType):
    """Base of a family's members: classes with nested ``Options``, which come first in ``__init__``."""

    Options: ClassVar[type[ComponentOptions]]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if hasattr(cls, "Options"):
            if "Options" not in cls.__dict__:  # a subclass that adds no option still builds itself
                names = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.Options"}
                cls.Options = type("Options", (cls.Options,), {**names, "__doc__": cls.Options.__doc__})
            cls.Options.component = cls
            cls.__signature__ = inspect.signature(cls.Options)  # type: ignore[attr-defined]


class UnusableValue(ValueError):
    """A value that no field can use.

    Args:
        place: keys, from the configuration down to the value.
        reason: reason why it is unusable.
    """

    def __init__(self, place: tuple[str, ...], reason: str) -> None:
        super().__init__(f"{'.'.join(place)}: {reason}")
        self.place, self.reason = place, reason


def _is_number(annotation: Any) -> bool:
    """Return whether a field takes an int or a float, or None beside it, and nothing else."""
    if get_origin(annotation) is Annotated:
        return _is_number(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return all(_is_number(kind) for kind in kinds)
    return annotation in (int, float)


def _check_value(value: Any, place: tuple[str, ...], largest: int | None) -> None:
    """Reject values that no field can use, at any depth.

    Raises:
        UnusableValue: for an integer that is too large, text that can't be written to a file, or a path
            that no file system has.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if largest is not None and abs(value) > largest:
            raise UnusableValue(place, f"whole numbers go up to {largest:,}")
    elif isinstance(value, str | Path):
        text = str(value)
        if "\0" in text:
            raise UnusableValue(place, "text can't hold a NUL character")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UnusableValue(place, f"text that is not valid Unicode: {error.reason}") from error
        if isinstance(value, Path) and any(len(part.encode()) > LONGEST_NAME for part in value.parts):
            raise UnusableValue(place, f"a part of the path is longer than {LONGEST_NAME} bytes")
    elif isinstance(value, Mapping):
        for key, content in value.items():
            _check_value(key, place, largest)
            _check_value(content, (*place, str(key)), largest)
    elif isinstance(value, list | tuple):
        for number, content in enumerate(value):
            _check_value(content, (*place, str(number)), largest)


class Family:
    """A table of components of one kind, discriminated by ``type``; each is imported on first use.

    ``FUSIONS = Family("fusion", {"concat": "crossrec.model.fusion.concat:ConcatFusion"})`` is a family, and
    ``Annotated[ComponentOptions, FUSIONS]`` the type of a configuration's field. A member is a
    :class:`Component`, or a plain :class:`Config` where nothing is built.

    Args:
        kind: name of a member in errors.
        members: name -> ``module:Class``.
    """

    def __init__(self, kind: str, members: Mapping[str, str]) -> None:
        self.kind = kind
        self.members = dict(members)
        self._names = {target: name for name, target in self.members.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def __getitem__(self, name: str) -> type:
        """Return the component of a name.

        Raises:
            KeyError: if there is no such member.
        """
        return _resolve(self.members[name])

    def options(self, name: str) -> type[Config]:
        """Return the class of a member's options.

        Raises:
            ValueError: if there is no such member, or it is outside the project and not trusted.
        """
        if ":" in name:
            return _options_of(_outside_class(name), name)
        if name not in self.members:
            raise ValueError(f"unknown type '{name}'; {nearest(name, list(self.members))}")
        return _options_of(self[name], name)

    def name_of(self, options: Config) -> str:
        """Return the ``type`` of a member's options: its name in the table, or ``module:Class``."""
        found = _target(getattr(options, "component", type(options)))
        return self._names.get(found, found)

    def parse(self, value: Any) -> Any:
        """Return a member's options from a mapping with a ``type``; options are returned unchanged.

        Raises:
            ValueError: if it is not a mapping with a known ``type``, or a component of another family.
        """
        if isinstance(value, Config):
            name = self.name_of(value)
            if name.startswith("crossrec.") and name not in self:
                raise ValueError(f"{type(value).__qualname__} is no {self.kind}; valid: {', '.join(self)}")
            return value
        if isinstance(value, type):
            raise ValueError(f"needs an object, not the class: {value.__name__}()")
        if not isinstance(value, Mapping) or "type" not in value:
            raise ValueError(f"needs a mapping with a 'type', one of {', '.join(self.members)}")
        options = self.options(str(value["type"]))
        return options.model_validate({key: content for key, content in value.items() if key != "type"})

    def dump(self, options: Config) -> dict[str, Any]:
        """Return the mapping that :meth:`parse` reads back as these options."""
        return {"type": self.name_of(options), **options.model_dump(mode="json")}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(self.dump)
        )


def _target(component: type) -> str:
    return f"{component.__module__}:{component.__qualname__}"


def _resolve(target: str) -> type:
    """Import ``module:Class``: the one place where a family's table turns into classes."""
    module, _, name = target.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def _options_of(component: type, name: str) -> type[Config]:
    options = getattr(component, "Options", component)
    if not (isinstance(options, type) and issubclass(options, Config)):
        raise ValueError(f"type '{name}' is neither a crossrec.config.Component nor a crossrec.config.Config")
    return options


@contextmanager
def trusting(trust: Trust) -> Iterator[None]:
    """Restrict the imports by ``type: module:Class`` of configurations validated within the block."""
    token = _trust.set(trust)
    try:
        yield
    finally:
        _trust.reset(token)


def outside_classes(content: Any) -> frozenset[str]:
    """Return the classes outside the project, as ``module:Class``, named anywhere in a raw configuration."""
    if isinstance(content, Mapping):
        name = content.get("type")
        own = {name} if isinstance(name, str) and ":" in name else set()
        return frozenset(own).union(*map(outside_classes, content.values()))
    if isinstance(content, list | tuple):
        return frozenset[str]().union(*map(outside_classes, content))
    return frozenset()


def _outside_class(name: str) -> type:
    module = name.partition(":")[0]
    trust = _trust.get()
    if not (trust if isinstance(trust, bool) else name in trust):
        raise ValueError(
            f"type '{name}' would import the Python module '{module}', which may run any code; if you trust "
            "where this comes from, pass trust_code=True (on the command line --trust-code)"
        )
    try:
        return _resolve(name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"type '{name}' can't be imported: {error}") from error


def nearest(word: str, valid: list[str]) -> str:
    """Return the end of an error message: the closest valid word, if there is one, and all valid words."""
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid: {', '.join(valid)}"


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``over`` into ``base``, mapping by mapping; a changed ``type`` starts from its own defaults."""
    if "type" in over and over["type"] != base.get("type"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Turn ``["fusion.type=attention", "trainer.epochs=3"]`` into nested mappings; values are YAML.

    The order of a ``type`` and the keys beside it does not matter: they belong to the new type.
    """
    result: dict[str, Any] = {}
    for argument in sorted(arguments, key=lambda argument: not argument.partition("=")[0].endswith(".type")):
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise ConfigError(f"override '{argument}' is not of the form key.subkey=value")
        value = parse_yaml(text, f"override '{shortened(argument)}'")
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merge(result, value)
    return result


def read_yaml(path: Path, *, extends: bool = True) -> dict[str, Any]:
    """Read a YAML mapping, following at most one level of ``extends: other.yaml``.

    Args:
        path: path of the file.
        extends: whether it may name another file, which untrusted files must not.
    """
    content = read_mapping(path)
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not extends:
        raise ConfigError(f"{path}: extends {parent}; the configuration of a run reaches no other file")
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: needs the name of one file, such as base.yaml; got {parent!r}")
    base = read_mapping(path.parent / parent)
    if "extends" in base:
        raise ConfigError(f"{path}: extends {parent}, which extends another file; one level is allowed")
    return merge(base, content)


def load_config(cls: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> ConfigT:
    """Read, override and validate a configuration.

    Raises:
        ConfigError: with one line per invalid key: file, dotted key, error.
    """
    content = merge(read_yaml(path), parse_overrides(overrides))
    return validate(cls, content, str(path), trust_code=True)


def validate(
    cls: type[ConfigT], content: Mapping[str, Any], origin: str, *, trust_code: Trust = False
) -> ConfigT:
    """Validate a mapping as ``cls``; errors name ``origin`` and the dotted key.

    Args:
        cls: class of the configuration.
        content: mapping as read.
        origin: name in errors, such as a file's path.
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
        elif isinstance(cause, UnusableValue):
            found.append((loc + cause.place, cause.reason))
        else:
            found.append((loc, entry["msg"].removeprefix("Value error, ")))
    return found
