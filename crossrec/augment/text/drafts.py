"""What the language model makes of sentences, read from disk or drawn, shared between processes."""

from __future__ import annotations

from collections.abc import Callable

from crossrec.augment.base import Draws
from crossrec.augment.text.config import ParaphraseConfig
from crossrec.augment.text.generation import LineGenerator
from crossrec.augment.text.paraphrase_store import RecordStore, content_digest
from crossrec.augment.text.prompts import prompt_for
from crossrec.augment.text.segmentation import is_chinese, split_parts
from crossrec.runtime import distributed
from crossrec.runtime.progress import progress_bar

_TOKENS_PER_WORD = 2.2
"""More than text has under usual tokenizers; a longer draft would be dropped for its length."""
_LEAST_TOKENS = 16


class Drafts:
    """Draws paraphrases of sentences in blocks, block i by process ``i % world_size``.

    Args:
        config: of the model and its sampling.
        identity: of the weights, part of every key.
        store: holds finished drafts.
        load: gives the generator when the first sentence is not in the store.
    """

    def __init__(
        self, config: ParaphraseConfig, identity: str, store: RecordStore, load: Callable[[], LineGenerator]
    ) -> None:
        self.config, self.identity, self.store = config, identity, store
        self._load = load
        self._generator: LineGenerator | None = None

    def of(self, sentences: list[str], draws: Draws) -> dict[str, list[str | None]]:
        """The drafts of each sentence, None for one without end. Every process must call this.

        Args:
            sentences: unlike ones.
            draws: whose seed and stream count; each sentence is its own key.
        """
        keys = {sentence: self._key(sentence, draws) for sentence in sentences}
        done = self.store.values()
        # Blocks are cut before finished ones are left out: the same batches in a broken and an unbroken run.
        blocks = self._blocks(sentences)
        mine = blocks[distributed.rank() :: distributed.world_size()]
        todo = [block for block in mine if any(keys[sentence] not in done for sentence in block)]
        with progress_bar("paraphrases", sum(map(len, todo))) as advance:
            for block in todo:
                drawn = self._draw(block, draws)
                # In another batch a draw may tip by rounding; what the store has stays.
                new = {keys[sentence]: drawn[sentence] for sentence in block if keys[sentence] not in done}
                self.store.write(new)
                advance(len(block))
        distributed.barrier()
        done = self.store.values()
        return {sentence: done[keys[sentence]] for sentence in sentences}

    def _blocks(self, sentences: list[str]) -> list[list[str]]:
        """Sentences of one language and like length together."""
        size = max(1, self.config.batch_size // self.config.candidates)
        blocks: list[list[str]] = []
        for chinese in (False, True):
            group = [sentence for sentence in sentences if is_chinese(sentence) is chinese]
            group.sort(key=lambda sentence: (len(sentence), sentence))
            blocks += [group[start : start + size] for start in range(0, len(group), size)]
        return blocks

    def _draw(self, sentences: list[str], draws: Draws) -> dict[str, list[str | None]]:
        if self._generator is None:
            self._generator = self._load()
        prompts = [prompt_for(sentence, self.config.model, self.config.template) for sentence in sentences]
        n_tokens = _LEAST_TOKENS + int(_TOKENS_PER_WORD * max(map(_n_words, sentences)))
        rounds = range(self.config.candidates)
        own = [Draws(draws.seed, (*draws.stream, "draft", number), sentences) for number in rounds]
        lines = self._generator.draw(
            prompts * len(rounds), [generator for round_draws in own for generator in round_draws], n_tokens
        )
        return {
            sentence: [lines[number * len(sentences) + row] for number in rounds]
            for row, sentence in enumerate(sentences)
        }

    def _key(self, sentence: str, draws: Draws) -> str:
        prompt = prompt_for(sentence, self.config.model, self.config.template)
        sampling = [self.config.candidates, self.config.temperature, self.config.top_k, self.config.top_p]
        return content_digest(self.identity, prompt.shared, prompt.own, sampling, draws.seed, draws.stream)


def _n_words(sentence: str) -> int:
    return sum(part.word for part in split_parts(sentence))
