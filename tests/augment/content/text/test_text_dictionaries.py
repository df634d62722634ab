"""WordNet's files, morphology, parts of speech, synonyms and the Chinese thesaurus, on small made files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec.augment.base import Augmented, SampleRng
from crossrec.augment.content.text.base import TextOutcome
from crossrec.augment.content.text.language import Segmentation
from crossrec.augment.content.text.morphology import (
    Inflection,
    PartOfSpeechReader,
    base_forms,
    inflect,
    with_article,
)
from crossrec.augment.content.text.synonyms import ChineseThesaurus, Synonyms
from crossrec.augment.content.text.wordnet import PartOfSpeech, WordNet, find_wordnet
from crossrec.types import InputError

N, V, A, R = PartOfSpeech.NOUN, PartOfSpeech.VERB, PartOfSpeech.ADJECTIVE, PartOfSpeech.ADVERB

# Each sense: its words. A word's senses are ordered as they stand; all but those in UNTAGGED are annotated.
SENSES: dict[PartOfSpeech, list[list[str]]] = {
    N: [
        ["lawyer", "attorney"],
        ["child", "kid"],
        ["city", "metropolis"],
        ["plan", "program"],
        ["run"],
        ["dog", "domestic_dog", "Canis"],
        ["house", "oldhouse"],
        ["bus"],
    ],
    V: [["start", "begin"], ["stop", "halt"], ["run", "operate"], ["plan"], ["buy", "purchase"], ["love"]],
    A: [["old", "aged(p)"], ["famous", "celebrated"], ["young", "immature"]],
    R: [["quickly", "rapidly"]],
}
UNTAGGED = {"oldhouse"}
EXCEPTIONS = {
    N: "children child\n",
    V: "began begin\nbegun begin\nstopped stop\nstopping stop\nran run\nrunning run\nbought buy\n",
    A: "",
    R: "",
}
THESAURUS = """# a table made for tests
1-n\tcmn:lemma\t医生
1-n\tcmn:lemma\t大夫
2-n\tcmn:lemma\t城市
3-a\tcmn:lemma\t美丽+的
3-a\tcmn:lemma\t漂亮+的
4-n\tcmn:lemma\t意思
5-n\tcmn:lemma\t意思
4-n\tcmn:lemma\t意义
6-n\tcmn:lemma\t三月
6-n\tcmn:lemma\t3月
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wordnet")
    for part, senses in SENSES.items():
        data, offsets = "  1 This file was made for tests.\n", []
        for words in senses:
            offsets.append(len(data))
            listed = " ".join(f"{word} 0" for word in words)
            data += f"{offsets[-1]:08d} 00 {part[0]} {len(words):02x} {listed} 000 | a gloss\n"
        (path / f"data.{part}").write_text(data)
        lemmas: dict[str, list[int]] = {}
        for offset, words in zip(offsets, senses, strict=True):
            for word in words:
                lemmas.setdefault(word.split("(")[0].lower(), []).append(offset)
        lines = ["  1 This file was made for tests."]
        for lemma in sorted(lemmas):
            found = lemmas[lemma]
            tagged = 0 if lemma in UNTAGGED else len(found)
            numbers = " ".join(f"{offset:08d}" for offset in found)
            lines.append(f"{lemma} {part[0]} {len(found)} 2 @ ~ {len(found)} {tagged} {numbers}  ")
        (path / f"index.{part}").write_text("\n".join(lines) + "\n")
        (path / f"{part}.exc").write_text(EXCEPTIONS[part])
    return path


@pytest.fixture(scope="module")
def wordnet(folder: Path) -> WordNet:
    return WordNet(folder)


@pytest.fixture
def thesaurus_path(tmp_path: Path) -> Path:
    path = tmp_path / "wn-data-cmn.tab"
    path.write_text(THESAURUS, encoding="utf-8")
    return path


def augment(config: Synonyms.Options, *texts: str, seed: int = 0) -> Augmented[list[str]]:
    return config.build(Path("unused")).augment(list(texts), SampleRng(seed, (), range(len(texts))))


