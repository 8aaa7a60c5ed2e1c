r"""Activation compression: what waits for the way back, in a few bits a number.

$$c = \Big\lfloor \frac{x - \min}{\Delta} + u \Big\rfloor, \qquad
\hat x = \min + \Delta\, c, \qquad \Delta = \frac{\max - \min}{2^b - 1}$$

for groups of neighbours. With u uniform in [0, 1) the rounding is random and right on
average, $\mathbb{E}\,\hat x = x$: whatever is linear in x, such as the gradient of a
weight, is right on average too. The way out is exact; only the way back sees
$\hat x$.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arguments import check_whole
from ..autodiff import Variable, value_of
from ..shapes import shapes
from .rematerialization import Call

BITS = (1, 2, 4, 8)  # how many share a byte evenly


class Compressed(NamedTuple):
    """An array in few bits: codes, several to a byte, and two numbers for a group."""

    codes: np.ndarray
    low: np.ndarray
    step: np.ndarray
    bits: int
    group: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of it all."""
        return self.codes.nbytes + self.low.nbytes + self.step.nbytes


@shapes(x="...", as_stored=True)
def compress(
    x, bits: int = 8, group: int = 256, rng: np.random.Generator | None = None
) -> Compressed:
    r"""Codes of b bits: $c = \lfloor (x - \min)/\Delta + u \rfloor$ in each group.

    A group is `group` neighbours in row-major order. With `rng` each number goes up or
    down at random, with odds that make it right on average, and is off by less than
    $\Delta$; without, to the nearest, off by up to $\Delta/2$.

    Source: [DeepDive] activation compression; [Chen2021].
    Oracle: $\mathbb{E}\,\hat x = x$, by counting.

    >>> packed = compress(np.array([0.0, 1.0, 2.0, 3.0]), bits=2, group=4)
    >>> packed.codes, decompress(packed)
    (array([228], dtype=uint8), array([0., 1., 2., 3.]))
    """
    check_whole("compress", least=1, group=group)
    if bits not in BITS:
        raise ValueError(f"compress: bits are one of {BITS}, not {bits!r}")
    wide = x.astype(np.result_type(x.dtype, np.float32), copy=False)
    rows = _in_groups(wide.reshape(-1), group)
    low, high = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    levels = 2**bits - 1
    with np.errstate(over="ignore", invalid="ignore"):
        step = (high - low) / levels
    if not np.isfinite(step).all():
        raise ValueError("compress: x holds infinities, NaNs or too wide a range")
    places = rows - low
    places /= np.where(step > 0, step, 1)
    places += 0.5 if rng is None else rng.random(rows.shape, dtype=np.float32)
    codes = np.minimum(places, levels).astype(np.uint8).reshape(-1)[: x.size]
    return Compressed(_pack(codes, bits), low, step, bits, group, x.shape, x.dtype)


def decompress(packed: Compressed):
    r"""The numbers that the codes stand for: $\hat x = \min + \Delta\, c$.

    Source: [DeepDive]; [Chen2021]. Oracle: that of `compress`.

    >>> decompress(compress(np.full((2, 2), 7.0), bits=1))
    array([[7., 7.],
           [7., 7.]])
    """
    size = math.prod(packed.shape)
    rows = _in_groups(_unpack(packed.codes, packed.bits, size), packed.group)
    values = rows * packed.step
    values += packed.low
    return values.reshape(-1)[:size].reshape(packed.shape).astype(packed.dtype)


def compressed_layers(
    function: Callable,
    x,
    layers: Sequence,
    *shared,
    bits: int = 8,
    group: int = 256,
    rng: np.random.Generator | None = None,
):
    r"""$x \leftarrow f(x, \theta_i)$ for all layers; of each, $\hat x$ is kept.

    The result is exact. On the way back each layer is computed again at its
    decompressed input, so the finer the layers the less is computed twice: they may be
    single operators. The function is called as `function(x, layer, *shared)`; noise in
    `shared` is repeated, as in `rematerialized`, and `rng` is that of the rounding.

    Source: [DeepDive] activation compression. Oracle: torch.autograd.graph
    .saved_tensors_hooks, in expectation.
    """
    learnt = Call(function, (x, list(layers), *shared), {}).variables
    value, kept = value_of(x), []
    for layer in layers:
        held = Variable(value)
        call = Call(function, (held, layer, *shared), {})
        out = call.run()
        held.value = compress(value, bits, group, rng) if learnt else None
        kept.append((call, held))
        value = out
    if not learnt:
        return value

    def pullback(d_out):
        total: dict[Variable, Any] = dict.fromkeys(learnt, 0)
        for call, held in reversed(kept):
            packed, held.value = held.value, decompress(held.value)
            found = call.gradients(d_out)
            held.value, d_out = packed, found.pop(held)
            for variable, gradient in found.items():
                total[variable] = total[variable] + gradient
        if type(x) is Variable:
            total[x] = total[x] + d_out
        return list(total.values())

    return Variable(value, learnt, pullback)


def _in_groups(flat, group):
    """(groups, group); the last one is filled up with its last number."""
    missing = -len(flat) % group
    if missing:
        flat = np.concatenate([flat, np.repeat(flat[-1:], missing)])
    return flat.reshape(-1, group)


def _pack(codes, bits):
    """Several codes to a byte, the first one lowest."""
    shared = 8 // bits
    codes = np.concatenate([codes, np.zeros(-len(codes) % shared, np.uint8)])
    packed = codes[::shared].copy()
    for i in range(1, shared):
        packed |= codes[i::shared] << (bits * i)
    return packed


def _unpack(packed, bits, size):
    shared, mask = 8 // bits, 2**bits - 1
    codes = np.empty(len(packed) * shared, np.uint8)
    for i in range(shared):
        codes[i::shared] = (packed >> (bits * i)) & mask
    return codes[:size]
