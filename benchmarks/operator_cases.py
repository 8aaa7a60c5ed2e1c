"""The cases of operators.py, and the worker that times one library on them.

A case is a function of `F` (refvlm.ops or torch.nn.functional, which agree on names
and arguments) and of its arrays, drawn from shapes. Its cost is counted by its
definition: a multiplication and an addition for each term of a product, one operation
for a call of a function such as exp; and each array is moved once, which is the least.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import identity
from .turns import seconds, serve


class Case(NamedTuple):
    """What to call, the shapes that it gets and gives, and its operations.

    The first `given` arrays change from call to call; the others are weights.
    """

    call: Callable
    shapes: tuple
    gives: tuple
    flops: int
    is_picture: bool = False
    given: int = 1

    def cost(self):
        """Operations, and bytes of all float32 arrays."""
        numbers = sum(math.prod(shape) for shape in (*self.shapes, self.gives))
        return {"flops": self.flops, "bytes": 4 * numbers}


def _convolution(c_in, c_out, size, kernel, stride=1, groups=1):
    def call(F, x, weight, bias):
        return F.conv2d(x, weight, bias, stride, kernel // 2, 1, groups)

    weight = (c_out, c_in // groups, kernel, kernel)
    starts = np.arange(0, size, stride) - kernel // 2
    inside = np.minimum(starts + kernel, size) - np.maximum(starts, 0)
    terms = c_out * c_in // groups * int(inside.sum()) ** 2  # none for the padding
    shapes = ((1, c_in, size, size), weight, (c_out,))
    return Case(call, shapes, (1, c_out, len(starts), len(starts)), 2 * terms, True)


def _depthwise(channels, size, kernel, stride=1, many=1):
    return _convolution(channels, channels * many, size, kernel, stride, channels)


def _attention(queries, keys, heads, key_heads, size, causal):
    def call(F, query, key, value):
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=causal, enable_gqa=key_heads != heads
        )

    asked, some = (1, heads, queries, size), (1, key_heads, keys, size)
    pairs = queries * (queries + 1) // 2 if causal else queries * keys
    flops = 2 * 2 * pairs * heads * size
    return Case(call, (asked, some, some), asked, flops, given=3)


def _linear(rows, columns, out):
    def call(F, x, weight):
        return F.linear(x, weight)

    flops = 2 * rows * columns * out
    return Case(call, ((rows, columns), (out, columns)), (rows, out), flops)


def _mlp(rows, columns, hidden):
    def call(F, x, weight_1, bias_1, weight_2, bias_2):
        return F.linear(F.gelu(F.linear(x, weight_1, bias_1)), weight_2, bias_2)

    weights = ((hidden, columns), (hidden,), (columns, hidden), (columns,))
    x = (rows, columns)
    return Case(call, (x, *weights), x, 2 * 2 * rows * columns * hidden)


def _pointwise(call, shape, each, *weights):
    """`each` operations for each number of x."""
    return Case(call, (shape, *weights), shape, each * math.prod(shape))


def _layer_norm(F, x, weight, bias):
    return F.layer_norm(x, x.shape[-1:], weight, bias)


def _rms_norm(F, x, weight):
    return F.rms_norm(x, x.shape[-1:], weight, 1e-6)


CASES = {
    "conv 3x3 stride 2, 3 to 96 at 1024": _convolution(3, 96, 1024, 3, 2),
    "conv 3x3, 96 to 96 at 128": _convolution(96, 96, 128, 3),
    "conv 1x1, 96 to 96 at 256": _convolution(96, 96, 256, 1),
    "conv 1x1, 192 to 768 at 128": _convolution(192, 768, 128, 1),
    "conv 1x1, 384 to 1536 at 64": _convolution(384, 1536, 64, 1),
    "depthwise 3x3, 96 at 256": _depthwise(96, 256, 3),
    "depthwise 3x3, 192 at 128": _depthwise(192, 128, 3),
    "depthwise 3x3, 384 at 64": _depthwise(384, 64, 3),
    "depthwise 7x7, 96 at 256": _depthwise(96, 256, 7),
    "depthwise 7x7, 192 at 128": _depthwise(192, 128, 7),
    "depthwise 7x7, 384 at 64": _depthwise(384, 64, 7),
    "depthwise 7x7, 768 at 32": _depthwise(768, 32, 7),
    "depthwise 7x7 stride 2, 192 to 384 at 128": _depthwise(192, 128, 7, 2, 2),
    "gelu, 6.3 million": _pointwise(lambda F, x: F.gelu(x), (1536, 4096), 2),
    "silu, 288 x 4864": _pointwise(lambda F, x: F.silu(x), (288, 4864), 4),
    "softmax, 4032 x 288": _pointwise(lambda F, x: F.softmax(x, -1), (4032, 288), 5),
    "layer_norm, 1024 x 896": _pointwise(_layer_norm, (1024, 896), 7, (896,), (896,)),
    "rms_norm, 288 x 896": _pointwise(_rms_norm, (288, 896), 4, (896,)),
    "linear, 288 x 896 to 4864": _linear(288, 896, 4864),
    "linear, one token to 151936": _linear(1, 896, 151936),
    "mlp with gelu, 1024 x 768 x 3072": _mlp(1024, 768, 3072),
    "attention, 24 heads of 1024 pixels": _attention(1024, 1024, 24, 24, 32, False),
    "attention, causal, grouped, 288": _attention(288, 288, 14, 2, 64, True),
    "attention, causal, grouped, 2048": _attention(2048, 2048, 14, 2, 64, True),
    "attention, one token over 288": _attention(1, 288, 14, 2, 64, False),
}


def arrays(name):
    """The numbers that a case is measured with, the same for every library."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s, dtype=np.float32) for s in CASES[name].shapes]


class Worker:
    """Times the cases in one library; keeps the arrays of the last one, as laid out."""

    def __init__(self, library):
        self.library, self.name, self.arrays = library, None, {}

    def run(self, name, channels_last=False):
        """Seconds of one call, the median of many."""
        if self.name != name:
            self.name, self.arrays = name, {}
        if channels_last not in self.arrays:
            self.arrays[channels_last] = self._draw(name, channels_last)
        case, given = CASES[name], self.arrays[channels_last]
        functions = self._functions()
        return seconds(lambda: case.call(functions, *given))

    def _draw(self, name, channels_last):
        drawn = arrays(name)
        if self.library == "refvlm":
            return drawn
        import torch

        torch.set_grad_enabled(False)
        tensors = [torch.from_numpy(array) for array in drawn]
        if not channels_last:
            return tensors
        layout = torch.channels_last
        return [t.to(memory_format=layout) if t.ndim == 4 else t for t in tensors]

    def _functions(self):
        if self.library == "refvlm":
            from refvlm import ops

            return ops
        import torch

        return torch.nn.functional

    def versions(self):
        """What is measured."""
        if self.library == "refvlm":
            return identity.numpy_versions()
        import torch

        return {"torch": torch.__version__}


if __name__ == "__main__":
    worker = Worker(sys.argv[1])
    serve({"run": worker.run, "versions": worker.versions})
