"""The study's page, table and command line on a small shop's worth of vectors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from crossrec.augment.generators.fit import LabeledSamples
from crossrec.augment.generators.gaussian import Gaussian
from crossrec.augment.generators.loop import Line
from crossrec.cli.commands import COMMANDS
from crossrec.cli.studies import synthesis
from crossrec.studies import synthesis as study
from crossrec.studies.synthesis import SynthesisConfig
from crossrec.studies.synthesis_report import learned


@dataclasses.dataclass
class _Data:
    name: str = "small <shop>"
    note: str = "made for this test"


@dataclasses.dataclass
class _Setting:
    data: _Data = dataclasses.field(default_factory=_Data)


def test_a_study_writes_generators_figures_grids_and_a_page(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors, classes = small.samples("beta_vae", 200)
    pictures, kinds = small.samples("image_gan", 60)
    names = ("a", "b", "c")
    monkeypatch.setattr(study.PreparedExperiment, "of", lambda config: _Setting())
    monkeypatch.setattr(study, "load_experiment", lambda *_: None)
    monkeypatch.setattr(study, "vectors", lambda *_: LabeledSamples(vectors, classes, names))
    monkeypatch.setattr(study, "pictures", lambda *_: LabeledSamples(pictures, kinds, names))
    monkeypatch.setattr(study, "picture_encoder", lambda _: lambda p: p.reshape(len(p), -1)[:, :9])
    config = SynthesisConfig(
        base=Path("shop.yaml"),
        out=tmp_path,
        spaces=("text",),
        generators=(small.configs["wgan_gp"], small.configs["beta_vae"]),
        gaussian=Gaussian.Options(min_samples=10),
        image_gan=small.configs["image_gan"],
        grid=(4, 2),
        device="cpu",
    )
    study.run_synthesis(config)
    for part in ("text/gaussian", "text/wgan_gp", "text/beta_vae", "pictures/image_gan"):
        assert (tmp_path / part / "generator.safetensors").exists()
    page = (tmp_path / study.PAGE_FILE).read_text(encoding="utf-8")
    assert "small &lt;shop&gt;" in page
    assert page.count("data:image/png;base64,") == 2
    assert "KL terms of beta_vae" in page
    told = capsys.readouterr().out
    assert "synthetic samples against 160 training samples, 40 held out" in told
    first = (tmp_path / study.RESULTS_FILE).read_bytes()
    study.run_synthesis(config)
    assert (tmp_path / study.RESULTS_FILE).read_bytes() == first


def test_the_baseline_may_be_studied_alone(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, classes = small.samples("beta_vae", 60)
    monkeypatch.setattr(study.PreparedExperiment, "of", lambda config: _Setting())
    monkeypatch.setattr(study, "load_experiment", lambda *_: None)
    monkeypatch.setattr(study, "vectors", lambda *_: LabeledSamples(vectors, classes, ("a", "b", "c")))
    alone = {"base": Path("shop.yaml"), "spaces": ("text",), "generators": (), "image_gan": None}
    study.run_synthesis(SynthesisConfig(**alone, out=tmp_path, device="cpu"))
    assert '"gaussian"' in (tmp_path / study.RESULTS_FILE).read_text()
    with pytest.raises(ValidationError, match="grid"):
        SynthesisConfig(base=Path("shop.yaml"), grid=(0, 2))


def test_what_counts_as_learned() -> None:
    assert learned({"coverage": 0.9, "density": 1.1})
    assert not learned({"coverage": 0.9, "density": 28.0})
    assert not learned({"coverage": 0.7, "density": 1.0})


def test_the_command_names_a_wrong_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS["synthesis"].run is synthesis
    assert synthesis([str(tmp_path / "run.yaml"), "spces=[text]"]) == 2
    assert "did you mean 'spaces'?" in capsys.readouterr().err


def test_real_halves_are_what_a_perfect_generator_gets() -> None:
    from crossrec.augment.generators.fit import TrainingSamples

    samples = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)
    data = TrainingSamples.divide(samples, np.ones((1000, 1), np.float32), 0.0, 0)
    found = study._real_halves(data, 0, None)
    assert found["coverage"] == pytest.approx(0.97, abs=0.03)
    assert found["density"] == pytest.approx(1, abs=0.1)


def test_a_log_goes_on_at_its_state(tmp_path: Path) -> None:
    from crossrec.augment.generators.loop import LoopLog

    log = LoopLog(tmp_path / "log.jsonl", 0)
    lines: list[Line] = [{"kind": "step", "step": step} for step in (1, 2, 3)]
    for line in lines:
        log.add(line)
    log.flush()
    assert LoopLog(tmp_path / "log.jsonl", 2).lines == lines[:2]
    assert LoopLog(tmp_path / "log.jsonl", 0).lines == []
