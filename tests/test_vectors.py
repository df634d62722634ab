from __future__ import annotations

import numpy as np
import pytest

from crossrec.vectors import centred_rows, pad_rows, unit_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_have_unit_length_and_zeros_stay(dtype: type) -> None:
    rows: np.ndarray = np.asarray([[3, 4], [0, 0], [0, -2]], dtype)
    found = unit_rows(rows)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]], rtol=1e-6)


def test_short_rows_can_count_as_zeros() -> None:
    rows = np.asarray([[1e-7, 0.0], [1.0, 0.0]])
    assert unit_rows(rows).tolist() == [[1, 0], [1, 0]]
    assert unit_rows(rows, smallest=1e-6).tolist() == [[0, 0], [1, 0]]


def test_rows_are_centred_about_those_that_are_present() -> None:
    vectors = np.asarray([[1.0, 2.0], [3.0, 6.0], [100.0, np.nan]])
    present = np.asarray([True, True, False])
    assert centred_rows(vectors, present).tolist() == [[-1, -2], [1, 2], [0, 0]]
    assert centred_rows(vectors, present, np.ones(2)).tolist() == [[0, 1], [2, 5], [0, 0]]
    assert not centred_rows(vectors[:2], np.zeros(2, bool)).any()


def test_ragged_rows_are_padded_on_the_right() -> None:
    lengths = np.asarray([2, 0, 1])
    assert pad_rows(np.asarray([4, 5, 6]), lengths).tolist() == [[4, 5], [0, 0], [6, 0]]
    assert pad_rows(np.asarray([4, 5, 6]), lengths, fill=-1).tolist() == [[4, 5], [-1, -1], [6, -1]]
    assert pad_rows(np.zeros(0, np.int64), np.zeros(2, np.int64)).tolist() == [[0], [0]]
