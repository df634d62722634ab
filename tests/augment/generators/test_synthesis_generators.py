"""What every generator keeps to: shapes, seeds, gradients, files, marks; and parity of their parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from crossrec.augment.generators import VectorGeneratorOptions
from crossrec.augment.generators.base import GeneratorTrainer, LoopConfig, Turn
from crossrec.augment.generators.beta_vae import BetaVae, gaussian_nats, kl_terms
from crossrec.augment.generators.fit import TrainingSamples, fit_generator
from crossrec.augment.generators.gaussian import Gaussian
from crossrec.augment.generators.image_gan import (
    AUGMENTATIONS,
    diff_augment,
    grid,
    to_bytes,
    to_images,
    to_samples,
)
from crossrec.augment.generators.store import Generator, load_generator
from crossrec.augment.generators.wgan_gp import gradient_penalty
from crossrec.config import Config
from crossrec.types import InputError

NAMES = ["beta_vae", "image_gan", "wgan_gp"]
EVERY = [*NAMES, "gaussian"]


def _generator(small: Any, name: str, seed: int = 0) -> tuple[Generator, np.ndarray]:
    """An untrained (or fitted) generator, and classes."""
    samples, classes = small.samples(name)
    if name == "gaussian":
        config = Gaussian.Options(min_samples=10)
        return Generator(config, config.build(samples, classes, 0).sampler, ("a", "b", "c")), classes
    small = small.configs[name]
    learner = small.build(torch.from_numpy(samples), torch.from_numpy(classes), seed)
    return Generator(small, learner.sampler, ("a", "b", "c")), classes


@pytest.mark.parametrize("name", EVERY)
def test_samples_are_marked_shaped_and_belong_to_the_seed(small: Any, name: str) -> None:
    generator, classes = _generator(small, name)
    found = generator.sample(classes[:5], 3)
    shape = (3, 64, 64) if name == "image_gan" else (small.width,)
    assert found.samples.shape == (5, *shape)
    assert found.samples.dtype == np.float32
    assert found.synthetic is True
    assert (found.generator, found.seed) == (name, 3)
    np.testing.assert_array_equal(found.classes, classes[:5])
    np.testing.assert_array_equal(found.samples, generator.sample(classes[:5], 3).samples)
    assert not np.array_equal(found.samples, generator.sample(classes[:5], 4).samples)


@pytest.mark.parametrize("name", EVERY)
def test_no_classes_give_no_samples(small: Any, name: str) -> None:
    generator, classes = _generator(small, name)
    assert len(generator.sample(classes[:0], 0)) == 0


@pytest.mark.parametrize("name", EVERY)
def test_classes_of_another_width_are_refused(small: Any, name: str) -> None:
    with pytest.raises(InputError, match=r"this generator takes \(n, 3\)"):
        _generator(small, name)[0].sample(np.zeros((2, 4)), 0)


@pytest.mark.parametrize("name", EVERY)
def test_saved_generators_give_the_same_samples(small: Any, name: str, tmp_path: Path) -> None:
    generator, classes = _generator(small, name)
    generator.save(tmp_path)
    loaded = load_generator(tmp_path, trust_code=True)
    assert loaded.options == generator.options
    assert loaded.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(loaded.sample(classes, 1).samples, generator.sample(classes, 1).samples)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}


def test_a_folder_without_a_generator_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"generator\.safetensors and generator\.json is missing"):
        load_generator(tmp_path)


@pytest.mark.parametrize(("name", "content"), [("generator.json", "{"), ("generator.json", "[]"),
                                               ("generator.safetensors", "half")])  # fmt: skip
def test_a_broken_file_says_so(small: Any, name: str, content: str, tmp_path: Path) -> None:
    _generator(small, "beta_vae")[0].save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="can't be read"):
        load_generator(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_classes_change_samples(small: Any, name: str) -> None:
    generator, classes = _generator(small, name)
    first, second = (generator.sample(classes[[row]], 0).samples for row in (0, 1))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(small: Any, name: str) -> None:
    samples, classes = (torch.from_numpy(array[:8]) for array in small.samples(name))
    learner = small.configs[name].build(samples, classes, 0)
    learner.train()
    before = {n: p.detach().clone() for n, p in learner.named_parameters()}

    def optimise(player: str, loss: torch.Tensor) -> None:
        optimiser = learner.optimizers()[player]
        optimiser.zero_grad()
        loss.backward(retain_graph=True, inputs=[p for g in optimiser.param_groups for p in g["params"]])
        optimiser.step()

    for step in range(4):
        figures = learner.step(
            samples, classes, Turn(step, 0.5, torch.Generator().manual_seed(step), optimise)
        )
        assert all(np.isfinite(value) for value in figures.values())
    still = [n for n, p in learner.named_parameters() if torch.equal(before[n], p)]
    # A critic's last offset shifts real and generated scores alike.
    assert [n for n in still if n != "critic.exit.bias"] == []


@pytest.mark.parametrize("name", NAMES)
def test_untrained_weights_belong_to_the_seed(small: Any, name: str) -> None:
    (one, _), (same, _), (other, _) = (_generator(small, name, seed) for seed in (0, 0, 1))
    weights = [generator.sampler.state_dict() for generator in (one, same, other)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert any(not torch.equal(value, weights[2][name]) for name, value in weights[0].items())


def test_gaussian_recovers_moments_of_each_class_and_shares_the_rest() -> None:
    generator = np.random.default_rng(0)
    classes = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [2000, 2000, 3])]
    root = generator.standard_normal((4, 4))
    vectors = generator.standard_normal((len(classes), 4)) @ root.T + 10 * classes.argmax(1)[:, None]
    sampler = Gaussian.Options(shrinkage=0).build(vectors, classes, 0).sampler
    drawn = sampler.draw(torch.from_numpy(classes[2000:4000]), 0).numpy()
    np.testing.assert_allclose(drawn.mean(0), vectors[2000:4000].mean(0), atol=0.25)
    np.testing.assert_allclose(np.cov(drawn.T), root @ root.T, atol=0.6)
    # Three samples are too few for a covariance: they are drawn from the shared one.
    rare = sampler.draw(torch.from_numpy(np.tile(classes[-1:], (500, 1))), 0).numpy()
    np.testing.assert_allclose(rare.mean(0), vectors.mean(0), atol=2)


def test_a_class_with_one_sample_is_no_obstacle(small: Any) -> None:
    vectors, classes = small.ring(60, 0)
    classes = np.concatenate([classes, np.zeros((60, 1), np.float32)], 1)
    classes[0] = [0, 0, 0, 1]
    sampler = Gaussian.Options(min_samples=10).build(vectors, classes, 0).sampler
    assert torch.isfinite(sampler.draw(torch.from_numpy(classes), 0)).all()


def test_gradient_penalty_of_a_linear_critic_is_known() -> None:
    slope = torch.tensor([3.0, 4.0])
    found = gradient_penalty(lambda x, _: x @ slope, torch.randn(5, 2), torch.zeros(5, 1))  # type: ignore[arg-type]
    assert float(found) == pytest.approx((5 - 1) ** 2)


def test_vae_terms_agree_with_torch() -> None:
    mean, log_sd = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(mean, log_sd.exp())
    prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    expected = torch.distributions.kl_divergence(normal, prior)
    torch.testing.assert_close(kl_terms(mean, log_sd), expected)  # measured 5e-7
    points = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gaussian_nats(points, mean, log_sd), -normal.log_prob(points))


@pytest.mark.parametrize("kind", sorted(AUGMENTATIONS))
def test_augmentations_change_pictures_let_gradients_through_and_belong_to_the_draws(kind: str) -> None:
    pictures = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def augmented(seed: int) -> torch.Tensor:
        source = torch.Generator().manual_seed(seed)
        return diff_augment(pictures, [kind], lambda *shape: torch.rand(*shape, generator=source))  # type: ignore[list-item]

    found = augmented(1)
    assert found.shape == pictures.shape
    assert torch.equal(found, augmented(1))
    assert not torch.equal(found, augmented(2))
    found.sum().backward()
    assert pictures.grad is not None
    assert float(pictures.grad.abs().sum()) > 0


def test_translation_moves_whole_pictures() -> None:
    pictures = torch.zeros(1, 3, 64, 64)
    pictures[0, :, 30, 40] = 1
    found = AUGMENTATIONS["translation"](pictures, lambda *shape: torch.full(shape, 0.999))
    assert found[0, 0].nonzero().tolist() == [[30 - 8, 40 - 8]]


def test_pictures_survive_the_way_there_and_back() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    samples = to_samples(Image.fromarray(p) for p in pixels)
    assert samples.min() >= -1
    assert samples.max() <= 1
    np.testing.assert_array_equal(to_bytes(samples), pixels)
    assert [picture.size for picture in to_images(samples)] == [(64, 64)] * 4
    assert grid(samples, 3).shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    with pytest.raises(InputError, match="at least one picture"):
        grid(samples[:0], 3)


def test_pictures_of_another_size_are_refused(small: Any) -> None:
    with pytest.raises(InputError, match="takes pictures of shape"):
        small.configs["image_gan"].build(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3), 0)


def test_samples_that_are_not_finite_are_refused(small: Any) -> None:
    vectors, classes = small.ring(30, 0)
    vectors[4, 2] = np.nan
    with pytest.raises(InputError, match="row 4"):
        TrainingSamples.divide(vectors, classes, 0.2, 0)


class Outside(Config):
    """A generator from outside the project."""

    loop: LoopConfig = LoopConfig(steps=4, batch_size=8)

    def build(self, samples_NW: torch.Tensor, classes_NG: torch.Tensor, seed: int) -> GeneratorTrainer:
        """A VAE."""
        inner = BetaVae.Options(latent=2, width=8, depth=1, loop=self.loop)
        return inner.build(samples_NW, classes_NG, seed)


def test_a_generator_from_outside_is_trained_and_saved(small: Any, tmp_path: Path) -> None:
    samples, classes = small.samples("outside", 60)
    config = TypeAdapter(VectorGeneratorOptions).validate_python({"type": f"{__name__}:Outside"})
    data = TrainingSamples.divide(samples, classes, held_back=0, seed=0)
    fit_generator(config, data, seed=0, folder=tmp_path, accelerator=small.accelerator())
    loaded = load_generator(tmp_path, trust_code=True)
    assert loaded.options == config
    assert loaded.sample(classes[:2], 0).generator == "Outside"


def test_a_gaussian_goes_through_the_same_door(small: Any, tmp_path: Path) -> None:
    samples, classes = small.ring(200, 0)
    data = TrainingSamples.divide(samples, classes, held_back=0.2, seed=0)
    fitted = fit_generator(Gaussian.Options(), data, seed=0, folder=tmp_path, accelerator=small.accelerator())
    assert fitted.outcome is None
    assert fitted.quality.n_held_back == 40
    assert load_generator(tmp_path).options == Gaussian.Options()
