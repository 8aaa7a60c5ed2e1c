"""The spec of refvlm/blocks/tables.py: rows by their ids, scores by their rows."""

import numpy as np
import pytest

from refvlm.blocks import tables
from refvlm.checkpoint import Weights
from refvlm.quantize.packed import Packed

from ..spec import assert_close, law, random_arrays

draw = random_arrays(5)
TABLE, HIDDEN = draw(9000, 6).astype(np.float32), draw(2, 3, 6).astype(np.float32)


class Rows(Packed):
    """A table that remembers how many rows of it were made."""

    by_rows, most = True, 0

    def numbers(self):
        raise AssertionError("the whole table was made")

    def rows(self, places):
        rows = self["rows"][places]
        type(self).most = max(self.most, rows.size // 6)
        return rows


def both():
    packed = Rows((9000, 6), rows=TABLE)
    return Weights({"t": packed}), Weights({"t": TABLE})


@law
def test_look_up_of_a_packed_table_makes_these_rows_only():
    """And gives what the table's array gives."""
    ids, (packed, plain) = np.array([[8999, 0], [5, 5]]), both()
    Rows.most = 0
    found = tables.look_up(ids, packed, "t")
    np.testing.assert_array_equal(found, tables.look_up(ids, plain, "t"))
    assert found.shape == (2, 2, 6) and Rows.most == 4


@law
@pytest.mark.parametrize("shape", ((2, 3, 6), (6,), (0, 6)))
def test_scores_of_a_packed_table_are_made_some_rows_at_a_time(shape):
    """Each row scores once, in its own place."""
    hidden, (packed, plain) = np.resize(HIDDEN, shape), both()
    Rows.most = 0
    found = tables.scores(hidden, packed, "t")
    assert_close(found, tables.scores(hidden, plain, "t"))
    assert min(found.size, 1) <= Rows.most <= tables.ROWS


class Blocks(Packed):
    """A table whose blocks run across the ends of its rows."""

    made = 0

    def numbers(self):
        type(self).made += 1
        return self["rows"]


@law
def test_a_table_packed_across_its_rows_is_made_once():
    """Not once for every few thousand rows."""
    weights = Weights({"t": Blocks((9000, 6), rows=TABLE)})
    Blocks.made = 0
    assert_close(tables.scores(HIDDEN, weights, "t"), HIDDEN @ TABLE.T)
    assert Blocks.made == 1
    np.testing.assert_array_equal(
        tables.look_up(np.array([[7]]), weights, "t"), TABLE[[[7]]]
    )