def test_reader_finds_senses_and_members(wordnet: WordNet) -> None:
    entry = wordnet.entry("lawyer", N)
    assert entry is not None
    assert wordnet.members(entry.synsets[0], N) == ["lawyer", "attorney"]
    assert wordnet.entry("lawyer", V) is None
    old = wordnet.entry("old", A)
    assert old is not None
    assert wordnet.members(old.synsets[0], A) == ["old"], "a word that only stands after its noun is left out"


def test_data_of_another_release_is_an_error(wordnet: WordNet) -> None:
    with pytest.raises(InputError, match=r"data\.noun has no sense at 3"):
        wordnet.members(3, N)


def test_missing_files_name_the_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"apt install wordnet-base.*npm install"):
        WordNet(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_wordnet(tmp_path / "absent")
    monkeypatch.setattr("crossrec.augment.content.text.wordnet._FOLDERS", ())
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("NLTK_DATA", raising=False)
    with pytest.raises(InputError, match="not on this machine"):
        Synonyms.Options().build(tmp_path)


def test_search_variable_names_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(folder))
    assert find_wordnet(None) == folder


@pytest.mark.parametrize(
    ("word", "part", "base", "inflection"),
    [
        ("lawyers", N, "lawyer", Inflection.PLURAL),
        ("cities", N, "city", Inflection.PLURAL),
        ("children", N, "child", Inflection.PLURAL),
        ("bus", N, "bus", Inflection.NONE),
        ("ran", V, "run", Inflection.PAST),
        ("stopping", V, "stop", Inflection.ING),
        ("loving", V, "love", Inflection.ING),
        ("purchased", V, "purchase", Inflection.PAST),
    ],
)
def test_inflected_words_and_their_base(
    wordnet: WordNet, word: str, part: PartOfSpeech, base: str, inflection: Inflection
) -> None:
    assert (base, inflection) in base_forms(word, part, wordnet)
    assert inflection is Inflection.PAST or inflect(base, inflection, part) == word


def test_irregular_past_is_left_open(wordnet: WordNet) -> None:
    assert inflect("begin", Inflection.PAST, V) is None, "began or begun?"
    assert inflect("begin", Inflection.THIRD_PERSON, V) == "begins"
    assert inflect("stop", Inflection.PAST, V) == "stopped"
    assert inflect("halt", Inflection.PAST, V) == "halted"


@pytest.mark.parametrize(
    ("word", "article"),
    [("attorney", "an"), ("hour", "an"), ("university", "a"), ("uncle", "an"), ("one", "a"), ("house", "a"),
     ("European", "a"), ("heir", "an"), ("unimportant", "an"), ("useful", "a"), ("hero", "a")],
)  # fmt: skip
def test_articles(word: str, article: str) -> None:
    assert with_article("a", word) == article
    assert with_article("An", word) == article.capitalize()


def test_part_of_speech_by_the_words_beside(wordnet: WordNet) -> None:
    reader = PartOfSpeechReader(wordnet)
    as_noun, as_verb = reader.read("plan", "the", ""), reader.read("plan", "to", "")
    assert as_noun is not None
    assert as_noun.part is N
    assert as_verb is not None
    assert as_verb.part is V
    assert reader.read("plan", "", "") is None, "open between noun and verb"


def test_synonyms_keep_part_of_speech_inflection_case_and_article(folder: Path) -> None:
    config = Synonyms.Options(wordnet=folder, share=1)
    made = augment(config, "A lawyer starts to plan.", "Two cities halted.", "He bought a dog.")
    assert made.samples == ["An attorney begins to plan.", "Two metropolises stopped.", "He purchased a dog."]
    assert made.changed.all()
    assert made.counts == {TextOutcome.KEPT: 3}


