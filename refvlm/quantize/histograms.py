r"""Calibration from histograms: a few thousand counts in place of all samples.

    batch --histogram--> counts --narrowed_range--> the ends where an L2 norm stops
                                                    to fall (PyTorch's rule)
                                --entropy_range---> the threshold whose grid tells
                                                    least less (TensorRT's rule)

A batch that goes beyond the histogram makes it wider: its counts are then spread over
new bins, and where in a bin they lay is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arguments import check_whole
from . import demands
from .calibration import Range
from .number_formats import integer_format

FINE = 16  # parts of a bin, each handed on as a whole, when a histogram is widened
AT_ONCE = 2**20  # levels of windows of bins that are compared at the same time
CRUMB = 1e-5  # the share of the samples that narrowed_range may leave out at a time


class Histogram(NamedTuple):
    """So many samples in each of some even bins from low to high."""

    counts: np.ndarray
    low: float
    high: float

    @property
    def edges(self):
        """Where each bin begins, and the last one ends."""
        return np.linspace(self.low, self.high, len(self.counts) + 1)


def histogram(x, state=None, bins=2048):
    """The counts of a batch in even bins over its range, added to those of earlier
    batches, all in the range of both.

    A sample at a bin's edge is the upper bin's, and the highest the last one's. Counts
    are float64: a bin that is spread over two may leave halves.

    Source: [DeepDive] calibration optimization.
    Oracle: torch.ao.quantization.HistogramObserver.

    >>> histogram(np.array([0.0, 0.1, 1.0]), bins=4)
    Histogram(counts=array([2., 0., 0., 1.]), low=0.0, high=1.0)
    """
    check_whole("histogram", least=1, bins=bins)
    x = np.asarray(x)
    demands.samples_to_measure("histogram", x)
    demands.bins_of_the_state(state, bins)
    low, high = float(x.min()), float(x.max())
    if state is None:
        return Histogram(_counts(x, low, high, bins), low, high)
    low, high = min(low, state.low), max(high, state.high)
    counts = _counts(x, low, high, bins) + _rebinned(state, low, high)
    return Histogram(counts, low, high)


def _counts(x, low, high, bins):
    """How many samples lie in each bin; of one number only, all in the middle one."""
    if low == high:  # as torch.histc: one unit to each side
        low, high = low - 1, high + 1
    places = ((x.astype(np.float64).ravel() - low) / (high - low) * bins).astype(int)
    return np.bincount(np.clip(places, 0, bins - 1), minlength=bins).astype(float)


def _rebinned(state, low, high):
    """The counts of a histogram over a wider range: a sixteenth of each bin goes
    to the bin that its middle is in."""
    counts, bins = state.counts, len(state.counts)
    if (state.low, state.high) == (low, high):
        return counts
    if state.low == state.high:
        return _counts(np.full(1, state.low), low, high, bins) * counts.sum()
    parts = np.linspace(state.low, state.high, bins * FINE + 1)[:-1]
    middles = parts + (state.high - state.low) / (2 * bins * FINE)
    places = np.searchsorted(np.linspace(low, high, bins + 1), middles, "right") - 1
    shares = np.repeat(counts, FINE) / FINE
    return np.bincount(np.clip(places, 0, bins - 1), shares, minlength=bins)


def narrowed_range(samples: Histogram, dtype="uint8") -> Range:
    r"""The range from which nothing more can be cut without raising
    $\int (x - \hat x)^2\,p(x)\,dx$, a hundred-thousandth of the samples at a time.

    At each step the end gives way at which that share reaches over more bins, and the
    first step that raises the norm ends it: a walk, not a search of all ranges, that
    may stop before a better one. The norm takes samples to be even within a bin.

    Source: [DeepDive] calibration optimization.
    Oracle: torch.ao.quantization.HistogramObserver.

    >>> x = np.append(np.random.default_rng(0).normal(size=9999), 40.0)
    >>> float(narrowed_range(histogram(x), "int4").high) < 10
    True
    """
    known = integer_format(dtype, "narrowed_range: dtype")
    counts, edges = samples.counts, samples.edges
    below, total = np.cumsum(counts), float(counts.sum())
    levels, width = known.high - known.low + 1, edges[1] - edges[0]
    first, last, least = 0, len(counts) - 1, np.inf
    left, right = 0.0, 1.0  # the shares of samples that the ends stand at
    while left < right:
        # In float32, as PyTorch: with a round number of samples these are whole counts.
        floor = np.float32((left + CRUMB) * total)
        ceiling = np.float32((right - CRUMB) * total)
        lower = max(first, min(last, int(np.searchsorted(below, floor))))
        upper = int(np.searchsorted(below, ceiling, "right")) - 1
        upper = min(last, max(first, upper))
        if lower - first > last - upper:
            narrower, left = (lower, last), left + CRUMB
        else:
            narrower, right = (first, upper), right - CRUMB
        if narrower == (first, last):
            continue
        norm = _norm(counts, width, *narrower, levels)
        if norm > least:
            break
        (first, last), least = narrower, norm
    return Range(np.asarray(edges[first]), np.asarray(edges[last + 1]))


def _norm(counts, width, first, last, levels):
    r"""$\int (x - \hat x)^2$ over all bins, for a grid over the bins first to last
    whose levels lie in the middles of equal parts.

    Of a level with the middle m, the part from a to b adds $((b-m)^3 - (a-m)^3)/3$.
    """
    step = width * (last - first + 1) / levels
    begins = (np.arange(len(counts)) - first) * width
    ends = begins + width
    lower = np.clip(np.floor(begins / step), 0, levels - 1)
    upper = np.clip(np.floor(ends / step), 0, levels - 1)
    half = step / 2

    def third(begin, end):
        return (end**3 - begin**3) / 3

    density = counts / width
    parts = third(begins - (lower + 0.5) * step, half)
    parts += (upper - lower - 1) * third(-half, half)
    parts += third(-half, ends - (upper + 0.5) * step)
    return float((density * parts).sum())


def entropy_range(samples: Histogram, dtype="int8") -> Range:
    r"""The range [-t, t] (as far as there are samples) whose grid loses least
    information: $\arg\min_t \mathrm{KL}(P_t \,\|\, Q_t)$.

    P is the histogram with what lies outside added to its outermost bins; Q is the
    histogram inside, each level's bins (as many as fall to it) made equal, but for
    those where P has nothing. Every edge of a bin is tried as t, from as many bins as
    there are levels. A t for which Q rules out what P has is passed over; the widest
    has none.

    Source: [Migacz2017], [Wu2020] 3.3. Oracle: the sums written out, bin by bin.

    >>> x = np.append(np.random.default_rng(0).normal(size=9999), 40.0)
    >>> float(entropy_range(histogram(x), "int4").high) < 10
    True
    """
    known = integer_format(dtype, "entropy_range: dtype")
    demands.a_bin_for_each_level(samples, known)
    counts, edges = samples.counts, samples.edges
    levels = known.high - known.low + 1
    firsts, stops = _windows(edges, levels)
    some = max(AT_ONCE // levels, 1)
    divergences = np.concatenate(
        [
            _divergences(counts, firsts[i : i + some], stops[i : i + some], levels)
            for i in range(0, len(firsts), some)
        ]
    )
    best = divergences.argmin() if np.isfinite(divergences).any() else 0
    return Range(np.asarray(edges[firsts[best]]), np.asarray(edges[stops[best]]))


def _windows(edges, levels):
    """The bins from -t to t, for every edge t of the longer side, at least as many as
    there are levels, the widest first: where each begins, and where it ends."""
    thresholds = np.unique(np.abs(edges))[::-1]
    slack = 1e-9 * (edges[-1] - edges[0])  # that -t and t are edges to the same bits
    firsts = np.searchsorted(edges, -thresholds - slack)
    stops = np.searchsorted(edges, thresholds + slack, "right") - 1
    wide = stops - firsts >= levels
    return firsts[wide], stops[wide]


def _divergences(counts, firsts, stops, levels):
    r"""$\mathrm{KL}(P \,\|\, Q)$ of each window of bins.

    Within a level Q is one number, so that of P's bins there it needs their sum, how
    many are not empty, and the sum of $p \log p$: differences of running sums.
    """
    starts = np.arange(levels + 1) * (stops - firsts)[:, None]
    starts = firsts[:, None] - (-starts // levels)
    so_far, holding, own = (
        np.concatenate([[0.0], np.cumsum(each)])
        for each in (counts, counts > 0, _times_log(counts))
    )
    inside, holders = np.diff(so_far[starts]), np.diff(holding[starts])
    clipped, total = inside.copy(), so_far[-1]
    of_bins = own[stops] - own[firsts]
    ends = (0, firsts, so_far[firsts]), (-1, stops - 1, total - so_far[stops])
    for level, bins, outside in ends:  # what lies outside joins the outermost bins
        clipped[:, level] += outside
        holders[:, level] += (outside > 0) & (counts[bins] == 0)
        of_bins += _times_log(counts[bins] + outside) - _times_log(counts[bins])
    with np.errstate(divide="ignore", invalid="ignore"):
        q = inside / holders / inside.sum(1, keepdims=True)
        of_levels = np.where(clipped > 0, clipped * np.log(q), 0).sum(1)
    # No count is infinite, but the logarithm of a q of 0 is.
    divergences = (of_bins - of_levels) / total - np.log(total)
    return np.where(np.isnan(divergences), np.inf, divergences)


def _times_log(x):
    """x log x, which is 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1))
