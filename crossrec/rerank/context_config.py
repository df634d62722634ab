"""Configuration of the reranker that keeps rules on a column of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from crossrec.config import Config

if TYPE_CHECKING:
    from crossrec.rerank.base import ItemTraits
    from crossrec.rerank.context import Context

Value = Annotated[str, BeforeValidator(str)]
"""A value of a column, as text: YAML's ``3`` and ``true`` are "3" and "True"."""


class ContextConfig(Config):
    """Filters and quotas by a column of the catalogue; values are compared as text.

    Args:
        column: the column.
        allow: only items with these values; all when empty.
        deny: no items with these values.
        max_per_value: items of any one value in a list at most.
        max_count: the same for single values, in place of ``max_per_value``.
        min_count: items of a value in a list at least, where the candidates have as many.
    """

    type: Literal["context"] = "context"
    column: str
    allow: tuple[Value, ...] = ()
    deny: tuple[Value, ...] = ()
    max_per_value: int | None = Field(default=None, ge=1)
    max_count: dict[Value, Annotated[int, Field(ge=0)]] = Field(default={})
    min_count: dict[Value, PositiveInt] = Field(default={})

    @model_validator(mode="after")
    def _rules_agree(self) -> Self:
        if not (self.allow or self.deny or self.max_per_value or self.max_count or self.min_count):
            raise ValueError("no rule: give at least one of allow, deny, max_per_value, max_count, min_count")
        if both := sorted(set(self.allow) & set(self.deny)):
            raise ValueError(f"{both} are both allowed and denied")
        for value, least in self.min_count.items():
            if value in self.deny or (self.allow and value not in self.allow):
                raise ValueError(f"min_count asks for '{value}', which is filtered out")
            most = self.max_count.get(value, self.max_per_value)
            if most is not None and least > most:
                raise ValueError(f"'{value}': at least {least}, but at most {most}")
        return self

    def build(self, traits: ItemTraits) -> Context:
        """The reranker for a catalogue.

        Raises:
            InputError: the catalogue lacks the column, or the column a value.
        """
        from crossrec.rerank.context import Context

        return Context(self, traits)
