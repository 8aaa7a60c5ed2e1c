"""NumPy's own clock: orders add up, cores share them, and thin products are copied."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import orders
from refvlm_book.meter import Order

NAMES = (
    *("copy", "add a number", "add an array", "multiply", "divide", "abs", "exp"),
    *("maximum with 0", "maximum of arrays", "clip to 0 and 8", "sqrt of abs"),
    *("tanh", "sum", "vecdot"),
)
WALKS = {
    level: {"read": {"value": rate}}
    for level, rate in (("L2", 100.0), ("L3", 100.0), ("memory", 10.0))
}
ROOFS = {
    "machine": {"caches": {"L1d": 2**15, "L2": 2**19, "L3": 2**24}},
    "products": {"1": {"square": {"value": 100.0}}},
    "walks": {"1": WALKS},
    "functions": {name: {"value": 1.0} for name in NAMES},
}


def order(name, numbers, **more):
    size = 4 * numbers
    return Order(name, numbers, size, size, np.dtype(np.float32), **more)


def product(m, k, n):
    size = 4 * (m * k + k * n), 4 * m * n
    work = {"inputs": 2, "flops": 2 * m * k * n, "products": 1}
    return Order("matmul", m * n, *size, np.dtype(np.float32), **work)


def test_the_times_of_orders_add_up():
    """A thousand numbers at 1 ns each are a microsecond, after the call."""
    one = orders.seconds([order("exp", 1000)], ROOFS, 1)
    assert one == pytest.approx(1e-6 + orders.CALL)
    assert orders.seconds([order("exp", 1000)] * 3, ROOFS, 1) == pytest.approx(3 * one)


def test_cores_that_share_an_order_take_their_parts_at_once():
    """Two cores take half of the time each."""
    alone, shared = order("exp", 1000), order("exp", 1000, is_shared=True)
    halves = orders.seconds_of(shared, ROOFS, 2), orders.seconds_of(alone, ROOFS, 2)
    assert halves[0] == pytest.approx(halves[1] / 2)


def test_what_lies_in_memory_waits_for_its_bytes():
    """1600 MB at 10 GB/s take longer than 1 ns a number would."""
    slow = order("copy", 10**8)._replace(read=12 * 10**8)
    assert orders.seconds_of(slow, ROOFS, 1) == pytest.approx(0.16, rel=0.05)


def test_a_large_product_takes_its_operations_and_a_thin_one_its_copies():
    """The more often each number is used, the less the copies before count."""
    large, thin = product(2000, 2000, 2000), product(4, 70, 128)
    took = orders.seconds_of(large, ROOFS, 1)
    assert took == pytest.approx(large.flops / 1e11, rel=0.06)
    assert orders.seconds_of(thin, ROOFS, 1) > 5 * thin.flops / 1e11


def test_a_vector_is_not_copied_for():
    """What meets one vector is read once."""
    took = orders.seconds_of(product(1000, 1000, 1), ROOFS, 1)
    assert took == pytest.approx(4e6 / 1e11, rel=0.05)


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("subtract", 1, "add a number"),
        ("maximum", 2, "maximum of arrays"),
        ("add.reduce", 1, "sum"),
        ("greater", 1, "add a number"),
    ],
)
def test_an_order_takes_as_long_as_what_is_most_like_it(name, inputs, expected):
    """What was not recorded is taken for an addition."""
    assert orders.alike(order(name, 1, inputs=inputs)) == expected
