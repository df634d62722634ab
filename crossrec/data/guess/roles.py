"""Roles of the columns of an item table and of an interaction table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from crossrec.data.guess.facts import ColumnFacts, Role, named
from crossrec.data.guess.tables import Table
from crossrec.data.sources.reading import SourceError
from crossrec.data.sources.values import categories

EVENT_WEIGHTS = (
    (5, "purchase buy bought order transaction kauf sale checkout bestell compra achat paid"),
    (3, "cart basket warenkorb panier"),
    (2, "wish fav like bookmark save merk share"),
    (1, "view pv click impression ansicht seen detail play listen read visit klick open browse"),
)
"""Weights that event types get by the words in their names."""

TAKEN_BACK = "remove return refund cancel dislike unlike storno retoure delete"
"""Words of events that say the opposite of interest; they get no weight, so that they are dropped."""

MOST_EVENTS = 20


@dataclass(frozen=True)
class Entry:
    """A key of the configuration with its guessed value.

    Args:
        key: dotted key.
        value: its value.
        why: the evidence.
        active: whether the key is set; else it is written as a comment.
    """

    key: str
    value: Any
    why: str
    active: bool = True


@dataclass
class Roles:
    """Roles found in a table.

    Args:
        entries: entries of the configuration.
        taken: columns with a role.
    """

    entries: list[Entry] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def add(self, key: str, column: str, why: str) -> None:
        """Give a column a role."""
        self.entries.append(Entry(key, column, why))
        self.taken.append(column)


ITEMS, LOG = "data.source.item_columns", "data.source.interaction_columns"


def log_roles(log: Table, item: str, item_why: str) -> tuple[Roles, bool]:
    """Return the roles of the interactions' columns, and whether times are positions.

    Args:
        log: the interactions.
        item: the column of item ids.
        item_why: evidence for it.

    Raises:
        SourceError: if no column can be the user, or the time.
    """
    roles = Roles(taken=[item])
    time = _time(log, item)
    user = _user(log, [item, time.name])
    roles.add(f"{LOG}.user", user.name, f"{user.distinct:,} different values, {_per_value(user)} rows each")
    roles.add(f"{LOG}.item", item, item_why)
    assert time.times is not None
    unit, span = time.times.unit, time.times.span
    roles.add(f"{LOG}.timestamp", time.name, f"{span}" if unit == "order" else f"times from {span}")
    rating = _best(log, roles.taken, "rating", lambda f: f.number_share > 0.95 and f.distinct <= 200)
    if rating is not None:
        roles.add(f"{LOG}.rating", rating.name, f"numbers such as {_examples(rating)}")
    _add_events(log, roles)
    if unit is not None:
        why = {
            "order": "these are positions in a history, not points in time",
            "s": "read as seconds, the times are plausible",
        }
        said = why.get(unit, f"read as {unit}, the times are plausible")
        roles.entries.append(Entry("data.source.time_unit", unit, said))
    return roles, unit == "order"


def _time(log: Table, item: str) -> ColumnFacts:
    there = [f for f in log.columns.values() if f.name != item and f.times is not None]

    def fit(facts: ColumnFacts) -> tuple[float, ...]:
        assert facts.times is not None
        ordinal = facts.times.unit == "order"
        hint = named(facts.name, "time")
        return (hint if ordinal else hint + 2.5, facts.times.share, facts.filled)

    best = max(there, key=fit, default=None)
    if best is None or fit(best)[0] < 1:
        raise SourceError(
            f"no column of {log.describe()} is a time{unread_time(log)}. Interactions need one: seconds, "
            "milliseconds, an ISO date, or a position in each user's order (time_unit: order). If "
            f"there is one, write it into {LOG}.timestamp of a copy of configs/table_example.yaml"
        )
    return best


def unread_time(log: Table) -> str:
    """Return a clause about a column that is named like a time but can't be read as one; empty if none is."""
    for facts in log.columns.values():
        if named(facts.name, "time") == 2 and len(facts.present) and facts.times is None:
            return (
                f"; '{facts.name}' of {log.name} may be meant, but values such as '{facts.present[0]}' are "
                "neither numbers nor ISO dates (2024-12-31 or 2024-12-31 23:59:00): convert them"
            )
    return ""


