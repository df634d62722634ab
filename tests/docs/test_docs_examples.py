"""Examples in the documentation work: Python blocks run, command lines are parsed, YAML blocks are read.

A page's Python blocks run in order, in one namespace, in a folder that holds a small trained ``runs/demo``
and the repository's ``configs``; what a page takes as given is made by ``given/<page>.py``
(README: ``given/python.py``). A block below
``<!-- not run: reason -->`` is left out, one below ``<!-- slow -->`` runs with the slow tests.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossrec.cli.commands import COMMANDS
from crossrec.config import load_config, validate
from crossrec.experiment.config import ExperimentConfig

REPOSITORY = Path(__file__).parents[2]
GIVEN = Path(__file__).with_name("given")
PAGES = [
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *(REPOSITORY / name for name in ("CONTRIBUTING.md", "README.md")),
]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND_LANGUAGES = ("", "bash", "shell", "console")
SLOW_PAGES = ("ablations",)
"""Pages whose blocks train whole studies; like single slow blocks, they run with the slow tests."""

READS_CONFIG = ("train", "tradeoff", "large-model", "simulate", "synthesis", "ablate")
"""Commands whose first argument is a configuration, which is loaded with the changes that follow."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, first line, and the mark in a comment right above it."""

    language: str
    text: str
    line: int
    mark: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        above = re.search(r"<!-- (not run|slow)[^>]*-->\s*\Z", text[: fence.start()])
        line = text.count("\n", 0, fence.start(2)) + 1
        found.append(Block(fence[1], fence[2], line, above[1] if above else ""))
    return found


def commands(page: Path) -> list[str]:
    """Command lines in fenced blocks and in inline code, continued lines put together."""
    text = page.read_text(encoding="utf-8")
    fenced = "\n".join(
        block.text
        for block in blocks(page)
        if block.language in COMMAND_LANGUAGES and block.mark != "not run"
    )
    lines = re.sub(r"\\\n\s*", " ", fenced).splitlines()
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", FENCE.sub("", text))]
    return [part.strip() for line in lines for part in re.split(r"&&|\|\|", line)]


def python_pages(*, slow: bool) -> list[Path]:
    """Pages with a Python block that runs, or one that runs with the slow tests only."""
    found = []
    for page in PAGES:
        marks = {block.mark for block in blocks(page) if block.language == "python"}
        is_slow = page.stem in SLOW_PAGES or "slow" in marks
        if (is_slow and marks - {"not run"}) if slow else ("" in marks and page.stem not in SLOW_PAGES):
            found.append(page)
    return found


def run_page(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, *, slow: bool) -> None:
    monkeypatch.chdir(place)
    namespace: dict[str, Any] = {"__name__": page.stem}
    given = GIVEN / ("python.py" if page.stem == "README" else f"{page.stem}.py")
    if given.exists():
        exec(compile(given.read_text(), str(given), "exec"), namespace)
    for block in blocks(page):
        if block.language != "python" or block.mark == "not run" or (block.mark == "slow" and not slow):
            continue
        code = "\n" * (block.line - 1) + block.text
        exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", python_pages(slow=False), ids=lambda page: page.stem)
