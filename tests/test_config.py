"""Configuration: errors that name the key and the nearest valid one, overrides, one level of extends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from crossrec.config import (
    Component,
    ComponentOptions,
    Config,
    Family,
    load_config,
    merge,
    parse_overrides,
    validate,
)
from crossrec.types import ConfigError


class Inner(Config):
    size: int = 1


class Alpha(Config):
    x: int = 1


class Beta(Config):
    y: float = 1.0
    inner: Inner = Inner()


class Outside(Config):
    z: int = 3


LETTERS = Family("letter", {"alpha": f"{__name__}:Alpha", "beta": f"{__name__}:Beta"})
AnyLetter = Annotated[Config, LETTERS]


class Root(Config):
    letter: AnyLetter = Alpha()
    epochs: int = 3
    path: Path = Path("a")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"epohcs": 1}, "unknown key 'epohcs'; did you mean 'epochs'?"),
        (
            {"letter": {"type": "beta", "inner": {"sise": 1}}},
            "letter.inner: unknown key 'sise'; did you mean 'size'?",
        ),
        ({"letter": {"type": "bta"}}, "letter: unknown type 'bta'; did you mean 'beta'?"),
        ({"letter": {"x": 1}}, "letter: needs a mapping with a 'type'"),
        ({"letter": {"type": "beta", "y": "much"}}, "letter.y: Input should be a valid number"),
        ({"letter": {"type": "nowhere:Thing"}}, "can't be imported"),
        (
            {"letter": {"type": "pathlib:Path"}},
            "neither a crossrec.config.Component nor a crossrec.config.Config",
        ),
    ],
)
def test_errors_name_file_key_and_way_out(content: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Root, content, "some.yaml", trust_code=True)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("some.yaml: ")


def test_every_wrong_key_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Root, {"epochs": "x", "letter": {"type": "beta", "y": "z", "inner": {"size": "w"}}}, "f")
    assert str(caught.value).count("\n") == 2


def test_dump_and_validate_round_trip_with_a_class_from_outside() -> None:
    root = validate(Root, {"letter": {"type": f"{__name__}:Outside", "z": 5}}, "f", trust_code=True)
    assert isinstance(root.letter, Outside)
    again = validate(Root, root.model_dump(mode="json"), "g", trust_code=True)
    assert again == root


def test_configs_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Root().epochs = 4  # type: ignore[misc]


def test_overrides_are_yaml_and_nest() -> None:
    assert parse_overrides(["a.b=1", "a.c=[1, 2]", "d=null", "e=x=y"]) == {
        "a": {"b": 1, "c": [1, 2]},
        "d": None,
        "e": "x=y",
    }
    with pytest.raises(ConfigError, match=r"key\.subkey=value"):
        parse_overrides(["epochs"])


def test_another_type_starts_from_its_own_defaults() -> None:
    base = {"letter": {"type": "alpha", "x": 7}, "epochs": 2}
    assert merge(base, {"letter": {"type": "beta"}}) == {"letter": {"type": "beta"}, "epochs": 2}
    assert merge(base, {"letter": {"x": 8}}) == {"letter": {"type": "alpha", "x": 8}, "epochs": 2}


def test_extends_goes_one_level(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("epochs: 9\nletter: {type: beta, y: 2}\n")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\nletter: {y: 4}\n")
    (tmp_path / "grandchild.yaml").write_text("extends: child.yaml\n")
    child = load_config(Root, tmp_path / "child.yaml", ["epochs=11"])
    assert (child.epochs, vars(child.letter)["y"]) == (11, 4)
    with pytest.raises(ConfigError, match="one level"):
        load_config(Root, tmp_path / "grandchild.yaml")
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config(Root, tmp_path / "absent.yaml")


def test_a_key_before_its_type_on_the_command_line_belongs_to_the_new_type() -> None:
    after = parse_overrides(["model.sequence.type=hstu", "model.sequence.dropout=0.4"])
    assert parse_overrides(["model.sequence.dropout=0.4", "model.sequence.type=hstu"]) == after
    assert after == {"model": {"sequence": {"type": "hstu", "dropout": 0.4}}}


class Doubling(Component):
    """A component with one option."""

    class Options(ComponentOptions):
        """The options of it."""

        factor: int = 2

    def __init__(self, options: Options) -> None:
        self.factor = options.factor


class Tripling(Doubling):
    """A component whose options are inherited."""


def test_a_subclass_that_adds_no_option_builds_and_names_itself() -> None:
    assert type(Doubling.Options().build()) is Doubling
    assert type(Tripling.Options(factor=3).build()) is Tripling
    family = Family("factor", {"double": f"{__name__}:Doubling", "triple": f"{__name__}:Tripling"})
    assert family.name_of(Doubling.Options()) == "double"
    assert family.name_of(Tripling.Options()) == "triple"