def _user(log: Table, taken: Sequence[str]) -> ColumnFacts:
    def fits(facts: ColumnFacts) -> bool:
        if facts.name in taken or not facts.usable or facts.is_list or facts.filled < 0.5:
            return False
        return facts.distinct > 1 and not facts.is_fraction and facts.n_words < 3 and not facts.is_key

    def fit(facts: ColumnFacts) -> tuple[float, ...]:
        other = max(named(facts.name, role) for role in ("rating", "event", "price", "time"))
        hint = named(facts.name, "user")
        return (hint - (other if not hint else 0), named(facts.name, "id"), facts.distinct)

    best = max(filter(fits, log.columns.values()), key=fit, default=None)
    if best is None or fit(best)[0] < 0:
        raise SourceError(
            f"no column of {log.describe()} is a user: it must hold an id that several rows share. If there "
            f"is one, write it into {LOG}.user of a copy of configs/table_example.yaml"
        )
    return best


def _add_events(log: Table, roles: Roles) -> None:
    """Add the column of event types, with weights if their names are familiar."""

    def fits(facts: ColumnFacts) -> bool:
        familiar = any(event_weight(value) is not None for value in facts.sample)
        return (
            2 <= facts.distinct <= MOST_EVENTS
            and facts.letter_share > 0.5
            and not facts.is_list
            and (familiar or named(facts.name, "event") == 2)
        )

    found = [f for f in log.columns.values() if f.name not in roles.taken and f.usable and fits(f)]
    best = max(found, key=lambda f: (_n_familiar(f), named(f.name, "event")), default=None)
    if best is None:
        return
    counts = best.present.value_counts(sort=True)
    there = dict(zip(counts[best.present.name].to_list(), counts["count"].to_list(), strict=True))
    roles.add(f"{LOG}.event", best.name, ", ".join(f"{name} {count:,}" for name, count in there.items()))
    weights = {name: event_weight(name) for name in there}
    if _n_familiar(best) == 0:
        asked = dict.fromkeys(there, 1)
        roles.entries.append(
            Entry("data.cleaning.events", asked, "types with a weight; others are dropped", active=False)
        )
        return
    kept = {name: 1 if weight is None else weight for name, weight in weights.items() if weight != 0}
    kept = dict(sorted(kept.items(), key=lambda pair: pair[1]))
    dropped = [name for name, weight in weights.items() if weight == 0]
    said = "weights by the names of the events, a guess: change them"
    if dropped:
        said += f"; dropped: {', '.join(dropped)}"
    roles.entries.append(Entry("data.cleaning.events", kept, said))
    most = max(kept.values())
    targets = [name for name, weight in kept.items() if weight == most]
    if len(targets) < len(kept):
        said = "validation and test ask for these events only; without it, for all"
        roles.entries.append(Entry("data.cleaning.target_events", targets, said, active=False))


