"""The worker of roofs.py, in a process whose environment roofs.py has chosen."""

from __future__ import annotations

import numpy as np

from refvlm.parallel import blocks, cores, in_parallel, shares

from . import identity
from .turns import seconds, serve

# (m, k, n): squares, and what FastVLM-0.5B multiplies, each shape whose speed a row of
# another benchmark may reach: 1x1 convolutions by (out, in, pixels), the tower's
# feed-forwards there and back on whole pictures and on what a piece holds of them, a
# prompt's, and one token by the table of words.
FEED_FORWARDS = ((768, 192, 16384), (1536, 384, 4096), (3072, 768, 1024))
PIXELS = 512  # of a piece
PRODUCTS = (
    *((n, n, n) for n in (256, 512, 1024, 2048)),
    (96, 96, 65536),
    *FEED_FORWARDS,
    *((narrow, wide, pixels) for wide, narrow, pixels in FEED_FORWARDS),
    *((wide, narrow, PIXELS) for wide, narrow, _ in FEED_FORWARDS),
    *((narrow, wide, PIXELS) for wide, narrow, _ in FEED_FORWARDS),
    *((288, 896, 4864), (288, 4864, 896), (151936, 896, 1)),
)


def places(caches, hands):
    """place -> bytes of all arrays of a walk together, for so many cores.

    L2 holds the first on any processor of today. Every core's share of the second is
    too large for its L2, and half of L3 stays free for others. No cache holds the last.

    >>> places({"L2": 1 << 19, "L3": 1 << 25}, 2)
    {'L2': 262144, 'L3': 8388608, 'memory': 536870912}
    """
    second, third = caches.get("L2", 1 << 19), caches.get("L3", 1 << 24)
    shared = min(max(1 << 23, 4 * second * hands), third // 2)
    return {"L2": 1 << 18, "L3": shared, "memory": max(1 << 29, 4 * third)}


PLACES = places(identity.caches(), cores())
ARRAYS = {"read by vecdot": 1, "read by a product": 1, "copy": 2, "add": 3, "triad": 3}
AT_ONCE = 1 << 28  # bytes to walk through in one measurement
COLUMNS = 1024
PIECE = 1 << 18  # numbers: two threads with shorter calls wait for Python's lock
IN_CACHE = 65_536


def product(m, k, n):
    """Seconds of one product of an (m, k) with a (k, n) matrix, and what it does."""
    rng = np.random.default_rng(0)
    a, b = rng.random((m, k), np.float32), rng.random((k, n), np.float32)
    out = np.empty((m, n), np.float32)
    took = seconds(lambda: np.matmul(a, b, out=out))
    moved = a.nbytes + b.nbytes + out.nbytes
    return {"seconds": took, "flops": 2 * m * k * n, "bytes": moved}


def walk(kind, place):
    """Seconds of one walk through arrays of PLACES[place] bytes, and what it moves.

    Bytes count once for each array that is read or written. That a processor may read
    a line before writing it (write-allocate) is its own affair and is not counted.
    """
    count = PLACES[place] // 4 // ARRAYS[kind] // COLUMNS * COLUMNS
    arrays = [_array(count, 1088 * number) for number in range(ARRAYS[kind])]
    size = sum(array.nbytes for array in arrays)
    times = max(1, AT_ONCE // size)
    took = seconds(lambda: WALKS[kind](times, *arrays)) / times
    return {"seconds": took, "bytes": size, "working_set": size}


def _array(count, offset):
    """Numbers that begin `offset` bytes into a page.

    Arrays at the same place of their pages get in each other's way: a processor takes
    what is stored to one for what is loaded from the other.
    """
    whole = np.ones(count + 2048, np.float32)
    start = (offset - whole.ctypes.data) % 4096 // 4
    return whole[start : start + count]


def _on_every_core(function):
    """`function` on each thread's share of flat arrays of one length, `times` times.

    Handing work to a thread takes longer than a walk through a cache, so each thread
    walks through its share many times at once.
    """

    def walk(times, *arrays):
        def walk_share(share):
            own = [array[share] for array in arrays]
            for _ in range(times):
                function(*own)

        in_parallel(walk_share, shares(len(arrays[0]), COLUMNS))

    return walk


def _read_by_vecdot(x):
    rows = x.reshape(-1, COLUMNS)
    np.vecdot(rows, rows)


def _read_by_a_product(times, x):
    """BLAS divides this one among its own threads; the vector stays in L1."""
    rows, vector = x.reshape(-1, COLUMNS), x[:COLUMNS]
    for _ in range(times):
        np.matmul(rows, vector)


def _copy(x, out):
    np.copyto(out, x)


def _add(x, y, out):
    np.add(x, y, out=out)


def _triad(x, y, out):
    """out = 2 x + y, in pieces that stay in some cache between the two calls."""
    for piece in blocks(len(x), PIECE):
        np.multiply(x[piece], np.float32(2), out=out[piece])
        np.add(out[piece], y[piece], out=out[piece])


ON_EVERY_CORE = {
    "read by vecdot": _read_by_vecdot,
    "copy": _copy,
    "add": _add,
    "triad": _triad,
}
WALKS = {name: _on_every_core(walk) for name, walk in ON_EVERY_CORE.items()}
WALKS["read by a product"] = _read_by_a_product


def function(name):
    """Seconds of one call on 256 KB on one core, and how many numbers it makes."""
    x, y, out = (_array(IN_CACHE, 1088 * number) for number in range(3))
    x[:], y[:] = np.random.default_rng(0).standard_normal((2, IN_CACHE))
    return {"seconds": seconds(lambda: FUNCTIONS[name](x, y, out)), "numbers": IN_CACHE}


FUNCTIONS = {
    "copy": lambda x, y, out: np.copyto(out, x),
    "add a number": lambda x, y, out: np.add(x, 1.0, out=out),
    "add an array": lambda x, y, out: np.add(x, y, out=out),
    "multiply": lambda x, y, out: np.multiply(x, y, out=out),
    "divide": lambda x, y, out: np.divide(x, y, out=out),
    "abs": lambda x, y, out: np.abs(x, out=out),
    "maximum with 0": lambda x, y, out: np.maximum(x, 0, out=out),
    "maximum of arrays": lambda x, y, out: np.maximum(x, y, out=out),
    "clip to 0 and 8": lambda x, y, out: np.clip(x, 0, 8.0, out=out),
    "sqrt of abs": lambda x, y, out: np.sqrt(np.abs(x, out=out), out=out),
    "exp": lambda x, y, out: np.exp(x, out=out),
    "tanh": lambda x, y, out: np.tanh(x, out=out),
    "sum": lambda x, y, out: np.add.reduce(x),
    "vecdot": lambda x, y, out: np.vecdot(x, y),
}

if __name__ == "__main__":
    serve(
        {
            "product": product,
            "walk": walk,
            "function": function,
            "versions": identity.numpy_versions,
        }
    )
