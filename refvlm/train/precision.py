r"""Mixed precision: forward and back in sixteen bits, the weights in thirty-two.

    masters (float32) --cast--> weights --forward--> loss * s --back--> gradients
        ^                                                               |
        +------------- masters - rate * gradients / s <-- all finite? --+

A simulation that bites: in float16 the operators are given arrays of float16, so what
is below $2^{-25}$ or above 65504 is really lost. A bfloat16 is a float32 whose lower
half is zero (`ops.round_to_bfloat16`). The scale s lifts gradients over the lower edge;
`LossScale` finds it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from .. import ops
from ..autodiff import value_and_grad, value_of
from ..checkpoint import Weights


def to_float16(x):
    """An array or a Variable as float16; a gradient comes back in x's own dtype."""
    return x.astype(np.float16)


def to_float32(x):
    """An array or a Variable as float32 at least: for what needs that range."""
    return x.astype(np.result_type(x.dtype, np.float32))


to_bfloat16 = ops.round_to_bfloat16


@dataclass(frozen=True)
class LossScale:
    r"""The scale s of a loss: $s \leftarrow s/2$ when a gradient was not finite, and
    $s \leftarrow 2s$ after so many steps in a row in which all were.

    The defaults are PyTorch's. A state of plain numbers, and immutable: `after` gives
    the next one. `static(s)` never moves. The scale stays a normal float32: where every
    gradient is infinite it ends at $2^{-126}$, PyTorch's at 0, and no step is made.

    Source: [Cortes] 8.4, the static one. Oracle: torch.amp.GradScaler.

    >>> scaling = LossScale(scale=8.0, interval=2)
    >>> for finite in (True, True, False):
    ...     scaling = scaling.after(finite)
    ...     print(scaling.scale, scaling.good_steps)
    8.0 1
    16.0 0
    8.0 0
    """

    scale: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    good_steps: int = 0

    def __post_init__(self):
        if not (0 < self.scale < math.inf and self.growth >= 1 >= self.backoff > 0):
            raise ValueError(
                f"LossScale: needs scale > 0, growth >= 1 and 0 < backoff <= 1, not "
                f"{self.scale}, {self.growth} and {self.backoff}"
            )
        if self.interval < 1:
            raise ValueError(f"LossScale: interval is {self.interval}, not 1 or more")

    @classmethod
    def static(cls, scale: float) -> LossScale:
        """The same scale at every step; steps that overflow are still skipped."""
        return cls(scale=scale, growth=1.0, backoff=1.0)

    def after(self, finite: bool) -> LossScale:
        """The scale of the next step, once this step's gradients are known."""
        if not finite:
            least = min(self.scale, float(np.finfo(np.float32).tiny))
            scale = max(self.scale * self.backoff, least)
            return replace(self, scale=scale, good_steps=0)
        if self.good_steps + 1 < self.interval:
            return replace(self, good_steps=self.good_steps + 1)
        grown = self.scale * self.growth
        fits = grown <= float(np.finfo(np.float32).max)
        return replace(self, scale=grown if fits else self.scale, good_steps=0)


def scaled_value_and_grad(loss: Callable, cast: Callable = to_float16, trainable=None):
    r"""The function that returns $L$ and $\frac1s \nabla_\theta (s L)$ of
    $L(\operatorname{cast}(\theta), \ldots)$, given the masters $\theta$ and s.

    The loss is given weights that went through `cast`. It should end in float32 (see
    `to_float32`): s is the first gradient of the way back, and float16 ends at 65504.
    Gradients have the dtype of the masters. Numbers that overflow on the way are no
    error; `all_finite` tells.

    Source: [Cortes] 8.4. Oracle: torch.autocast with torch.amp.GradScaler.
    """

    def evaluate(masters: Mapping, scale: float, *args):
        unscaled = []

        def scaled(weights):
            value = loss(_cast_floats(weights, cast), *args)
            unscaled.append(float(value_of(value)))
            return to_float32(value) * scale

        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            _, gradients = value_and_grad(scaled, trainable=trainable)(masters)
            gradients = {name: g * (1 / scale) for name, g in gradients.items()}
        return unscaled[0], gradients

    return evaluate


def mixed_step(
    loss: Callable,
    masters: Mapping,
    scaling: LossScale,
    update: Callable,
    cast: Callable = to_float16,
):
    r"""One step of mixed precision, $\theta \leftarrow \operatorname{update}(\theta,
    \frac1s \nabla(sL))$, or none where a gradient is infinite or not a number.

    `update(masters, gradients)` returns the new masters. Returns (loss, masters,
    scaling); the scale has moved on either way.

    Source: [Cortes] 8.4. Oracle: torch.amp.GradScaler.step.
    """
    evaluate = scaled_value_and_grad(loss, cast)
    value, gradients = evaluate(masters, scaling.scale)
    finite = all_finite(gradients)
    if finite:
        masters = update(masters, gradients)
    return value, masters, scaling.after(finite)


def all_finite(gradients: Mapping[str, np.ndarray]) -> bool:
    """Whether there is neither an infinity nor a NaN among them."""
    return all(bool(np.isfinite(gradient).all()) for gradient in gradients.values())


def rounded(operator: Callable, cast: Callable = to_bfloat16) -> Callable:
    """The operator, with its result rounded on the way out and the gradient that it
    is given on the way back: what it would be with sixteen bits in memory and sums in
    float32, as processors do it.

    >>> rounded(ops.linear)(np.array([3.14159]), np.array([[1.0]]))
    array([3.140625])
    """

    @functools.wraps(operator)
    def narrow(*args, **options):
        return cast(operator(*args, **options))

    return narrow


def _cast_floats(weights, cast):
    def is_float(array):
        return np.issubdtype(array.dtype, np.floating)

    changed = {name: cast(weights[name]) for name in weights if is_float(weights[name])}
    if isinstance(weights, Weights):
        return weights.replace(changed)
    return {**weights, **changed}
