# ruff: noqa: RUF001 - Chinese punctuation
"""What a language model is asked for a paraphrase."""

from __future__ import annotations

from dataclasses import dataclass

from crossrec.augment.text.config import LanguageModel
from crossrec.augment.text.segmentation import is_chinese
from crossrec.types import InputError

_PLACE = "{text}"
_SEQ2SEQ_TEMPLATE = "paraphrase: {text}"
_ENGLISH_EXAMPLES = (
    (
        "A young doctor named Ruth moves to a remote village in Wales after the death of her husband, "
        "hoping to start a new life.",
        "After her husband dies, a young doctor named Ruth settles in a remote village in Wales in the hope "
        "of beginning a new life.",
    ),
    (
        "This cream leaves dry skin soft and smooth without a greasy feel.",
        "This cream makes dry skin soft and smooth and does not feel greasy.",
    ),
    (
        "Brothers Sam and Joe must save their father's farm before the bank takes it away, but Joe has a "
        "secret.",
        "Brothers Sam and Joe have to rescue the farm of their father before it is taken away by the bank, "
        "but Joe is hiding something.",
    ),
    (
        "When Karen meets an old friend in London, she begins to question her marriage.",
        "Karen starts to doubt her marriage when she runs into an old friend in London.",
    ),
)
_CHINESE_EXAMPLES = (
    ("一个年轻的医生在妻子去世后搬到了偏远的村庄。", "妻子死后，一位年轻医生去了一个偏僻的村子生活。"),
    ("这款面霜让干燥的皮肤变得柔软光滑，而且不油腻。", "用了这款面霜，干性皮肤会变得柔滑，也没有油腻感。"),
    ("两兄弟必须在银行收走农场之前救下它。", "在农场被银行收走以前，两兄弟得想办法保住它。"),
)
_ENGLISH_TASK, _ENGLISH_SOURCE, _ENGLISH_TARGET = (
    "Say each sentence in other words and keep its meaning.",
    "Sentence:",
    "In other words:",
)
_CHINESE_TASK, _CHINESE_SOURCE, _CHINESE_TARGET = "用不同的说法改写每个句子，意思不变。", "句子：", "改写："
LABELS = (_ENGLISH_SOURCE, _ENGLISH_TARGET, _CHINESE_SOURCE, _CHINESE_TARGET)
"""What a model that goes on with the prompt writes."""
EXAMPLES = tuple(text for pair in (*_ENGLISH_EXAMPLES, *_CHINESE_EXAMPLES) for text in pair)


@dataclass(frozen=True)
class Prompt:
    """What a model reads.

    Args:
        shared: the beginning, the same for all sentences of a language; read once.
        own: the rest, with the sentence.
    """

    shared: str
    own: str


def prompt_for(sentence: str, model: LanguageModel, template: str | None) -> Prompt:
    """The prompt for one sentence: the template, or examples in the sentence's language."""
    if template is None and model is LanguageModel.CAUSAL:
        if is_chinese(sentence):
            template = _few_shot(_CHINESE_TASK, _CHINESE_SOURCE, _CHINESE_TARGET, _CHINESE_EXAMPLES)
        else:
            template = _few_shot(_ENGLISH_TASK, _ENGLISH_SOURCE, _ENGLISH_TARGET, _ENGLISH_EXAMPLES)
    before, _, after = (template or _SEQ2SEQ_TEMPLATE).partition(_PLACE)
    # Tokens begin with their space.
    shared = before.rstrip(" ")
    return Prompt(shared, before[len(shared) :] + sentence + after)


def check_template(template: str | None) -> None:
    """Makes sure that a template has a place for the text.

    Raises:
        InputError: it has none.
    """
    if template is not None and _PLACE not in template:
        raise InputError(f"template '{template}' has no {_PLACE}, where the sentence goes")


def _few_shot(task: str, source: str, target: str, examples: tuple[tuple[str, str], ...]) -> str:
    shown = "".join(f"{source} {old}\n{target} {new}\n\n" for old, new in examples)
    return f"{task}\n\n{shown}{source} {_PLACE}\n{target}"
