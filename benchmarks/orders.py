"""NumPy's own clock: what its orders take, by their counts and a machine's roofs.

NumPy does one order after the other, so their times add up. An order over numbers takes
so many nanoseconds for each, as the record of the roofs has them for arrays in cache,
or as long as its bytes take to arrive. A product is under a roof of its own: its
operations at the fastest rate of any product, or its matrices through L2; and before
it multiplies, BLAS copies both matrices into the order in which it will read them,
which is much where they are thin. Each call, and each product of a stack, takes its
time to be made at all. Python's own time, and that of waking a core, are not counted.
"""

from __future__ import annotations

from . import roofline

FLOAT = 4  # bytes
CALL = 0.5e-6  # seconds: a call of NumPy, or of BLAS from it, before any work is done
# The function in the record of the roofs that is most like it; else "add a number".
LIKE = {
    **dict.fromkeys(("multiply", "square", "power"), "multiply"),
    **dict.fromkeys(("divide", "reciprocal", "floor_divide"), "divide"),
    **dict.fromkeys(("add.reduce", "maximum.reduce", "minimum.reduce"), "sum"),
    **dict.fromkeys(("exp", "log", "expm1", "log1p"), "exp"),
    **dict.fromkeys(("maximum", "minimum"), "maximum with 0"),
    "sqrt": "sqrt of abs",
    "absolute": "abs",
    "clip": "clip to 0 and 8",
    "copy": "copy",
    "tanh": "tanh",
    "vecdot": "vecdot",
}
OF_ARRAYS = {"maximum with 0": "maximum of arrays", "add a number": "add an array"}


def seconds(orders, roofs, threads):
    """The least that these orders take, one after the other."""
    return sum(seconds_of(order, roofs, threads) for order in orders)


def seconds_of(order, roofs, threads):
    """The least that one order takes, of its share where cores share the work."""
    hands = threads if order.is_shared else 1
    size = order.read + order.written
    if order.name == "matmul":
        arithmetic = order.flops / roofline.peak(roofs, threads)
        through = size / roofline.bandwidth(roofs, threads, "L2")
        numbers = order.read / FLOAT
        is_packed = order.flops > 2 * numbers  # not what meets a vector only
        packing = is_packed * numbers * _each("copy", roofs) / threads
        return max(arithmetic, through) + packing + order.products * CALL / hands
    each = _each(alike(order), roofs)
    arrival = roofline.arrival(size * hands, roofs, threads)
    return (max(order.numbers * each, arrival) + CALL) / hands


def _each(name, roofs):
    return 1e-9 * roofs["functions"][name]["value"]


def alike(order):
    """The function whose time stands for this order's.

    >>> from types import SimpleNamespace as Order
    >>> alike(Order(name="subtract", inputs=2)), alike(Order(name="exp", inputs=1))
    ('add an array', 'exp')
    """
    name = LIKE.get(order.name, "add a number")
    return OF_ARRAYS.get(name, name) if order.inputs > 1 else name