def event_weight(name: str) -> int | None:
    """Return the weight that an event type's name suggests: 0 for one to be dropped, None if unfamiliar."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    if any(word in plain for word in TAKEN_BACK.split()):
        return 0
    return next((w for w, words in EVENT_WEIGHTS if any(word in plain for word in words.split())), None)


def _n_familiar(facts: ColumnFacts) -> int:
    return sum(event_weight(value) is not None for value in facts.sample)


def item_roles(items: Table, identifier: str) -> Roles:
    """Return the roles of the item table's columns, without pictures.

    Args:
        items: the items.
        identifier: the column of ids.
    """
    roles = Roles()
    key = items.columns[identifier]
    roles.add(f"{ITEMS}.id", identifier, f"{key.distinct:,} different values in {items.rows}")
    taken = [*roles.taken, *(f.name for f in items.columns.values() if f.picture_share > 0.5)]
    title = _best(items, taken, "title", lambda f: f.letter_share > 0.3 and f.n_words < 30)
    if title is None:
        title = _fallback_title(items, taken)
    texts: list[ColumnFacts] = [] if title is None else [title]
    if title is not None:
        roles.add(f"{ITEMS}.title", title.name, f"such as '{_short(title.present[0])}'")
        taken.append(title.name)
    for facts in items.columns.values():
        if facts.name in taken or not facts.usable or not len(facts.present) or facts.address_share > 0.5:
            continue
        hinted = named(facts.name, "text") == 2 and facts.letter_share > 0.3 and facts.n_words >= 2
        if hinted or (facts.n_words >= 6 and facts.letter_share > 0.5):
            texts.append(facts)
    if texts:
        names = [facts.name for facts in texts]
        lengths = ", ".join(f"{facts.n_words:.0f} words in '{facts.name}'" for facts in texts)
        roles.entries.append(Entry(f"{ITEMS}.text", names, f"for the text encoder; on average {lengths}"))
        roles.taken += [name for name in names if name not in roles.taken]
        taken += names
    price = _best(items, taken, "price", lambda f: f.number_share > 0.6)
    if price is not None:
        roles.add(
            f"{ITEMS}.price",
            price.name,
            f"{price.number_share:.0%} are numbers; values such as {_examples(price)}",
        )
        taken.append(price.name)
    kinds = _best(items, taken, "categories", lambda f: f.n_words < 20 and _is_grouping(f))
    if kinds is not None:
        roles.add(f"{ITEMS}.categories", kinds.name, _categories_of(kinds))
    return roles


def _fallback_title(items: Table, taken: Sequence[str]) -> ColumnFacts | None:
    found = [
        facts
        for facts in items.columns.values()
        if facts.name not in taken
        and facts.usable
        and facts.filled > 0.5
        and facts.letter_share > 0.8
        and 1.5 < facts.n_words < 15
        and facts.distinct > 0.8 * len(facts.present)
        and not named(facts.name, "text")
    ]
    return found[0] if found else None


def _is_grouping(facts: ColumnFacts) -> bool:
    return facts.is_list or facts.distinct < 0.7 * max(len(facts.present), 1) or _n_parts(facts) > 1.2


def _n_parts(facts: ColumnFacts) -> float:
    lists, _ = categories(facts.sample, None)
    mean = lists.list.len().mean()
    return float(mean) if isinstance(mean, int | float) else 0.0


def _categories_of(facts: ColumnFacts) -> str:
    if facts.is_list:
        return "lists of categories"
    lists, said = categories(facts.sample, None)
    parts = lists.explode().drop_nulls()
    divided = _n_parts(facts) > 1
    mark = said or "divided at '|'" if divided else said
    return f"{parts.n_unique():,} categories, such as '{parts[0]}'{f'; {mark}' if mark else ''}"


def _best(
    table: Table, taken: Sequence[str], role: Role, fits: Callable[[ColumnFacts], bool]
) -> ColumnFacts | None:
    """Return the column whose name fits a role best, among those whose values fit."""
    found = [
        facts
        for facts in table.columns.values()
        if facts.name not in taken
        and facts.usable
        and len(facts.present)
        and named(facts.name, role)
        and fits(facts)
    ]
    return max(found, key=lambda facts: named(facts.name, role), default=None)


def _per_value(facts: ColumnFacts) -> str:
    return f"{len(facts.present) / max(facts.distinct, 1):.1f}"


def _examples(facts: ColumnFacts) -> str:
    return ", ".join(_short(value) for value in facts.sample.head(3).sort())


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 40 else f"{plain[:39]}…"


def first_values(facts: ColumnFacts) -> pl.Series:
    """Return some values, for checks against files."""
    return facts.present.head(500)
