"""Paraphrases of film plots by a small language model: how many are kept, and what the filters drop.

    python benchmarks/paraphrase.py --root PATH/TO/ml-latest-small --texts 100 [--out FOLDER]

Writes paraphrase.json with the figures and paraphrase.md with kept and dropped samples. New numbers and names
are counted again here, on whole plots, by rules of this file's own. Paraphrases are cached, so the command
may be stopped and started again. The samples hold texts of the data set: don't publish them.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossrec.augment.base import SampleRng
from crossrec.augment.content.text.language import split_sentences
from crossrec.augment.content.text.paraphrase import Paraphrase
from crossrec.augment.content.text.paraphrase_filters import reason_to_drop
from crossrec.encoders.base import EncoderPrecision
from crossrec.encoders.text import TextEncoder
from crossrec.runtime.files import write_text
from crossrec.types import InputError

SEED = 0
SAMPLES = 20
KEPT, DROPPED = "kept", "dropped"


def main() -> None:
    """Paraphrases the first plots, measures and writes."""
    arguments = _arguments()
    plots = _plots(arguments.root / "overviews.csv", arguments.texts)
    encoder = TextEncoder.Options(precision=EncoderPrecision.FP32).build(arguments.cache)
    config = Paraphrase.Options(candidates=arguments.candidates, max_sentences=arguments.sentences)
    augmenter = config.build(arguments.cache, encoder.encode)
    assert isinstance(augmenter, Paraphrase)
    started = time.perf_counter()
    draws = SampleRng(SEED, ("benchmark",), list(plots))
    made = augmenter.augment(list(plots.values()), draws)
    seconds = time.perf_counter() - started
    pairs = [(old, new) for old, new in zip(plots.values(), made.samples, strict=True) if new != old]
    chosen = {s.strip() for text in plots.values() for s in augmenter.chosen(split_sentences(text))}
    best, _ = augmenter.paraphrases(sorted(chosen), draws)
    similar = augmenter.similarities.of(list(best.items()))
    figures = {
        "texts": len(plots),
        "kept": len(pairs),
        "kept_share": len(pairs) / len(plots),
        "mean_similarity_of_kept_texts": _mean_similarity(encoder.encode, pairs),
        "mean_similarity_of_kept_sentences": round(float(np.mean(list(similar.values()))), 4)
        if best
        else None,
        "texts_with_new_numbers": sum(bool(_numbers(new) - _numbers(old)) for old, new in pairs),
        "texts_with_new_names": sum(bool(_new_names(old, new)) for old, new in pairs),
        "counts": made.counts,
        "seconds_of_this_run": round(seconds, 1),
        "config": config.model_dump(mode="json"),
    }
    write_text(arguments.out / "paraphrase.json", json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    write_text(arguments.out / "paraphrase.md", _page(augmenter, sorted(chosen), draws, figures))
    print(json.dumps(figures, indent=2))  # noqa: T201


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder with overviews.csv")
    parser.add_argument("--texts", type=int, default=100, help="plots, from the top of the file")
    parser.add_argument("--sentences", type=int, default=8, help="sentences of a plot that are paraphrased")
    parser.add_argument("--candidates", type=int, default=2, help="drafts of each sentence")
    parser.add_argument("--out", type=Path, default=Path("runs/paraphrase"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    return parser.parse_args()


def _plots(path: Path, n: int) -> dict[str, str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; --root names the folder with overviews.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:n]
    return {row["movieId"]: row["overview"] for row in rows}


def _mean_similarity(encode: object, pairs: list[tuple[str, str]]) -> float | None:
    if not pairs or not callable(encode):
        return None
    old, new = (np.asarray(encode([pair[side] for pair in pairs]), np.float64) for side in (0, 1))
    cosine = (old * new).sum(1) / (np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1))
    return round(float(cosine.mean()), 4)


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+", text))


def _new_names(old: str, new: str) -> set[str]:
    """Capitalised words inside sentences that the plot has nowhere, in any case."""
    inside = re.findall(r"(?<=[a-z,;] )([A-Z][\w-]+)", new)
    return {word for word in inside if word.lower() not in old.lower()}


def _page(
    augmenter: Paraphrase, sentences: list[str], draws: SampleRng, figures: Mapping[str, object]
) -> str:
    """Markdown with the first kept and dropped sentences."""
    drafts = augmenter.drafts.of(sentences, draws)
    best, _ = augmenter.paraphrases(sentences, draws)
    bounds = augmenter.options.filters
    lines: dict[str, list[str]] = {KEPT: [], DROPPED: []}
    for old in sentences:
        if old in best:
            lines[KEPT].append(f"- {old}\n  - {best[old]}\n")
        for new in drafts[old]:
            reason = reason_to_drop(old, new, bounds)
            if reason is not None:
                lines[DROPPED].append(f"- **{reason}** {old}\n  - {new}\n")
    table = "".join(f"| {name} | {value} |\n" for name, value in figures.items() if name != "config")
    parts = [f"# Paraphrases by a language model\n\n| | |\n|---|---|\n{table}"]
    for name, found in lines.items():
        step = max(1, len(found) // SAMPLES)
        parts.append(f"\n## {name.capitalize()}: every {step}th of {len(found)}\n\n" + "".join(found[::step]))
    return "".join(parts)


if __name__ == "__main__":
    main()
