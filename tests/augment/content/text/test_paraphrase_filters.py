"""Which drafts of a paraphrase are dropped, and why."""

from __future__ import annotations

import pytest

from crossrec.augment.content.text.paraphrase_filters import (
    Drop,
    ParaphraseFilters,
    likeness,
    new_names,
    numbers,
    reason_to_drop,
)

SOURCE = "A young doctor moves to Paris after 12 years at sea."
GOOD = "After 12 years at sea, a young doctor settles in Paris."


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (GOOD, None),
        (None, Drop.UNFINISHED),
        ("😀.", Drop.BLANK),
        ("Sure, a doctor moves to Paris after 12 years at sea.", Drop.PROMPT),
        ("A doctor moves to Paris. In other words: he went to Paris after 12 years.", Drop.PROMPT),
        ("After 12 years at sea, a young doctor settles in a remote village in Wales.", Drop.PROMPT),
        ("A doctor goes to Paris and goes to Paris and goes to Paris and stays.", Drop.REPETITION),
        ("Paris doctor.", Drop.LENGTH),
        (SOURCE, Drop.NEAR_COPY),
        ("一位年轻的医生在海上工作多年以后搬到了巴黎。", Drop.LANGUAGE),
        ("After 13 years at sea, a young doctor settles in Paris.", Drop.NEW_NUMBER),
        ("After twelve years at sea, two young doctors settle in Paris.", Drop.NEW_NUMBER),
        ("After 12 years at sea, a young doctor settles in Paris with Anna.", Drop.NEW_NAME),
        ("Anna, a young doctor, settles in Paris after 12 years at sea.", Drop.NEW_NAME),
        ("After 12 years at sea, a young doctor goes to live in a city.", Drop.LOST_NAME),
        ("After 12 years at sea, a young doctor never settles in Paris.", Drop.NEGATION),
        ("After 12 years at sea, a young doctor leaves her ship for Paris.", Drop.NEW_PERSON),
        ("A young doctor, after 12 years at sea, goes to Paris, young doctor.", Drop.REPETITION),
        ("A young doctor moves to Paris. That is after 12 years at sea.", Drop.MORE_SENTENCES),
        ("After years at sea, a young doctor settles in Paris.", Drop.LOST_NUMBER),
        ("In Paris, a brave woman hunts for gold and 12 stolen diamonds.", Drop.NEW_WORDS),
    ],
)
def test_reasons_to_drop(candidate: str | None, reason: Drop | None) -> None:
    assert reason_to_drop(SOURCE, candidate, ParaphraseFilters()) is reason


def test_numbers_and_names() -> None:
    assert numbers("Two of 3,500 people, twelve dogs, 三十 and 两年") == {"2", "3", "500", "12", "三十", "两"}
    assert numbers("twelve") == numbers("12")
    assert new_names("the Titanic sinks", "Titanic's captain meets Mr. Rose-Smith. The end.") == {
        "Mr",
        "Rose-Smith",
    }
    assert new_names("spider-man runs", "Spider runs") == set()
    assert new_names("a South African", "a South-African") == set()
    assert likeness("a b c", "a b c") == 1
    assert likeness("a b", "c d") == 0