def test_names_numbers_and_hyphenated_words_stay(folder: Path) -> None:
    config = Synonyms.Options(wordnet=folder, share=1)
    text = "Lawyer 2 met LAWYER lawyer-client 42."
    made = augment(config, text)
    assert made.samples == [text]
    assert made.counts == {TextOutcome.NO_SYNONYM: 1}
    titles = Synonyms.Options(wordnet=folder, share=1, capitalised=True)
    assert augment(titles, "Famous City").samples == ["Celebrated Metropolis"]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("", TextOutcome.EMPTY), (" \n", TextOutcome.EMPTY), ("1999 2000", TextOutcome.NO_SYNONYM),
     ("😀😀", TextOutcome.NO_SYNONYM),
     ("xyzzy of the", TextOutcome.NO_SYNONYM), ("医生", TextOutcome.NO_CHINESE_THESAURUS)],
)  # fmt: skip
def test_text_without_synonym_comes_back(folder: Path, text: str, outcome: TextOutcome) -> None:
    made = augment(Synonyms.Options(wordnet=folder), text)
    assert made.samples == [text]
    assert made.counts == {outcome: 1}
    assert not made.changed.any()


def test_chinese_words_with_one_sense_are_replaced(folder: Path, thesaurus_path: Path) -> None:
    config = Synonyms.Options(wordnet=folder, chinese=thesaurus_path, share=1)
    made = augment(config, "美丽的医生在城市,意思和三月", "城市")
    assert made.samples == ["漂亮的大夫在城市,意思和三月", "城市"]
    assert made.counts == {TextOutcome.KEPT: 1, TextOutcome.NO_SYNONYM: 1}
    mixed = augment(config, "The lawyer 医生 starts 😀")
    assert mixed.samples == ["The attorney 大夫 begins 😀"]


def test_longest_known_word_is_cut(thesaurus_path: Path) -> None:
    thesaurus = ChineseThesaurus(thesaurus_path)
    assert thesaurus.cut("美丽的城市人") == ["美丽的", "城市", "人"]
    assert thesaurus.synonyms("意思") == [], "two senses"


def test_broken_thesaurus_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        Synonyms.Options(wordnet=folder, chinese=tmp_path / "absent.tab").build(tmp_path)
    wrong = tmp_path / "wrong.tab"
    wrong.write_text("no tabs here\n")
    with pytest.raises(InputError, match="holds no line"):
        Synonyms.Options(wordnet=folder, chinese=wrong).build(tmp_path)


def test_jieba_is_used_only_where_installed(folder: Path, tmp_path: Path) -> None:
    config = Synonyms.Options(wordnet=folder, segmentation=Segmentation.JIEBA)
    try:
        import jieba  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="uv pip install jieba"):
            config.build(tmp_path)
    else:
        assert augment(config, "医生").counts == {TextOutcome.NO_CHINESE_THESAURUS: 1}


def test_share_of_words(folder: Path) -> None:
    text = " ".join(["the lawyer"] * 400)
    made = augment(Synonyms.Options(wordnet=folder, share=0.25), text).samples[0]
    # Binomial(400, .25) has a standard deviation of 8.7.
    assert abs(made.count("attorney") - 100) < 45


def test_same_key_same_synonyms_in_any_order(folder: Path) -> None:
    texts = [f"the lawyer and the child start a plan in the city {i}" for i in range(20)]
    augmenter = Synonyms.Options(wordnet=folder, share=0.5).build(Path("unused"))
    draws = SampleRng(3, ("view", 1), [f"item {i}" for i in range(20)])
    whole = augmenter.augment(texts, draws).samples
    order = np.random.default_rng(0).permutation(20)
    shuffled = augmenter.augment([texts[i] for i in order], draws.take(order)).samples
    assert shuffled == [whole[i] for i in order]
    assert len(set(whole)) > 10


def test_a_released_wordnet() -> None:
    try:
        found = find_wordnet(None)
    except InputError as error:
        pytest.skip(str(error))
    wordnet = WordNet(found)
    dog = wordnet.entry("dog", N)
    assert dog is not None
    assert "domestic_dog" in wordnet.members(dog.synsets[0], N)
    assert ("go", Inflection.PAST) in base_forms("went", V, wordnet)
    made = augment(Synonyms.Options(wordnet=found, share=1), "A lawyer quickly purchased an automobile.")
    assert "attorney" in made.samples[0]
    assert made.samples[0].startswith("An ")
