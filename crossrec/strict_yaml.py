"""Strict YAML: errors with file and line where YAML is silently permissive."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from crossrec.types import ConfigError

LONGEST_NAME = 255
"""Maximum length of one part of a path on usual file systems, bytes."""

MOST_BYTES, MOST_NODES, DEEPEST = 1 << 20, 100_000, 50
"""Maximum size of a configuration file, number of its values with expanded aliases, and depth."""


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ConfigError: if the file can't be read, or is not a mapping.
    """
    content = parse_yaml(_read_text(path), str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, not a {type(content).__name__}")
    return content


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such configuration file") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: is a folder; name a YAML file, such as {path / 'config.yaml'}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{str(path)[:LONGEST_NAME]!r}: can't be read: {error}") from error
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path}: larger than {MOST_BYTES:,} bytes: no configuration file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start:,}): no YAML file") from error


class _UnusableYAML(ValueError):
    """Error with its line."""


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader without silent errors.

    Repeated keys are errors, and so are endless or exploding aliases. ``003`` stays text, where
    YAML 1.1 has octal numbers, and so does ``12:30``, where it has numbers to the base of 60.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._level += 1
        if self._level > DEEPEST:
            raise _UnusableYAML(f"line {self.line + 1}: more than {DEEPEST} levels deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (_UnusableYAML, yaml.YAMLError):
            raise
        except (ValueError, OverflowError, AttributeError, TypeError) as error:
            what, line = shortened(repr(node.value)), node.start_mark.line + 1
            raise _UnusableYAML(f"line {line}: {what} can't be read as {node.tag}: {error}") from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first and key.tag != "tag:yaml.org,2002:merge":
                raise _UnusableYAML(
                    f"key '{name}' stands twice, in lines {first[name]} and {line}: remove one"
                )
            first[name] = line
        return super().construct_mapping(node, deep)


def _number_or_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    if ":" in node.value or re.fullmatch(r"[-+]?0[\d_]+", node.value):
        return node.value
    kind = node.tag.rpartition(":")[2]
    return loader.construct_yaml_int(node) if kind == "int" else loader.construct_yaml_float(node)


for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number_or_text)


def parse_yaml(text: str, origin: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        ConfigError: with one line, for invalid YAML, repeated keys, too many levels, too many values through
            aliases, or a value that Python can't represent.
    """
    loader = None
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded_size(node, {}) > MOST_NODES:
            raise _UnusableYAML(f"aliases expand to more than {MOST_NODES:,} values")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise ConfigError(f"{origin}: not YAML: {error.problem or error.context}{where}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    except _UnusableYAML as error:
        raise ConfigError(f"{origin}: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _expanded_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of values in a node with expanded aliases.

    Raises:
        ValueError: if an alias is within its own anchor.
    """
    if id(node) not in sizes:
        sizes[id(node)] = 0  # while its parts are counted
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        sizes[id(node)] = 1 + sum(_expanded_size(part, sizes) for part in parts)
    elif not sizes[id(node)]:
        raise _UnusableYAML(f"line {node.start_mark.line + 1}: an alias stands within its own anchor")
    return sizes[id(node)]


def shortened(text: str) -> str:
    """Return a text for an error message, cut to 80 characters."""
    return text if len(text) <= 80 else f"{text[:77]}..."
