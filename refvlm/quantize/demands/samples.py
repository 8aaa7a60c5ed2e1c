"""Of calibration: samples to measure, and a state that is of the same tensor."""

from __future__ import annotations

import numpy as np

from ...arguments import check_axes, is_number
from ...shapes import ShapeError
from .numbers import finite


def samples_to_measure(function, x, axis=None):
    """Floating samples, some, all of them numbers."""
    if x.dtype.kind != "f":
        raise ValueError(
            f"{function}: samples are floating numbers, but x holds {x.dtype}"
        )
    if axis is not None:
        check_axes(function, "axis", axis, "x", x.shape)
    if not x.size:
        raise ShapeError(f"{function}: x is {x.shape}: of no samples there is no range")
    finite(function, x=x)


def a_state_of_the_same_places(function, low, state):
    """As many ranges as the batch has, left by the batches before."""
    is_pair = isinstance(state, (tuple, list)) and len(state) == 2
    if not is_pair or not all(_holds_numbers(end) for end in state):
        raise ValueError(
            f"{function}: state is the Range(low, high) that the call for the batch "
            f"before gave, not {state!r:.60}"
        )
    for end in state:
        finite(function, state=end)
        if np.shape(end) != low.shape:
            raise ShapeError(
                f"{function}: the state has ranges for {np.shape(end)}, and the batch "
                f"for {low.shape}: it is of another tensor, or of another axis"
            )


def _holds_numbers(end):
    try:
        return np.asarray(end).dtype.kind in "fiu"
    except ValueError:  # a ragged list
        return False


def averaging_is_a_share(averaging):
    """Nothing of the batch, all of it, or something between."""
    if not is_number(averaging) or not 0 <= averaging <= 1:
        raise ValueError(
            f"moving_average_range: averaging is a share of 0 to 1, not {averaging!r}"
        )


def percentile_leaves_a_half(percentile):
    """The upper end is not below the lower one."""
    if not is_number(percentile) or not 50 <= percentile <= 100:
        raise ValueError(
            f"percentile_range: percentile is from 50 to 100, not {percentile!r}"
        )


def bins_of_the_state(state, bins):
    """Every batch is counted in as many bins."""
    if state is not None and len(state.counts) != bins:
        raise ValueError(
            f"histogram: the state has {len(state.counts)} bins, not {bins}: take as "
            "many for every batch"
        )


def a_bin_for_each_level(samples, known):
    """There is something to choose from: no fewer bins than levels."""
    bins, levels = len(samples.counts), known.high - known.low + 1
    if bins < levels:
        raise ValueError(
            f"entropy_range: {bins} bins are fewer than the {levels} levels of "
            f"{known.name}: take histogram(x, bins={8 * levels})"
        )
