"""The spec of refvlm/kernels/pieces.py."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from refvlm.kernels.pieces import NUMBERS, pieces

from ..spec import example, law


@example
def test_few_numbers_are_one_piece():
    """Also none at all: a kernel runs once, and writes nothing."""
    assert pieces(3) == [slice(0, 3)]
    assert pieces(0) == [slice(0, 0)]
    assert len(pieces(NUMBERS + 1)) > 1


@law
@given(st.integers(1, 10**8))
def test_pieces_are_every_number_once(count):
    """In their order, and none larger than a piece should be."""
    parts = pieces(count)
    assert parts[0].start == 0 and parts[-1].stop == count
    assert all(one.stop == two.start for one, two in pairwise(parts))
    assert all(0 < part.stop - part.start <= NUMBERS for part in parts)
