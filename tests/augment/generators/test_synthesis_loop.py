"""The loop: a killed training ends as an unbroken one does; generators learn; collapse is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from crossrec.augment.generators import loop
from crossrec.augment.generators.base import GeneratorTrainer, LoopConfig, Sampler, Turn
from crossrec.augment.generators.beta_vae import BetaVae
from crossrec.augment.generators.collapse import Failure
from crossrec.augment.generators.fit import Fitted, TrainingSamples, fit_generator
from crossrec.augment.generators.gaussian import Gaussian
from crossrec.augment.generators.loop import LOG_FILE, STATE_FILE, batch_rows, follow, train_generator
from crossrec.augment.generators.wgan_gp import WganGp
from crossrec.config import ComponentOptions
from crossrec.types import InputError


class Killed(Exception):
    """Stands for a kill."""


def _train(
    small: Any, name: str, folder: Path, kill_at: int | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """Trains a small generator; the weights of its sampler."""
    samples, classes = (torch.from_numpy(array) for array in small.samples(name, 40))
    learner = small.configs[name].build(samples, classes, seed)
    honest = learner.step

    def step(samples_BW: Tensor, classes_BG: Tensor, turn: Turn) -> dict[str, float]:
        if turn.step == kill_at:
            raise Killed
        return honest(samples_BW, classes_BG, turn)

    learner.step = step
    scores = {8: 1.0, 16: 3.0, 24: 2.0}
    seen = iter([scores[s] for s in (8, 16, 24)] if not (folder / STATE_FILE).exists() else [3.0, 2.0])

    def check(sampler: Sampler) -> dict[str, float]:
        return {"score": next(seen)}

    train_generator(
        learner,
        samples,
        classes,
        small.configs[name].loop,
        seed=seed,
        folder=folder,
        accelerator=small.accelerator(),
        check=check,
    )
    return learner.sampler.state_dict()


@pytest.mark.parametrize("name", ["beta_vae", "image_gan", "wgan_gp"])
def test_a_killed_training_gives_the_same_weights_and_log(small: Any, name: str, tmp_path: Path) -> None:
    whole = _train(small, name, tmp_path / "whole")
    with pytest.raises(Killed):
        _train(small, name, tmp_path / "killed", kill_at=13)
    resumed = _train(small, name, tmp_path / "killed")
    for key, value in whole.items():
        assert torch.equal(value, resumed[key]), key
    assert small.lines(tmp_path / "whole" / LOG_FILE) == small.lines(tmp_path / "killed" / LOG_FILE)
    states = [load_file(tmp_path / folder / STATE_FILE) for folder in ("whole", "killed")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_best_average_is_kept(small: Any, tmp_path: Path) -> None:
    kept = _train(small, "beta_vae", tmp_path)
    state = load_file(tmp_path / STATE_FILE)
    assert all(torch.equal(value, state[f"best.{key}"]) for key, value in kept.items())
    assert any(not torch.equal(state[f"best.{key}"], state[f"average.{key}"]) for key in kept)


def test_a_finished_training_is_not_repeated(small: Any, tmp_path: Path) -> None:
    first = _train(small, "wgan_gp", tmp_path)
    again = _train(small, "wgan_gp", tmp_path, kill_at=0)
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_folder_of_another_training_is_refused(small: Any, tmp_path: Path) -> None:
    _train(small, "wgan_gp", tmp_path)
    with pytest.raises(InputError, match="the state of another training"):
        _train(small, "wgan_gp", tmp_path, seed=1)


def test_batches_visit_every_sample_once_an_epoch() -> None:
    rows = torch.cat([batch_rows(10, 4, 0, step) for step in range(5)])
    assert sorted(rows[:10].tolist()) == sorted(rows[10:].tolist()) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert batch_rows(3, 8, 0, 0).shape == (8,)


def test_the_average_follows(small: Any, tmp_path: Path) -> None:
    samples, classes = (torch.from_numpy(array) for array in small.ring(20, 0))
    old, new = (small.configs["wgan_gp"].build(samples, classes, seed).sampler for seed in (0, 1))
    expected = {k: 0.75 * v + 0.25 * new.state_dict()[k] for k, v in old.state_dict().items()}
    follow(old, new, 0.75)
    for key, value in old.state_dict().items():
        torch.testing.assert_close(value, expected[key])


def test_a_rate_that_is_too_high_is_named(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, classes = (torch.from_numpy(array) for array in small.ring(20, 0))
    learner = small.configs["beta_vae"].build(samples, classes, 0)
    monkeypatch.setattr(learner, "step", lambda *_: {"kl": float("inf")})
    with pytest.raises(InputError, match="kl is no longer finite"):
        _run(small, learner, samples, classes, tmp_path)


def test_no_samples_are_refused(small: Any, tmp_path: Path) -> None:
    samples, classes = (torch.from_numpy(array) for array in small.ring(20, 0))
    learner = small.configs["beta_vae"].build(samples, classes, 0)
    with pytest.raises(InputError, match="no training samples"):
        _run(small, learner, samples[:0], classes[:0], tmp_path)


def test_training_ends_when_nothing_gets_better(small: Any, tmp_path: Path) -> None:
    samples, classes = (torch.from_numpy(array) for array in small.ring(20, 0))
    learner = small.configs["beta_vae"].build(samples, classes, 0)
    config = LoopConfig(steps=50, batch_size=4, check_every=2, patience=3)
    outcome = train_generator(
        learner,
        samples,
        classes,
        config,
        seed=0,
        folder=tmp_path,
        accelerator=small.accelerator(),
        check=lambda _: {"score": 1.0},
    )
    assert (outcome.steps, outcome.best_step) == (8, 2)


def _run(small: Any, learner: GeneratorTrainer, samples: Tensor, classes: Tensor, folder: Path) -> None:
    config = small.configs["beta_vae"].loop
    loop.train_generator(
        learner, samples, classes, config, seed=0, folder=folder, accelerator=small.accelerator(), check=None
    )


LEARNING = LoopConfig(
    steps=900, batch_size=64, ema=0.98, check_every=100, checkpoint_every=900, patience=None, held_back=0.2
)


def _fitted(small: Any, config: ComponentOptions, folder: Path) -> Fitted:
    samples, classes = small.modes(600, 0)
    data = TrainingSamples.divide(samples, classes, held_back=0.2, seed=0)
    return fit_generator(config, data, seed=0, folder=folder, accelerator=small.accelerator())


@pytest.mark.parametrize(
    "config",
    [
        WganGp.Options(latent=4, width=32, depth=1, lr=3e-3, critic_steps=3, penalty=1.0, loop=LEARNING),
        BetaVae.Options(latent=2, width=32, depth=1, lr=5e-3, loop=LEARNING),
    ],
    ids=["wgan_gp", "beta_vae"],
)
def test_generators_learn_what_a_gaussian_can_not(
    small: Any, config: ComponentOptions, tmp_path: Path
) -> None:
    learned, gaussian = (
        _fitted(small, config, tmp_path / "learned"),
        _fitted(small, Gaussian.Options(), tmp_path / "gaussian"),
    )
    assert learned.warnings == ()
    assert learned.quality.train.density > 1.5 * gaussian.quality.train.density
    assert learned.quality.train.coverage > gaussian.quality.train.coverage


def test_collapse_is_seen_when_a_generator_gets_no_noise(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossrec.augment.generators.wgan_gp import VectorGenerator

    honest = VectorGenerator.scaled
    monkeypatch.setattr(
        VectorGenerator, "scaled", lambda self, noise, classes: honest(self, torch.zeros_like(noise), classes)
    )
    config = WganGp.Options(latent=8, width=32, depth=1, loop=LEARNING.model_copy(update={"steps": 100}))
    fitted = _fitted(small, config, tmp_path)
    found = {warning.figure for warning in fitted.warnings if warning.failure is Failure.MODE_COLLAPSE}
    assert "spread within a class" in found
    # Its classes still differ, which is why the spread over all samples does not give it away.
    assert len(np.unique(fitted.generator.sample(np.eye(small.n_kinds), 0).samples, axis=0)) == small.n_kinds


def test_failure_is_seen_when_rates_are_far_too_high(small: Any, tmp_path: Path) -> None:
    config = WganGp.Options(
        latent=8, width=32, depth=1, lr=1.0, critic_steps=1, loop=LEARNING.model_copy(update={"steps": 100})
    )
    assert {w.failure for w in _fitted(small, config, tmp_path).warnings} & {
        Failure.MODE_COLLAPSE,
        Failure.OFF_DATA,
    }
