r"""Calibration: over which range a grid shall reach, decided by samples.

Weights are known; activations are only ever sampled. A range that reaches to the
largest sample spends its levels on what hardly occurs, and one that ends too soon clips
what does: each rule here draws that line at another place.

    min_max_range        at the extremes, of all batches
    moving_average_range at the extremes of a usual batch
    percentile_range     where a share of the samples is left outside
    mse_range            where rounding and clipping together err least

`histograms` has two more, for more samples than one can keep. Rules that take batches
are functions of a batch and of what the batches before left: hand the state back in.
From a range to a grid: `affine_parameters(*state, dtype)`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arguments import check_whole
from . import demands
from .number_formats import integer_format
from .ranges import affine_parameters, symmetric_parameters

MOST_CANDIDATES = 256  # their square is tried


class Range(NamedTuple):
    """From the lowest to the highest number: one of each, or one for each channel."""

    low: np.ndarray
    high: np.ndarray


def min_max_range(x, state=None, axis=None):
    r"""From the least to the largest sample: $[\min(l, \min x),\ \max(h, \max x)]$.

    Of all of x, or of each index along `axis`; with the state [l, h] that earlier
    batches left, of these too.

    Source: [Krishnamoorthi2018] 3.1. Oracle: torch.ao.quantization.MinMaxObserver,
    PerChannelMinMaxObserver.

    >>> state = min_max_range(np.array([0.5, -1.0]))
    >>> min_max_range(np.array([3.0]), state)
    Range(low=array(-1.), high=array(3.))
    """
    low, high = _extremes("min_max_range", x, axis)
    if state is None:
        return Range(low, high)
    demands.a_state_of_the_same_places("min_max_range", low, state)
    low, high = np.minimum(low, state[0]), np.maximum(high, state[1])
    return Range(np.asarray(low), np.asarray(high))


def moving_average_range(x, state=None, averaging=0.01, axis=None):
    r"""The extremes of a usual batch: $l \leftarrow l + c\,(\min x - l)$, and so the
    highest, with c = averaging; the first batch stands for all before it.

    One batch with an outlier moves the range by a hundredth, and the next ones move it
    back. Activations are followed by it while a network learns. Of halves the range is
    float32: the way to a near batch is soon less than half their last digit, and the
    range would stand still.

    Source: [Jacob2018] 3.1. Oracle: torch.ao.quantization.MovingAverageMinMaxObserver.

    >>> state = moving_average_range(np.array([0.0, 1.0]))
    >>> moving_average_range(np.array([0.0, 9.0]), state, averaging=0.25)
    Range(low=array(0.), high=array(3.))
    """
    demands.averaging_is_a_share(averaging)
    low, high = _extremes("moving_average_range", x, axis)
    wide = np.result_type(low.dtype, np.float32)
    low, high = low.astype(wide), high.astype(wide)
    if state is None:
        return Range(low, high)
    demands.a_state_of_the_same_places("moving_average_range", low, state)
    olds = [np.asarray(old, wide) for old in state]
    moved = [old + averaging * (new - old) for old, new in zip(olds, (low, high))]
    return Range(*[np.asarray(each, wide) for each in moved])


def percentile_range(x, percentile=99.9, axis=None):
    r"""The samples but for a share at each end: from the percentile $100 - p$ to p.

    100 is min-max. Between two samples the percentile is on a straight line.

    Source: [Wu2020] 3.3. Oracle: torch.quantile.

    >>> percentile_range(np.arange(101.0), percentile=90)
    Range(low=array(10.), high=array(90.))
    """
    demands.percentile_leaves_a_half(percentile)
    x = np.asarray(x)
    demands.samples_to_measure("percentile_range", x, axis)
    wide = x.astype(np.float64)  # in which no distance between samples overflows
    ends = np.percentile(wide, (100 - percentile, percentile), _others(x, axis))
    return Range(*[np.asarray(end, x.dtype) for end in ends])


def mse_range(x, dtype="uint8", symmetric=False, candidates=64, axis=None):
    r"""The range whose grid errs least: $\arg\min_{l,h} \sum_i (x_i - \hat x_i)^2$.

    Both ends are tried at every multiple of a `candidates`-th of the extremes, at most
    256 of them, each with each, and the grid is that of `affine_parameters`; or,
    symmetric, every [-t, t] with that of `symmetric_parameters`. The sums are exact and
    quickly taken: among sorted samples those of one level stand together, and with
    running sums of x and $x^2$ a level v costs $\sum x^2 - 2v\sum x + nv^2$ however
    many they are.

    Source: [DeepDive] calibration optimization; [Krishnamoorthi2018]. Oracle: trying
    each range by `fake_quantize`.

    >>> x = np.append(np.linspace(-1, 1, 9999), 3.0)  # is it worth the others' digits?
    >>> [float(mse_range(x, dtype).high) for dtype in ("uint4", "uint8")]
    [1.125, 2.90625]
    """
    known = integer_format(dtype, "mse_range: dtype")
    check_whole("mse_range", least=1, most=MOST_CANDIDATES, candidates=candidates)
    x = np.asarray(x)
    demands.samples_to_measure("mse_range", x, axis)
    if axis is not None:
        each = [
            mse_range(places, dtype, symmetric, candidates)
            for places in np.moveaxis(x, axis, 0)
        ]
        return Range(*[np.stack(ends) for ends in zip(*each)])
    samples = np.sort(x, axis=None).astype(np.float64)
    low, high = min(samples[0], 0.0), max(samples[-1], 0.0)
    shares = np.arange(1, candidates + 1) / candidates
    if symmetric:
        ends = max(-low, high) * shares
        pairs = [(-ends, ends)]
    else:
        lows = low * shares if low else np.zeros(1)
        highs = high * shares if high else np.zeros(1)
        pairs = [(np.full(highs.shape, some), highs) for some in lows]
    sums = np.concatenate([[0.0], np.cumsum(samples)])
    best, least = (low, high), np.inf
    for lows, highs in pairs:
        if symmetric:
            scale, zero_point = symmetric_parameters(highs, dtype)
        else:
            scale, zero_point = affine_parameters(lows, highs, dtype)
        errors = _errors_of_grids(samples, sums, scale, zero_point, known)
        place = errors.argmin()
        if errors[place] < least:
            best, least = (lows[place], highs[place]), errors[place]
    return Range(*[np.asarray(end, x.dtype) for end in best])


def _errors_of_grids(samples, sums, scale, zero_point, known):
    r"""$\sum_v (n_v v^2 - 2 v \sum_{x \to v} x)$ for each grid: the squared error but
    for $\sum x^2$, which is the same for all."""
    codes = np.arange(known.low, known.high + 1, dtype=np.float64)
    levels = (codes - zero_point[:, None].astype(np.float64)) * scale[:, None]
    middles = (levels[:, 1:] + levels[:, :-1]) / 2
    places = np.searchsorted(samples, middles)
    ends = np.pad(places, ((0, 0), (1, 1)), constant_values=(0, len(samples)))
    counts, inside = np.diff(ends), np.diff(sums[ends])
    return (levels * (counts * levels - 2 * inside)).sum(1)


def _extremes(function, x, axis):
    x = np.asarray(x)
    demands.samples_to_measure(function, x, axis)
    others = _others(x, axis)
    return np.asarray(x.min(others)), np.asarray(x.max(others))


def _others(x, axis):
    """Every axis but one; all of them without one."""
    if axis is None:
        return None
    return tuple(i for i in range(x.ndim) if i != axis % x.ndim)
