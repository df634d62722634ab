"""A folder that somebody else made runs none of their code, through no door and under no key."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import crossrec
from crossrec.cli.commands import main
from crossrec.config import Config, trusting
from crossrec.runtime.files import write_checksums
from crossrec.runtime.weights import WeightsError
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import ConfigError, InputError

MODULE = "made_elsewhere"
SOURCE = """
from pathlib import Path
Path({marker!r}).write_text("ran")
from crossrec.rerank.mmr import MMR
class Stage(MMR):
    pass
"""

KEYS = [
    "rerank.stages.0",
    "objective",
    "model.fusion",
    "model.sequence",
    "data.source",
    "data.split",
    "baselines.0",
    "diversity",
    "diversity.terms.own",
    "diversity.weighting",
    "contrastive.terms.own",
    "contrastive.weighting",
    "augment.text.augmenters.0",
    "augment.image.augmenters.0",
    "augment.sequence.augmenters.0",
    "augment.synthesis.items.generator",
]
"""Where configurations name a type, from the top to the innermost."""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that appears if the stranger's module is imported; it can be."""
    path, code = tmp_path / "code-ran", tmp_path / "code"
    code.mkdir()
    (code / f"{MODULE}.py").write_text(SOURCE.format(marker=str(path)))
    monkeypatch.syspath_prepend(code)
    yield path
    sys.modules.pop(MODULE, None)


def put(content: Any, key: str, value: Any) -> Any:
    """A configuration with a value under a dotted key, mappings and lists made where they lack."""
    head, _, rest = key.partition(".")
    inner = {**content} if isinstance(content, dict) else {}
    if head == "0":
        return [put(None, rest, value) if rest else value]
    there = inner.get(head) or ({"type": "terms"} if head == "diversity" else None)
    inner[head] = put(there, rest, value) if rest else value
    return inner


def named(key: str) -> dict[str, Any]:
    return (
        {"type": f"{MODULE}:Stage", "diversity": 0.2}
        if key.startswith("rerank")
        else {"type": f"{MODULE}:Stage"}
    )


@pytest.fixture
def run_of_a_stranger(run_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    def make(key: str) -> Path:
        folder = shutil.copytree(run_folder, tmp_path / "runs" / "theirs")
        content = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump(put(content, key, named(key))))
        return folder

    return make


@pytest.fixture
def shared_by_a_stranger(shop: LoadedRecommender, tmp_path: Path) -> Callable[[str], Path]:
    def make(key: str) -> Path:
        folder = shop.save_pretrained(tmp_path / "shared")
        content = json.loads((folder / "config.json").read_text())
        content["experiment"] = put(content["experiment"], key, named(key))
        (folder / "config.json").write_text(json.dumps(content))
        return folder

    return make


def refused(run: Callable[[], Any], marker: Path) -> str:
    with pytest.raises(InputError) as caught:
        run()
    assert not marker.exists()
    assert MODULE not in sys.modules
    return str(caught.value)


@pytest.mark.parametrize("key", KEYS)
def test_no_key_of_a_shared_folder_imports_anything(
    shared_by_a_stranger: Callable[[str], Path], marker: Path, key: str
) -> None:
    folder = shared_by_a_stranger(key)
    said = refused(lambda: crossrec.load(folder, device="cpu"), marker)
    assert all(word in said for word in (str(folder), MODULE, "trust_code=True", "--trust-code"))


def test_no_run_imports_anything_through_any_door(
    run_of_a_stranger: Callable[[str], Path], run_folder: Path, marker: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = run_of_a_stranger("rerank.stages.0")
    said = refused(lambda: crossrec.load(folder, device="cpu"), marker)
    assert "config.yaml: rerank.stages.0" in said
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({"out": str(tmp_path / "study"), "runs": [str(folder)]}))
    doors = [
        ["evaluate", str(folder)],
        ["serve", str(folder), "--port", "0"],
        ["recommend", str(folder), "--user", "u1"],
        ["ensemble", str(run_folder), str(folder), "--out", str(tmp_path / "ensemble")],
        ["tradeoff", str(study)],
        ["train", str(folder / "config.yaml")],
    ]
    for arguments in doors:
        assert main(arguments) == 2, arguments
        assert MODULE in capsys.readouterr().err, arguments
        assert not marker.exists(), arguments
        assert MODULE not in sys.modules


