"""Configuration files and values that can't be used: one line each, never another exception."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from crossrec.config import Config, Family, load_config, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.strict_yaml import parse_yaml
from crossrec.types import ConfigError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(8)
)
FAULTY = {
    "a key twice": ("trainer:\n  lr: 1\n  epochs: 2\n  lr: 3\n", "'lr' stands twice, in lines 2 and 4"),
    "a baseline's key twice": ("baselines: [{type: popularity, type: ease}]", "'type' stands twice"),
    "an open bracket": ("ks: [1, 2", "line 1"),
    "endless aliases": ("a: &a [*a]", "within its own anchor"),
    "exploding aliases": (LAUGHS, "aliases expand to more than 100,000 values"),
    "deep": ("[" * 5000, "more than 50 levels deep"),
    "a date that isn't": ("a: 2020-99-99", "line 1: '2020-99-99' can't be read"),
    "a number without end": ("a: " + "9" * 5000, "line 1: '9999"),
    "an object": ("a: !!python/object:os.system x", "line 1"),
    "a control character": ("a: \x01", "#x0001"),
    "two documents": ("a: 1\n---\nb: 2", "another document"),
    "a list as key": ("? [1, 2]\n: 3", "unhashable key"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_yaml_costs_one_line(name: str, tmp_path: Path) -> None:
    text, told = FAULTY[name]
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(ExperimentConfig, path)
    assert told in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_codes_and_clock_times_stay_text() -> None:
    """YAML 1.1 reads 012 as ten and 12:30 as 750."""
    assert parse_yaml("[012, 12:30, 10, -3, 1.5, 0, 0x1f]", "f") == ["012", "12:30", 10, -3, 1.5, 0, 31]


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "list.yaml").write_text("- 1")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1 << 21))
    (tmp_path / "extends.yaml").write_text("extends: [a]")
    (tmp_path / "self.yaml").write_text("extends: self.yaml")
    told = {
        "binary.yaml": "not UTF-8",
        "list.yaml": "must be a mapping",
        "large.yaml": "larger than",
        "extends.yaml": "needs the name of one file",
        "self.yaml": "one level is allowed",
        ".": "is a folder",
        "missing.yaml": "no such configuration file",
        "binary.yaml/below.yaml": "can't be read",
        "n" * 300: "can't be read",
        "nul\0.yaml": "can't be read",
    }
    for name, wanted in told.items():
        with pytest.raises(ConfigError, match=wanted) as error:
            load_config(ExperimentConfig, tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_boolean_is_no_number_and_an_infinity_no_rate() -> None:
    for content, told in (
        ({"trainer": {"epochs": True}}, "trainer.epochs: needs a number, not true"),
        ({"data": {"cleaning": {"min_time": True}}}, "min_time: needs a number"),
        ({"trainer": {"lr": float("inf")}}, "trainer.lr"),
        ({"model": {"item_dropout": float("nan")}}, "model.item_dropout"),
        ({"model": {"temperature": "nan"}}, "model.temperature"),
        ({"model": {"width": 10**9}}, "model.width"),
        ({"seed": 2**70}, "seed: whole numbers go up to"),
        ({"seed": -1}, "seed"),
        ({"name": "n" * 300}, "name: at most 200 bytes"),
        ({"name": "é" * 120}, "name: at most 200 bytes"),
        ({"name": "a/b"}, "name"),
        ({"name": ".."}, "name"),
        ({"name": "a\0b"}, "name: text can't hold a NUL"),
        ({"runs_dir": "p" * 300}, "runs_dir: a part of the path is longer"),
        ({"runs_dir": "a\0b"}, "runs_dir: text can't hold a NUL"),
        ({"model": {"text": {"weights": "\ud800"}}}, "not valid Unicode"),
        ({"evaluation": {"ks": [10**9]}}, "at most 10,000 places"),
    ):
        with pytest.raises(ConfigError, match=told):
            validate(ExperimentConfig, content, "c.yaml")


VALUES: tuple[Any, ...] = (
    0, -1, -0.5, 10**9, 1e30, 2**70, float("inf"), float("nan"), True, "x", "a\0b", "\ud800", None, [], {}
)  # fmt: skip


def test_no_value_of_any_key_gives_another_error_than_ours() -> None:
    """Every key of every component, with values of every kind."""
    n_refused = 0
    for place in _places(ExperimentConfig, lambda content: content, ()):
        for value in VALUES:
            try:
                found = validate(ExperimentConfig, place(value), "c.yaml")
            except ConfigError:
                n_refused += 1
                continue
            for number in _numbers(found.model_dump(mode="python")):
                assert abs(number) < 1e31, (place(value), number)  # neither infinite nor NaN
    assert n_refused > 5000


def _places(cls: type[Config], outer: Any, seen: tuple[type[Config], ...]) -> Iterator[Any]:
    """For each key of a configuration and its parts, a function from a value to the whole content."""
    for name, field in cls.model_fields.items():
        if name == "type":
            continue
        yield lambda value, name=name, outer=outer: outer({name: value})
        many = get_origin(field.annotation) is tuple
        for kind, member in _members(field.annotation, field.metadata):
            if member not in seen:

                def inner(
                    value: Any, name: str = name, outer: Any = outer, kind: Any = kind, many: bool = many
                ) -> Any:
                    content = {"type": kind, **value} if kind is not None else value
                    return outer({name: [content] if many else content})

                yield from _places(member, inner, (*seen, member))


def _members(annotation: Any, metadata: Sequence[Any] = ()) -> Iterator[tuple[str | None, type[Config]]]:
    """The configurations that a field takes, each with its ``type`` where it belongs to a family."""
    families = [entry for entry in metadata if isinstance(entry, Family)]
    if families:
        yield from ((name, family.options(name)) for family in families for name in family)
    elif isinstance(annotation, type) and issubclass(annotation, Config):
        yield None, annotation
    elif get_origin(annotation) is typing.Annotated:
        yield from _members(get_args(annotation)[0], get_args(annotation)[1:])
    elif get_origin(annotation) in (typing.Union, types.UnionType, tuple, dict):
        for part in get_args(annotation):
            yield from _members(part)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value if value == value else float("inf")
