"""Loading of transformers models from resolved weights, including language models in GGUF files."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path
from crossrec.runtime.weights.resolve import (
    Fits,
    Layout,
    ResolvedWeights,
    WeightsError,
    WeightsSource,
    resolve,
    ways,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_TRANSFORMERS = (Fits.TEXT_ENCODER, Fits.CAUSAL_LM)


def causal_lm(
    weights: str, cache_dir: Path, *, architecture: str = "package:smollm2-135m", seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a decoder with its language head, in fp32, and its tokenizer.

    Under several processes, each must call this.

    Args:
        weights: as in :func:`resolve`.
        cache_dir: folder for converted weights; a GGUF file is dequantised into it once.
        architecture: source of settings and tokenizer for ``random`` weights.
        seed: seed of the initialisation with ``random`` weights.

    Raises:
        WeightsError: if the weights are unavailable or not a causal language model's.
    """
    from transformers import AutoModelForCausalLM

    return load_model(AutoModelForCausalLM, weights, cache_dir, architecture, seed)


def load_settings(
    weights: str, cache_dir: Path, architecture: str
) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    """Return a model's settings and its tokenizer, without the weights; arguments as in :func:`load_model`.

    Raises:
        WeightsError: if they are unavailable or don't fit.
    """
    from transformers import AutoConfig, AutoTokenizer

    found = resolve(weights)
    if found.source is WeightsSource.RANDOM:
        found = resolve(architecture)
    folder = transformers_folder(found, cache_dir)
    try:
        return AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"weights '{weights}': {folder} can't be loaded: {error}") from error


def load_model(
    auto_class: Any, weights: str, cache_dir: Path, architecture: str, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model through one of transformers' Auto classes, in fp32, and its tokenizer.

    Args:
        auto_class: ``AutoModel``, ``AutoModelForCausalLM``, …
        weights: as in :func:`resolve`.
        cache_dir: folder for converted weights.
        architecture: source of settings and tokenizer for ``random`` weights.
        seed: seed of the initialisation with ``random`` weights.

    Raises:
        WeightsError: if the weights are unavailable or don't fit.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer

    found = resolve(weights)
    random = found.source is WeightsSource.RANDOM
    folder = transformers_folder(resolve(architecture) if random else found, cache_dir)
    try:
        with _no_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            if random:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
                    model = auto_class.from_config(settings, dtype=torch.float32, trust_remote_code=False)
            else:
                model = _load_strictly(auto_class, folder)
    except (OSError, ValueError, KeyError) as error:
        if "trust_remote_code" in str(error):
            raise WeightsError(
                f"weights '{weights}': {folder} brings Python code of its own, which is never run; use "
                "weights whose architecture transformers has"
            ) from error
        raise WeightsError(f"weights '{weights}': {folder} can't be loaded: {error}") from error
    return model.eval(), tokenizer


def _load_strictly(auto_class: Any, folder: Path) -> PreTrainedModel:
    import torch

    model, loading = auto_class.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
    )
    # Checkpoints of encoders are complete without the parts that mean or CLS pooling doesn't use.
    unused = ("pooler.", "decoder.") if model.config.is_encoder_decoder else ("pooler.",)
    missing = [name for name in loading["missing_keys"] if not name.startswith(unused)]
    if missing or loading["mismatched_keys"]:
        raise WeightsError(
            f"{folder}: {len(missing)} tensors of {type(model).__name__} are missing and "
            f"{len(loading['mismatched_keys'])} have another shape, such as "
            f"{[*missing, *loading['mismatched_keys']][:3]}; they would stay random"
        )
    return model


def transformers_folder(weights: ResolvedWeights, cache_dir: Path) -> Path:
    """Return a folder that transformers loads from; a packaged GGUF file is converted on first use.

    Raises:
        WeightsError: if the weights are of another kind.
    """
    package = weights.package
    if package is not None and package.fits not in _TRANSFORMERS:
        raise WeightsError(f"weights '{weights.identity}' are {package.fits}, not a transformers model")
    if package is not None and package.layout is Layout.GGUF:
        return _converted(weights, cache_dir)
    path = weights.local()
    if not path.is_dir():
        raise WeightsError(
            f"weights '{weights.identity}': transformers loads from a folder with config.json and "
            f"tokenizer files, not from a single file. {ways()}"
        )
    return path


def _converted(weights: ResolvedWeights, cache_dir: Path) -> Path:
    folder = cache_dir / "weights" / weights.identity.replace(":", "-").replace("@", "-")
    if distributed.is_main() and not folder.exists():
        logger.info("converting %s once into %s", weights.identity, folder)
        _convert(weights.local(), folder)
    distributed.barrier()
    return folder


def _convert(gguf_file: Path, folder: Path) -> None:
    model, tokenizer = _read_gguf(gguf_file)
    try:
        with _no_progress_bars(), atomic_path(folder) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    except OSError:
        # Another run may have finished the same conversion first.
        if not folder.exists():
            raise


def _read_gguf(gguf_file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model with plain fp32 parameters, which transformers agrees to save, and its tokenizer."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Newer transformers may leave the weights packed; older ones always unpack, and lack the setting.
    dense = getattr(transformers, "GgufConfig", None)
    with _no_progress_bars():
        tokenizer = AutoTokenizer.from_pretrained(
            gguf_file.parent, gguf_file=gguf_file.name, trust_remote_code=False
        )
        packed = AutoModelForCausalLM.from_pretrained(
            gguf_file.parent,
            gguf_file=gguf_file.name,
            dtype=torch.float32,
            trust_remote_code=False,
            quantization_config=dense and dense(dequantize=True),
        )
    config = copy.deepcopy(packed.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model: PreTrainedModel = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, trust_remote_code=False
    )
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    return model, tokenizer


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Suppress transformers' progress bars within the block."""
    from transformers.utils import logging as library_logging

    enabled = library_logging.is_progress_bar_enabled()
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            library_logging.enable_progress_bar()
