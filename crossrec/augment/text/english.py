"""Closed classes of English words, lower case, that rules and filters ask for."""

from __future__ import annotations

ARTICLES = frozenset({"a", "an", "the"})
POSSESSIVES = frozenset({"my", "your", "his", "her", "its", "our", "their", "whose"})
DETERMINERS = (
    ARTICLES
    | POSSESSIVES
    | frozenset(
        {"this", "that", "these", "those", "no", "some", "any", "every", "each", "another", "both", "all"}
    )
)
SUBJECT_PRONOUNS = frozenset({"i", "you", "he", "she", "it", "we", "they"})
PERSONAL_PRONOUNS = SUBJECT_PRONOUNS | frozenset(
    {
        "me", "him", "us", "them", "myself", "himself", "herself", "itself", "themselves",
        "his", "her", "its", "their", "hers", "theirs",
    }
)  # fmt: skip
RELATIVES = frozenset({"who", "whom", "whose", "which", "that", "where", "what", "how", "why", "whether"})
MODALS = frozenset({"will", "would", "can", "could", "may", "might", "must", "shall", "should"})
BE = frozenset({"be", "is", "are", "was", "were", "been", "being", "am"})
AUXILIARIES = MODALS | BE | frozenset({"do", "does", "did", "has", "have", "had", "having", "doing"})
PREPOSITIONS = frozenset(
    {
        "about", "above", "across", "after", "against", "along", "among", "around", "at", "before", "behind",
        "below", "beneath", "beside", "between", "beyond", "by", "despite", "down", "during", "except", "for",
        "from", "in", "inside", "into", "like", "near", "of", "off", "on", "onto", "out", "over", "past",
        "since", "through", "throughout", "to", "toward", "towards", "under", "until", "up", "upon", "with",
        "within", "without",
    }
)  # fmt: skip
CONJUNCTIONS = frozenset(
    {
        "and", "but", "or", "nor", "so", "yet", "when", "while", "because", "although", "though", "if",
        "unless", "until", "once", "after", "before", "since", "as", "than", "whenever", "wherever",
    }
)  # fmt: skip
NEGATIONS = frozenset(
    {"not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot"}
)
NUMBER_WORDS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20",
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80",
    "ninety": "90", "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000",
}  # fmt: skip
"""Number words and the digits that say the same; ``one`` is a pronoun too, and left out."""

OPENERS = frozenset(
    {"there", "here", "then", "now", "one", "many", "most", "several", "two", "three", "four", "five"}
)
ADVERBS = frozenset(
    {
        "very", "too", "also", "just", "only", "even", "still", "already", "ever", "again", "soon", "not",
        "never", "more", "most", "less", "least", "much", "such", "same", "other", "own", "well", "back",
    }
)  # fmt: skip
FUNCTION_WORDS = (
    DETERMINERS | PERSONAL_PRONOUNS | RELATIVES | AUXILIARIES | PREPOSITIONS | CONJUNCTIONS | NEGATIONS
    | OPENERS | ADVERBS | NUMBER_WORDS.keys()
)  # fmt: skip
"""Words that are never replaced, and whose capital at a sentence's start means no name."""


def without_capital(sentence: str) -> str | None:
    """A sentence whose first word is written small, to stand inside another; None where it may be a name."""
    first, _, _ = sentence.partition(" ")
    if first in ("I", "I'm", "I've", "I'll", "I'd") or not first[:1].isupper():
        return sentence
    if first.lower().strip(",") in FUNCTION_WORDS:
        return sentence[:1].lower() + sentence[1:]
    return None


def with_capital(sentence: str) -> str:
    """A sentence whose first letter is a capital."""
    return sentence[:1].upper() + sentence[1:]