def test_python_blocks_run(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, place, monkeypatch, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", python_pages(slow=True), ids=lambda page: page.stem)
def test_slow_python_blocks_run(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_page(page, place, monkeypatch, slow=True)


class _Read(Exception):
    """A command's configuration is read; nothing more is to be done."""


@pytest.fixture
def only_parsed(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Command lines parse their arguments, and leave here what they would do."""
    planned: list[Callable[[], None]] = []

    def guarded(run: Callable[[], None]) -> int:
        planned.append(run)
        return 0

    def read_and_stop(*arguments: Any, **options: Any) -> None:
        validate(*arguments, **options)
        raise _Read

    for name in ("init", "runs", "studies", "weights"):
        monkeypatch.setattr(f"crossrec.cli.{name}.guarded", guarded)
    for module in ("crossrec.config", "crossrec.experiment.run_folder"):
        monkeypatch.setattr(f"{module}.validate", read_and_stop)
    monkeypatch.chdir(REPOSITORY)
    return planned


def is_placeholder(path: str) -> bool:
    """CONFIG, my_study.yaml: names that stand for the reader's own."""
    return re.fullmatch(r"[A-Z_./]+|(.*/)?my_\w+\.yaml|\S*/x\.yaml", path) is not None


def check_crossrec(arguments: Sequence[str], planned: list[Callable[[], None]]) -> None:
    name, *rest = arguments
    assert name in COMMANDS, f"there is no command {name}"
    if not rest or rest == ["…"]:
        return
    assert COMMANDS[name].run(rest) == 0
    if name == "evaluate":
        overrides = [argument for argument in rest if re.match(r"[a-z_.]+=", argument)]
        with pytest.raises(_Read):
            load_config(ExperimentConfig, REPOSITORY / "configs" / "demo.yaml", overrides)
    elif name in READS_CONFIG and not is_placeholder(rest[0]) and not rest[0].startswith("runs/"):
        with pytest.raises(_Read):
            planned[-1]()


def check_launcher(arguments: Sequence[str]) -> list[str]:
    """Parses what stands before ``train.py`` with the launcher's own parser, gives what stands behind."""
    from accelerate.commands.launch import launch_command_parser

    split = arguments.index("train.py")
    if arguments[0] == "accelerate":
        values = [value.replace("$SLURM_NODEID", "0").replace("$", "1") for value in arguments[2 : split + 1]]
        numbers = [re.sub(r"^1\(.*\)$|^1[A-Z_]+$", "1", value) for value in values]
        parsed = launch_command_parser().parse_args(numbers)
        assert parsed.config_file is None or (REPOSITORY / parsed.config_file).is_file()
    return list(arguments[split + 1 :])


def check_script(script: str, arguments: Sequence[str]) -> None:
    path = REPOSITORY / script
    assert path.is_file(), f"there is no {script}"
    sources = [path.read_text()]
    sources += [
        (path.parent / f"{name}.py").read_text()
        for name in re.findall(r"^from (\w+) import", sources[0], re.M)
        if (path.parent / f"{name}.py").exists()
    ]
    for argument in arguments:
        if argument.startswith("--"):
            assert any(f'"{argument}"' in source for source in sources), f"{script} has no {argument}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_command_lines_are_parsed(page: Path, only_parsed: list[Callable[[], None]]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for line in commands(page):
        try:
            words = shlex.split(line.replace("[", "\\[") if line.startswith("#") else line, comments=True)
        except ValueError:
            continue  # no command line: an apostrophe in a piece of code
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        words = [word.removeprefix(".venv/bin/") if place < 2 else word for place, word in enumerate(words)]
        words = [word for word in words if not (word.startswith("[") and word.endswith("]"))]
        if words[:1] == ["python"]:
            words = words[1:]
        match words:
            case ["make", target, *_]:
                assert "=" in target or target in targets, line
            case ["crossrec", *rest] if rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
                check_crossrec(rest, only_parsed)
            case ["train.py" | "evaluate.py" as script, *rest] if rest:
                check_crossrec([script.removesuffix(".py"), *rest], only_parsed)
            case ["accelerate" | "torchrun", *_] if "train.py" in words:
                rest = check_launcher(words)
                if rest != ["…"]:
                    check_crossrec(["train", *rest], only_parsed)
            case [script, *rest] if script.startswith("benchmarks/") and script.endswith(".py"):
                check_script(script, rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_yaml_blocks_of_runs_are_read(page: Path) -> None:
    for block in blocks(page):
        if block.language != "yaml" or block.mark == "not run":
            continue
        content = yaml.safe_load(block.text)
        if isinstance(content, dict) and set(content) <= set(ExperimentConfig.model_fields):
            validate(ExperimentConfig, content, f"{page.name}, line {block.line}")