def test_comparing_runs_imports_nothing(
    run_of_a_stranger: Callable[[str], Path], run_folder: Path, marker: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = run_of_a_stranger("spaces.text")
    assert main(["compare", str(run_folder), str(folder), "--out", str(tmp_path / "out")]) in (0, 2)
    assert not marker.exists()


def test_no_hub_snapshot_imports_anything(
    shared_by_a_stranger: Callable[[str], Path], marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder = shared_by_a_stranger("rerank.stages.0")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(folder))
    assert "trust_code" in refused(lambda: crossrec.load("them/shop", device="cpu"), marker)
    assert "trust_code" in refused(lambda: LoadedRecommender.from_pretrained("them/shop"), marker)


def test_whoever_trusts_a_folder_gets_its_classes(
    shared_by_a_stranger: Callable[[str], Path],
    run_of_a_stranger: Callable[[str], Path],
    marker: Path,
    capsys: Any,
) -> None:
    shared = crossrec.load(shared_by_a_stranger("rerank.stages.0"), device="cpu", trust_code=True)
    assert marker.exists()
    assert len(shared.recommend(["i2"], k=5, rerank="run")) == 5
    run = run_of_a_stranger("rerank.stages.0")
    assert main(["recommend", str(run), "--user", "u1", "--trust-code"]) == 0
    # What the caller names in an override is the caller's own.
    plain = ["rerank={stages: [{type: mmr}]}"]
    assert crossrec.load(run, overrides=plain, device="cpu").config.rerank is not None
    own = [f"rerank={{stages: [{{type: '{MODULE}:Stage', diversity: 0.1}}]}}"]
    found = crossrec.load(run, overrides=own, device="cpu").config.rerank
    assert found is not None
    assert type(found.stages[0]).component.__name__ == "Stage"


def test_baselines_beside_a_run_import_nothing(
    run_folder: Path, marker: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "runs" / "theirs")
    entry = {
        "config": {"type": f"{MODULE}:Stage"},
        "asked": {"type": "popularity"},
        "trials": [],
        "tuned": False,
    }
    (folder / "baselines.json").write_text(json.dumps([entry]))
    assert main(["evaluate", str(folder), "baselines=[{type: popularity}]"]) == 2
    assert MODULE in capsys.readouterr().err
    assert not marker.exists()


def test_going_on_in_a_stranger_s_folder_imports_nothing(
    run_of_a_stranger: Callable[[str], Path],
    shop_config: dict[str, Any],
    marker: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    run_of_a_stranger("objective")
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump(shop_config))
    assert main(["train", str(mine), "name=theirs", f"runs_dir={tmp_path / 'runs'}"]) == 2
    assert MODULE in capsys.readouterr().err
    assert not marker.exists()


def test_a_run_reaches_no_other_file(run_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run_folder, tmp_path / "theirs")
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2\n")
    with (folder / "config.yaml").open("a") as file:
        file.write(f"extends: {secret}\n")
    with pytest.raises(ConfigError, match="no other file") as caught:
        crossrec.load(folder, device="cpu")
    assert "hunter2" not in str(caught.value)


def test_a_shared_folder_does_not_say_where_files_go(shop: LoadedRecommender, tmp_path: Path) -> None:
    folder = shop.save_pretrained(tmp_path / "shared")
    content = json.loads((folder / "config.json").read_text())
    content["experiment"]["data"] |= {"cache_dir": "/etc/theirs", "root": "/etc"}
    content["experiment"]["runs_dir"] = "/etc/runs"
    (folder / "config.json").write_text(json.dumps(content))
    config = crossrec.load(folder, device="cpu").config
    assert "etc" not in f"{config.data.root} {config.data.cache_dir} {config.runs_dir}"


def test_code_that_comes_with_weights_is_never_run(tiny_bert: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    from crossrec.runtime.weights import load_model

    folder, marker = shutil.copytree(tiny_bert, tmp_path / "weights"), tmp_path / "code-ran"
    settings = json.loads((folder / "config.json").read_text())
    code = "remote.Settings", "remote.Model"
    settings |= {
        "model_type": "theirs",
        "auto_map": dict(zip(("AutoConfig", "AutoModel"), code, strict=True)),
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "remote.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    for weights, architecture in ((str(folder), "random"), ("random", str(folder))):
        with pytest.raises(WeightsError, match="never run"):
            load_model(AutoModel, weights, tmp_path, architecture, 0)
    assert not marker.exists()


class Marks:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_in_weights_are_not_run(tmp_path: Path) -> None:
    from crossrec.runtime.weights.readers import read_state_dict
    from crossrec.runtime.weights.resolve import resolve

    torch.save({"weight": Marks(tmp_path / "ran")}, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="can't be read"):
        read_state_dict(resolve(str(tmp_path / "model.pth")))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["random_states_0.pkl", "optimizer.bin", "custom_checkpoint_0.pkl"])
def test_pickles_in_a_checkpoint_are_not_run(
    run_folder: Path,
    shop_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
) -> None:
    from accelerate import Accelerator

    resumed: list[str] = []
    load_state = Accelerator.load_state

    def noted(self: Accelerator, folder: str, **options: Any) -> None:
        resumed.append(folder)
        load_state(self, folder, **options)

    monkeypatch.setattr(Accelerator, "load_state", noted)
    folder, mine = shutil.copytree(run_folder, tmp_path / "frozen"), tmp_path / "mine.yaml"
    there = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**there, "runs_dir": str(tmp_path)}))
    checkpoint = next(folder.glob("checkpoints/step-*"))
    torch.save({"step": Marks(tmp_path / "ran")}, checkpoint / file)
    torch.load(checkpoint / file, weights_only=False)
    (tmp_path / "ran").unlink()
    write_checksums(checkpoint)  # so would whoever made it
    mine.write_text(yaml.safe_dump(shop_config))
    # Going on in the folder resumes from its checkpoint; whatever comes of it, nothing in it is run.
    with suppress(Exception):
        main(["train", str(mine), f"runs_dir={tmp_path}"])
    assert resumed == [str(checkpoint)]
    assert not (tmp_path / "ran").exists()


def test_trust_ends_with_its_block() -> None:
    from crossrec.rerank.recommender import RerankConfig

    with trusting(False), pytest.raises(ValueError, match="trust_code"):
        RerankConfig.model_validate({"stages": [{"type": "nowhere:Thing"}]})
    with pytest.raises(ValueError, match="can't be imported"):
        RerankConfig.model_validate({"stages": [{"type": "nowhere:Thing"}]})
    assert issubclass(RerankConfig, Config)
