r"""Gradient checkpointing: keep the inputs of a piece, compute the rest again.

    the tape                 x0 - x1 - x2 - x3 - x4 - x5 - x6 - x7 - x8 - loss
    in three segments        x0 ----------- x3 ----------- x6 ----------- loss
    the way back, first                                    x6 - x7 - x8 - loss

What is kept are activations, not gradients. A stack of n layers in k segments holds
$k + n/k$ of them instead of n, least at $k = \sqrt n$, for one more pass forward. The
gradients are the same up to rounding. They are the same bits where each input of a
segment is used by that segment alone, and no operator computes otherwise on plain
arrays than on Variables, as `ops.compositions` do.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..arguments import check_whole
from ..autodiff import Variable, backward, value_of
from ..blocks.training_mode import Training

SAME = 1e-2  # of the largest value: other noise differs by far more, other sums by less


def rematerialized(function: Callable) -> Callable:
    r"""The same function, whose inner activations are not kept but computed again:
    $f(x, \theta)$ with the pullback $\bar y \mapsto J_f(x, \theta)^\top \bar y$ taken
    from a new tape.

    Variables are found among the arguments and in mappings of them (`Weights`, or a
    scope). Noise is repeated: a generator, or a `Training` that holds one, has to be an
    argument too; its state is noted first. The statistics that a `Training` collects
    are collected once. The result is one array.

    Source: [DeepDive] memory optimization, which says gradients for activations.
    Oracle: torch.utils.checkpoint.checkpoint.

    >>> from refvlm.autodiff import grad
    >>> cube = rematerialized(lambda x: x * x * x)
    >>> grad(lambda x: cube(x).sum())(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """

    @functools.wraps(function)
    def repeatable(*args, **options):
        call = Call(function, args, options)
        out = call.run()
        if not call.variables:
            return out

        def pullback(d_out):
            found = call.gradients(d_out, out)
            return [found[variable] for variable in call.variables]

        return Variable(out, call.variables, pullback)

    return repeatable


def checkpoint_segments(
    function: Callable, x, layers: Sequence, *shared, segments: int | None = None
):
    r"""$x \leftarrow f(x, \theta_i)$ for all layers, keeping x where a segment begins.

    `layers` holds what differs from layer to layer, `shared` what does not: the
    function is called as `function(x, layer, *shared)`. There are about $\sqrt n$
    segments, or as many as asked for.

    Source: [DeepDive] memory optimization. Oracle:
    torch.utils.checkpoint.checkpoint_sequential.
    """
    for part in segment_plan(len(layers), segments):
        x = rematerialized(_run)(function, x, shared, *layers[part])
    return x


def segment_plan(n: int, segments: int | None = None) -> list[slice]:
    r"""The layers of each segment: $\lceil\sqrt n\rceil$ of them, as even as can be.

    Source: [DeepDive]. Oracle: by hand.

    >>> segment_plan(9)
    [slice(0, 3, None), slice(3, 6, None), slice(6, 9, None)]
    """
    check_whole("segment_plan", n=n)
    if n == 0:
        return []
    segments = math.isqrt(n - 1) + 1 if segments is None else segments
    check_whole("segment_plan", least=1, segments=segments)
    cuts = [n * i // segments for i in range(segments + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts) if a < b]


def _run(function, x, shared, *layers):
    for layer in layers:
        x = function(x, layer, *shared)
    return x


class Call:
    """A call of a function of Variables, noted so that it can be made again."""

    def __init__(self, function: Callable, args: tuple, options: Mapping[str, Any]):
        self.function, self.args, self.options = function, args, options
        self.noise = self._copies_of_noise(_each(args, options))
        found = (v for argument in self._all() for v in _variables(argument))
        self.variables = tuple(dict.fromkeys(found))

    def run(self):
        """The result, on arrays alone: nothing of the way is kept."""
        out = self._call(self._all(), value_of)
        if type(out) is Variable:
            raise TypeError(
                f"{_name(self.function)} uses a Variable that it was not given: pass "
                "it as an argument, or in a mapping, so that its gradient is found"
            )
        if self.variables and not isinstance(out, (np.ndarray, np.floating)):
            raise TypeError(
                f"{_name(self.function)} returned a {type(out).__name__}; one array "
                "can be computed again"
            )
        return out

    def gradients(self, d_out, out=None) -> dict[Variable, np.ndarray]:
        """The gradient of every Variable of the call, from a tape of its own.

        With `out`, the first result, a function that does not repeat itself is refused.
        """
        leaves = {variable: _leaf_like(variable) for variable in self.variables}
        again = self._call(self._copies_of_noise(self.noise), leaves.__getitem__)
        if out is not None:
            _check_same(self.function, value_of(again), out)
        found = backward(again, d_out) if type(again) is Variable else {}
        return {
            variable: found[leaf] if leaf in found else np.zeros_like(leaf.value)
            for variable, leaf in leaves.items()
        }

    def _all(self) -> list:
        return _each(self.args, self.options)

    def _call(self, arguments, change):
        changed = [_exchanged(argument, change) for argument in arguments]
        args, values = changed[: len(self.args)], changed[len(self.args) :]
        return self.function(*args, **dict(zip(self.options, values)))

    @staticmethod
    def _copies_of_noise(arguments):
        memo: dict[int, Any] = {}  # one generator under two names stays one
        return [_with_own_noise(argument, memo) for argument in arguments]


def _each(args, options):
    return [*args, *options.values()]


def _variables(argument) -> Iterator[Variable]:
    if type(argument) is Variable:
        yield argument
    elif isinstance(argument, Mapping):
        yield from (value for value in argument.values() if type(value) is Variable)
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from _variables(part)


def _exchanged(argument, change):
    """The argument with `change(variable)` in the place of every Variable."""
    if type(argument) is Variable:
        return change(argument)
    if isinstance(argument, Mapping):
        inside = {n: change(v) for n, v in argument.items() if type(v) is Variable}
        keeping_views = getattr(argument, "replace", None)
        return keeping_views(inside) if keeping_views else {**argument, **inside}
    if type(argument) in (tuple, list):
        return type(argument)(_exchanged(part, change) for part in argument)
    return argument


def _with_own_noise(argument, memo):
    """The argument, able to draw what it would draw now, whoever draws meanwhile."""
    if isinstance(argument, np.random.Generator):
        return copy.deepcopy(argument, memo)
    if isinstance(argument, Training):
        rng = copy.deepcopy(argument.rng, memo)
        return replace(argument, rng=rng, statistics={})
    if type(argument) in (tuple, list):
        return type(argument)(_with_own_noise(part, memo) for part in argument)
    return argument


def _leaf_like(variable):
    """A leaf as deep as the original: sums on the way back keep their order."""
    leaf = Variable(variable.value)
    leaf.depth = variable.depth
    return leaf


def _check_same(function, again, out):
    with np.errstate(invalid="ignore", over="ignore"):
        differs = np.abs(again - out).max(initial=0) > SAME * np.abs(out).max(initial=0)
    if differs:
        raise ValueError(
            f"{_name(function)} gave another result when it was computed again: its "
            "generator of noise has to be one of its arguments"
        )


def _name(function):
    return getattr(function, "__name__", "the function")
