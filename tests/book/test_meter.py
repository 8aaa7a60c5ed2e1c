"""Counting NumPy's calls and bytes, and leaving the numbers as they are."""

from __future__ import annotations

import numpy as np
import pytest

from refvlm import ops
from refvlm_book.meter import Metered, count

X = np.arange(1000, dtype=np.float32)


def test_count_sees_every_call_and_its_bytes():
    """A square and a sum: read twice and once, written 4000 bytes and 4."""
    total = count(lambda x: np.add.reduce(x * x, keepdims=True), X)
    assert total.calls == ["multiply", "add.reduce"]
    assert (total.read, total.written, total.made) == (12000, 4004, 4004)


def test_count_of_work_in_place_finds_nothing_new():
    """In place, a call reads and writes and makes nothing."""

    def double(x):
        x *= 2

    total = count(double, X.copy())
    assert total.calls == ["multiply"]
    assert (total.moved, total.made) == (8000, 0)


def test_count_writes_down_the_types():
    """A float64 scalar of NumPy's widens all that it touches."""
    total = count(lambda x: x * 2.0 / np.float64(3), X)
    assert [dtype.itemsize for dtype in total.dtypes] == [4, 8]


@pytest.mark.parametrize(
    "function",
    [ops.softmax, lambda x: ops.layer_norm(x, (10,)), lambda x: x @ x.T, ops.silu],
)
def test_a_metered_array_gives_the_same_numbers(function):
    """Counting changes nothing: the answer is that of a plain array."""
    x = np.random.default_rng(0).standard_normal((20, 10))
    answers = []
    assert count(lambda x: answers.append(function(x)), x).calls
    np.testing.assert_array_equal(answers[0], function(x))


def test_a_metered_array_alone_counts_nothing():
    """Without `count` there is nobody to tell, and nothing fails."""
    np.testing.assert_array_equal(X.view(Metered) + 1, X + 1)


def test_count_sees_arrays_that_a_function_makes_for_itself():
    """What is written into an empty array is an order like any other."""

    def root(x):
        out = np.empty(x.shape, x.dtype)
        np.sqrt(x, out=out)
        out += 1
        return out

    total = count(root, X)
    assert (total.calls, total.made) == (["sqrt", "add"], 4000)


def test_count_sees_copies():
    """Into a part of an array, and where `reshape` can give no view."""

    def halves(x):
        out = np.empty((2, 500), x.dtype)
        out[0] = x[:500]
        out[1] += x[500:]
        return out.T.reshape(-1)

    total = count(halves, X)
    assert total.calls == ["copy", "add", "copy"]
    assert [order.numbers for order in total.orders] == [500, 500, 1000]


def test_count_knows_the_operations_of_a_product():
    """Two for each term, and how many matrices are multiplied."""
    (order,) = count(lambda x: x @ x.mT, np.ones((3, 4, 5))).orders
    assert (order.flops, order.products) == (2 * 3 * 4 * 5 * 4, 3)


def test_count_shares_work_among_the_cores_that_it_is_told():
    """Whatever the machine has; and afterwards that is what counts again."""
    x = np.ones(1 << 20, np.float32)
    alone, shared = (count(ops.gelu, x, workers=n).orders for n in (1, 2))
    assert not any(order.is_shared for order in alone)
    assert all(order.is_shared for order in shared if order.numbers > 1)
    assert np.empty is not None and not isinstance(np.empty(3), Metered)
