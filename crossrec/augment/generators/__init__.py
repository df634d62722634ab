"""Generators of vectors and pictures; each takes ``(options, samples, classes, seed)``."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

_VECTOR = {
    "wgan_gp": "crossrec.augment.generators.wgan_gp:WganGp",
    "beta_vae": "crossrec.augment.generators.beta_vae:BetaVae",
}
VECTOR_GENERATORS = Family("generator of vectors", _VECTOR)
"""Trained generators over item features and user profiles."""

GENERATORS = Family(
    "generator",
    {
        **_VECTOR,
        "image_gan": "crossrec.augment.generators.image_gan:ImageGan",
        "gaussian": "crossrec.augment.generators.gaussian:Gaussian",
    },
)
VectorGeneratorOptions = Annotated[ComponentOptions, VECTOR_GENERATORS]
GeneratorOptions = Annotated[ComponentOptions, GENERATORS]
