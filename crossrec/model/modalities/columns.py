"""Numbers and categories of the item table, such as price, year and brand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from crossrec.config import ComponentOptions
from crossrec.data.catalog import Catalog
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities.base import ContentVectors, ItemModality, ModalityInputs
from crossrec.model.modalities.layers import Modality
from crossrec.model.whitening import Whitening
from crossrec.types import InputError

LARGEST = 10.0
"""Largest standardised number: an outlier of a new item must not dominate its vector."""


class TableColumns(ItemModality):
    """Numbers and categories of the item table, in one vector.

    Numbers are standardised with the mean and standard deviation of the training items. Each category column
    has one learned embedding per value of the training items; the values of a list are averaged. Each column
    has an indicator of missing values; values that no training item has count as missing.
    """

    seeded = True

    class Options(ComponentOptions):
        """Numbers and categories of the item table, such as price and brand."""

        numbers: tuple[str, ...] = Field((), description="columns of numbers, dates or booleans")
        log: tuple[str, ...] = Field((), description="those of numbers that are read as log(1 + x)")
        categories: tuple[str, ...] = Field((), description="columns of categories, or of lists of them")
        embedding: int = Field(16, ge=1, le=65_536, description="size of a category's embedding")
        max_values: int = Field(
            1_000, ge=1, le=10_000_000, description="most frequent values of a column that have an embedding"
        )

        @model_validator(mode="after")
        def _some_column(self) -> Self:
            if not self.numbers and not self.categories:
                raise ValueError("name columns of the item table in numbers or categories")
            for name in self.log:
                if name not in self.numbers:
                    raise ValueError(f"log: '{name}' is not among numbers ({', '.join(self.numbers)})")
            names = [*self.numbers, *self.categories]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"column '{twice[0]}' is named twice")
            return self

    options: Options

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Check that the columns exist, are of the right kind, and hold something."""
        numbers_NF, values = self._read(content.catalog)
        if len(content.catalog) and not (np.isfinite(numbers_NF).any() or any(map(any, values))):
            raise InputError(f"{self._where}: every item lacks a value in all columns")

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return the module, with statistics and values of the training items or of a trained network."""
        numbers_NF, values = self._read(inputs.content.catalog)
        if inputs.saved:
            coding = Coding.of_saved(inputs.saved)
        else:
            rows = np.flatnonzero(inputs.trained_N)
            coding = Coding.of(numbers_NF[rows], [[v[row] for row in rows] for v in values], self.options)
        return ColumnFeatures(coding, coding.rows(numbers_NF, values), self.options.embedding)

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Return the coded columns of new items."""
        assert isinstance(modality, ColumnFeatures)
        rows_KW = modality.coding.rows(*self._read(content.catalog))
        return ContentVectors(modality.coding.known(rows_KW), rows_KW)

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the names of the columns."""
        return (*self.options.numbers, *self.options.categories)

    def parameters(self, width: int, whiten: Whitening, n_items: int) -> int:
        """Estimate the parameters from the largest number of values."""
        options = self.options
        n_values = min(options.max_values, n_items) * len(options.categories)
        n_inputs = 2 * len(options.numbers) + (options.embedding + 1) * len(options.categories)
        return n_values * options.embedding + n_inputs * width

    @property
    def _where(self) -> str:
        return f"model.modalities.{self.name}"

    def _read(self, catalog: Catalog) -> tuple[np.ndarray, list[list[list[str]]]]:
        """Return (N, F) float64 numbers, NaN where missing, and per category column N lists of values."""
        options = self.options
        numbers = [self._numbers(catalog, name) for name in options.numbers]
        numbers_NF = np.stack(numbers, axis=1) if numbers else np.zeros((len(catalog), 0))
        return numbers_NF, [self._categories(catalog, name) for name in options.categories]

    def _numbers(self, catalog: Catalog, name: str) -> np.ndarray:
        kind, types = catalog.kind(name, f"{self._where}.numbers"), pa.types
        if types.is_null(kind):
            return np.full(len(catalog), np.nan)
        column = catalog.column(name)
        if types.is_timestamp(kind) or types.is_date(kind):
            column = column.cast(pa.int32() if types.is_date32(kind) else pa.int64())
        elif not any(test(kind) for test in (types.is_integer, types.is_floating, types.is_boolean)):
            raise InputError(
                f"{self._where}.numbers: column '{name}' holds {kind}, not numbers; name it in categories, "
                "or give it a numeric type"
            )
        values_N = np.asarray(column.cast(pa.float64()).to_pandas(), dtype=np.float64).copy()
        values_N[~np.isfinite(values_N)] = np.nan
        if name in self.options.log:
            bad = np.flatnonzero(values_N <= -1)
            if len(bad):
                item = catalog.item_ids[bad[0]]
                raise InputError(
                    f"{self._where}.log: column '{name}' is {values_N[bad[0]]:g} for item '{item}', and "
                    "log(1 + x) needs numbers above -1"
                )
            values_N = np.log1p(values_N)
        return values_N

    def _categories(self, catalog: Catalog, name: str) -> list[list[str]]:
        kind = catalog.kind(name, f"{self._where}.categories")
        if pa.types.is_struct(kind) or pa.types.is_binary(kind):
            raise InputError(f"{self._where}.categories: column '{name}' holds {kind}, not categories")
        return [_values(value) for value in catalog.column(name).to_pylist()]


def _values(value: Any) -> list[str]:
    """Return the distinct values of a category cell, in order; none for a missing or blank one."""
    cells = value if isinstance(value, list) else [value]
    words = [str(cell).strip() for cell in cells if cell is not None and cell == cell]
    return list(dict.fromkeys(word for word in words if word))


class Coding:
    """Statistics of numbers and values of categories, by which rows of a table become vectors.

    Args:
        center_F: (F,) means of the numbers.
        scale_F: (F,) standard deviations, 1 where a number is constant.
        vocabularies: known values of each category column.
        lengths: values that are read per category column and item.
    """

    def __init__(
        self,
        center_F: np.ndarray,
        scale_F: np.ndarray,
        vocabularies: Sequence[Sequence[str]],
        lengths: Sequence[int],
    ) -> None:
        self.center_F, self.scale_F = center_F, scale_F
        self.vocabularies, self.lengths = [list(words) for words in vocabularies], list(lengths)
        self._codes = [{word: code for code, word in enumerate(words, 1)} for words in self.vocabularies]

    @classmethod
    def of(
        cls, numbers_NF: np.ndarray, values: Sequence[Sequence[Sequence[str]]], options: TableColumns.Options
    ) -> Coding:
        """Return the coding of the training items' numbers and categories."""
        center, scale = [], []
        for column_N in numbers_NF.T:
            known = column_N[np.isfinite(column_N)]
            center.append(float(known.mean()) if len(known) else 0.0)
            spread = float(known.std()) if len(known) else 0.0
            scale.append(spread if spread > 0 else 1.0)
        vocabularies, lengths = [], []
        for cells in values:
            counts = Counter(word for words in cells for word in words)
            usual = sorted(counts, key=lambda word: (-counts[word], word))
            vocabularies.append(usual[: options.max_values])
            lengths.append(max((len(words) for words in cells), default=1) or 1)
        return cls(np.asarray(center), np.asarray(scale), vocabularies, lengths)

    @classmethod
    def of_saved(cls, saved: Any) -> Coding:
        """Return the coding that a network was saved with."""
        words = json.loads(bytes(saved["vocabulary"].cpu().numpy().tobytes()).decode())
        center_F, scale_F = (saved[name].cpu().numpy() for name in ("center", "scale"))
        return cls(center_F, scale_F, words["values"], words["lengths"])

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that :meth:`of_saved` reads."""
        words = {"values": self.vocabularies, "lengths": self.lengths}
        data = json.dumps(words, ensure_ascii=False).encode()
        return {
            "center": torch.from_numpy(self.center_F.astype(np.float64)),
            "scale": torch.from_numpy(self.scale_F.astype(np.float64)),
            "vocabulary": torch.frombuffer(bytearray(data), dtype=torch.uint8).clone(),
        }

    def rows(self, numbers_NF: np.ndarray, values: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
        """Return (N, F + sum of lengths) float32: standardised numbers, NaN where missing, then codes.

        A code is 0 where there is no value, or none that is known. Known values beyond the length that the
        training items need are left out.
        """
        parts = [np.clip((numbers_NF - self.center_F) / self.scale_F, -LARGEST, LARGEST)]
        for codes, cells, length in zip(self._codes, values, self.lengths, strict=True):
            table_NL = np.zeros((len(numbers_NF), length))
            for row, words in enumerate(cells):
                known = [codes[word] for word in words if word in codes][:length]
                table_NL[row, : len(known)] = known
            parts.append(table_NL)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def known(self, rows_NW: np.ndarray) -> np.ndarray:
        """Return (N,) bool, which rows have any known number or category."""
        n_numbers = len(self.center_F)
        return np.isfinite(rows_NW[:, :n_numbers]).any(1) | (rows_NW[:, n_numbers:] > 0).any(1)


class ColumnFeatures(Modality):
    """Numbers and embeddings of categories, with an indicator per column that is missing.

    Args:
        coding: statistics and values; saved with the model, so that new items are coded alike.
        rows: (N, F + L) coded rows.
        embedding: E, size of a category's embedding.
    """

    rows: Tensor

    def __init__(self, coding: Coding, rows: np.ndarray, embedding: int) -> None:
        n_numbers, n_categories = len(coding.center_F), len(coding.vocabularies)
        super().__init__(coding.known(rows), 2 * n_numbers + n_categories * (embedding + 1))
        self.coding = coding
        for name, value in coding.to_tensors().items():
            self.register_buffer(name, value)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)
        self.embeddings = nn.ModuleList(
            nn.Embedding(len(words) + 1, embedding, padding_idx=0) for words in coding.vocabularies
        )
        for table in self.embeddings:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=embedding**-0.5)
            with torch.no_grad():
                table.weight[0] = 0

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width): numbers, their indicators, embeddings and their indicators."""
        rows_KW = self.rows[items_K]
        n_numbers = len(self.coding.center_F)
        numbers_KF = rows_KW[:, :n_numbers]
        parts = [numbers_KF.nan_to_num(0.0), numbers_KF.isnan().to(rows_KW.dtype)]
        codes = rows_KW[:, n_numbers:].long().split(self.coding.lengths, dim=1)
        for table, codes_KL in zip(self.embeddings, codes, strict=True):
            count_K1 = (codes_KL > 0).sum(1, keepdim=True)
            mean_KE = table(codes_KL).sum(1) / count_K1.clamp(min=1)
            parts += [mean_KE, (count_K1 == 0).to(mean_KE.dtype)]
        return torch.cat(parts, dim=1)

    def append(self, present_K: np.ndarray, vectors_KW: np.ndarray) -> None:
        """Append K coded items."""
        added = torch.from_numpy(np.asarray(vectors_KW, np.float32)).to(self.rows.device)
        self.rows = torch.cat([self.rows, added])
        super().append(present_K, vectors_KW)
