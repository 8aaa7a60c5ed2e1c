"""The worker of machine.py, in a process whose environment machine.py has chosen."""

from __future__ import annotations

import numpy as np

from .turns import seconds, serve

SIZES = (256, 512, 1024, 2048, 4096)
IN_CACHE = 65_536


def products():
    """GFLOP/s of square products, by size, float32."""
    return {str(n): 2 * n**3 / _product(n) / 1e9 for n in SIZES}


def _product(n):
    a, b = np.random.default_rng(0).random((2, n, n), dtype=np.float32)
    out = np.empty_like(a)
    return seconds(lambda: np.matmul(a, b, out=out))


def memory():
    """GB/s of a matrix times a vector, of a copy and of an addition, far from cache."""
    rng = np.random.default_rng(0)
    matrix, vector = rng.random((100_000, 896), np.float32), rng.random(896, np.float32)
    flat = matrix.reshape(-1)
    out = np.empty_like(flat)
    return {
        "matrix @ vector": matrix.nbytes / seconds(lambda: matrix @ vector) / 1e9,
        "copy": 2 * flat.nbytes / seconds(lambda: np.copyto(out, flat)) / 1e9,
        "add": 3 * flat.nbytes / seconds(lambda: np.add(flat, flat, out)) / 1e9,
    }


def functions():
    """Nanoseconds per number, float32, on one core, on 256 KB."""
    x = np.random.default_rng(0).standard_normal(IN_CACHE, dtype=np.float32)
    out = np.empty_like(x)
    calls = {
        "add a number": lambda: np.add(x, 1.0, out=out),
        "add an array": lambda: np.add(x, x, out=out),
        "divide": lambda: np.divide(x, x, out=out),
        "maximum with 0": lambda: np.maximum(x, 0, out=out),
        "clip to 0 and 8": lambda: np.clip(x, 0, 8.0, out=out),
        "exp": lambda: np.exp(x, out=out),
        "tanh": lambda: np.tanh(x, out=out),
        "sum": lambda: np.add.reduce(x),
        "vecdot": lambda: np.vecdot(x, x),
    }
    return {name: seconds(call) / IN_CACHE * 1e9 for name, call in calls.items()}


if __name__ == "__main__":
    serve({"products": products, "memory": memory, "functions": functions})
