"""Filters: tests on the catalogue's columns that select the items to list."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from crossrec.config import Config, validate
from crossrec.data.catalog import Catalog
from crossrec.serving.results import PICTURES
from crossrec.types import InputError

Value = bool | int | float | str
CATEGORIES = "categories"


class Filter(Config):
    """Test on one column; an item passes if its value is known and meets the test.

    For ``categories``, an item passes if any of its categories is named. Dates are given as ISO text.

    Args:
        column: column of the catalogue.
        equals: the value.
        one_of: allowed values.
        minimum: lower bound, for numbers, dates or texts; may be combined with ``maximum``.
        maximum: upper bound.
    """

    largest_integer: ClassVar[int | None] = None

    column: str
    equals: Value | None = None
    one_of: tuple[Value, ...] | None = None
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        ranged = self.minimum is not None or self.maximum is not None
        tests = [self.equals is not None, self.one_of is not None, ranged]
        if sum(tests) != 1:
            raise ValueError("give exactly one test: equals, one_of, or minimum and maximum (or one of them)")
        if ranged and self.column == CATEGORIES:
            raise ValueError("categories have no order: use equals or one_of")
        return self

    @property
    def values(self) -> tuple[Value, ...]:
        """Values of ``equals`` or ``one_of``."""
        return (self.equals,) if self.equals is not None else self.one_of or ()


def as_filters(given: Sequence[Filter | Mapping[str, Any]]) -> tuple[Filter, ...]:
    """Return filters, also from mappings such as ``{"column": "price", "maximum": 50}``.

    Raises:
        InputError: if a mapping is no filter.
    """
    return tuple(
        one if isinstance(one, Filter) else validate(Filter, one, f"filters.{number}")
        for number, one in enumerate(given)
    )


def passing(catalog: Catalog, test: Filter) -> np.ndarray:
    """Return (N,) bool, which items pass.

    Raises:
        InputError: if the catalogue lacks the column, or its values can't be compared with the filter's.
    """
    if test.column == CATEGORIES:
        return _in_category(catalog, [str(value) for value in test.values])
    # A picture's path on this machine must not be revealed.
    names = [name for name in catalog.dataset.column_names if name not in PICTURES]
    if test.column not in names:
        close = difflib.get_close_matches(test.column, names, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise InputError(f"filter: the catalogue has no column '{test.column}'; {hint}there are {names}")
    return _stands(catalog.column(test.column), test)


def _in_category(catalog: Catalog, wanted: list[str]) -> np.ndarray:
    columns = [number for number, name in enumerate(catalog.category_names) if name in wanted]
    return np.asarray(catalog.category_matrix[:, columns].sum(axis=1)).ravel() > 0


def _stands(column: pa.ChunkedArray, test: Filter) -> np.ndarray:
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=bool)
    column = _comparable(column, test.column)
    if test.values or test.one_of is not None:
        wanted = pa.array([_typed(value, column.type, test) for value in test.values], type=column.type)
        kept = pc.and_(pc.is_in(column, value_set=wanted), column.is_valid())
    else:
        kept = column.is_valid()
        if test.minimum is not None:
            kept = pc.and_(kept, pc.greater_equal(column, _typed(test.minimum, column.type, test)))
        if test.maximum is not None:
            kept = pc.and_(kept, pc.less_equal(column, _typed(test.maximum, column.type, test)))
    return np.asarray(pc.fill_null(kept, False).to_numpy(), dtype=bool)


def _comparable(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Return the column as numbers, texts, truth values or times.

    Raises:
        InputError: if it has any other type.
    """
    types = pa.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        # Rounded beyond 2^53, like the filter's number.
        return column.cast(pa.float64(), safe=False)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return column.cast(pa.string())
    if types.is_boolean(kind) or types.is_temporal(kind):
        return column
    raise InputError(f"filter: column '{name}' holds {kind}, which can't be filtered by")


def _typed(value: Value, kind: pa.DataType, test: Filter) -> pa.Scalar:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "a number": (pa.types.is_floating(kind), number),
        "a text": (pa.types.is_string(kind), isinstance(value, str)),
        "true or false": (pa.types.is_boolean(kind), isinstance(value, bool)),
        "a date or time as ISO text": (pa.types.is_temporal(kind), isinstance(value, str)),
    }
    wanted = next(name for name, (of_column, _) in fits.items() if of_column)
    problem = InputError(f"filter: column '{test.column}' is compared with {wanted}, not {value!r}")
    if not fits[wanted][1]:
        raise problem
    try:
        if number:
            return pa.scalar(float(value), kind)
        return pa.scalar(value).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError) as error:
        raise problem from error
