"""The spec of refvlm/quantize/histograms.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import quantize
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, oracle, tensors

samples = tensors(st.tuples(st.integers(1, 40)), low=-100, high=100)


def batches(seed, positive=False):
    """Four batches of numbers with far ones among them, each wider than the last; the
    stream of RandomState does not change between versions."""
    state = np.random.RandomState(seed)
    some = [state.standard_t(3, (20, 250)) * (i + 1) + seed % 3 for i in range(4)]
    some = [np.maximum(batch, 0) if positive else batch for batch in some]
    return [batch.astype(np.float32) for batch in some]


def histogram_of(some, **options):
    state = None
    for batch in some:
        state = quantize.histogram(batch, state, **options)
    return state


def entropy_by_hand(counts, edges, levels):
    """The rule of entropy_range, bin by bin, with nothing but numbers: the divergence
    of every window, widest first."""
    bins, found = len(counts), {}
    for t in sorted({abs(edge) for edge in edges}, reverse=True):
        close = 1e-9 * (edges[-1] - edges[0])
        kept = [
            i
            for i in range(bins)
            if edges[i] >= -t - close and edges[i + 1] <= t + close
        ]
        if len(kept) < levels:
            continue
        first, stop = kept[0], kept[-1] + 1
        p = [counts[i] for i in kept]
        p[0] += sum(counts[:first])
        p[-1] += sum(counts[stop:])
        q = [0.0] * len(kept)
        for level in range(levels):
            members = [j for j in range(len(kept)) if j * levels // len(kept) == level]
            holders = [j for j in members if p[j] > 0]
            for j in holders:
                q[j] = sum(counts[kept[m]] for m in members) / len(holders)
        divergence = 0.0
        for p_j, q_j in zip(p, q):
            if p_j > 0 and q_j == 0:
                divergence = math.inf
            elif p_j > 0:
                p_j, q_j = p_j / sum(p), q_j / sum(q)
                divergence += p_j * math.log(p_j / q_j)
        found.setdefault((first, stop), divergence)
    return found


@example
def test_histogram_of_two_batches():
    """0 and 1 in two bins; the second batch reaches to 2, whose two bins are twice as
    wide: both old samples are in the first."""
    state = quantize.histogram(np.array([0.0, 1.0]), bins=2)
    np.testing.assert_array_equal(state.counts, [1, 1])
    state = quantize.histogram(np.array([2.0]), state, bins=2)
    np.testing.assert_array_equal(state.counts, [2, 1])
    np.testing.assert_array_equal(state.edges, [0, 1, 2])


@example
def test_entropy_range_cuts_off_one_far_sample():
    """Eight bins for four levels: a thousand in each of the first four, and one in the
    last. With all eight bins two and two share a level and lose nothing; but uneven
    ones do, and then only the first four are kept."""
    even = quantize.Histogram(np.array([9, 9, 9, 9, 0, 0, 0, 1.0]), 0.0, 8.0)
    uneven = quantize.Histogram(np.array([9, 1, 1, 9, 0, 0, 0, 1.0]), 0.0, 8.0)
    assert quantize.entropy_range(even, "uint2").high == 8
    assert quantize.entropy_range(uneven, "uint2").high == 4


@law
@given(st.lists(samples, min_size=1, max_size=4), st.integers(1, 9))
def test_histogram_loses_nobody(some, bins):
    """All samples are counted, over the range from the least to the largest."""
    state = histogram_of(some, bins=bins)
    whole = np.concatenate(some)
    assert_close(state.counts.sum(), np.float64(whole.size))
    assert (state.low, state.high) == (whole.min(), whole.max())
    assert (state.counts >= 0).all() and len(state.counts) == bins


@law
@given(samples, st.integers(1, 9))
def test_histogram_of_one_batch_is_numpys(x, bins):
    """Where the range has a width; of one number only, all are in the middle bin."""
    ours = quantize.histogram(x, bins=bins)
    if x.min() == x.max():
        assert ours.counts[bins // 2] == x.size
        return
    # Divided in another order, a sample on an edge may be the other bin's.
    edges = np.histogram_bin_edges(x, bins)
    close = 1e-9 * np.abs(x).max()
    lower = sum((x >= edge - close) for edge in edges[1:-1])
    upper = sum((x >= edge + close) for edge in edges[1:-1])
    if bins == 1 or np.array_equal(lower, upper):
        np.testing.assert_array_equal(ours.counts, np.histogram(x, bins)[0])


@law
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("rule", ["narrowed_range", "entropy_range"])
def test_range_of_a_histogram_is_inside_it(rule, seed):
    """From one edge to another, and, where a few samples are far away, narrower."""
    some = [*batches(seed), np.array([900.0], np.float32)]
    state = histogram_of(some)
    low, high = getattr(quantize, rule)(state, "int8")
    assert state.low <= low < high < state.high
    assert np.abs(state.edges - low).min() == np.abs(state.edges - high).min() == 0


@law
@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=12).filter(any),
    st.floats(-50, 0),
    st.floats(1, 50),
)
def test_entropy_range_equals_the_sums_written_out(counts, low, high):
    """No window of a brute force diverges less."""
    counts = np.array(counts, float)
    state = quantize.Histogram(counts, low, high)
    found = entropy_by_hand(counts.tolist(), state.edges.tolist(), 4)
    ours = quantize.entropy_range(state, "uint2")
    first = int(np.abs(state.edges - ours.low).argmin())
    stop = int(np.abs(state.edges - ours.high).argmin())
    least = min(found.values(), default=math.inf)
    if math.isfinite(least):
        assert abs(found[first, stop] - least) < 1e-12
    else:
        assert (first, stop) == (0, len(counts))


@oracle
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("seed", [1, 5, 6, 8])
def test_narrowed_range_equals_torch(compare, seed, positive):
    """HistogramObserver after four batches: the counts (but for samples at an edge,
    which float32 puts in the next bin) and the range that its search ends at."""
    some = batches(seed, positive)

    def ask(torch):
        from torch.ao.quantization import HistogramObserver

        observer = HistogramObserver(dtype=torch.quint8)
        for batch in some:
            observer(torch.from_numpy(batch))
        ends = observer._non_linear_param_search()
        return {
            "counts": observer.histogram.numpy(),
            "ends": torch.stack(ends).numpy(),
        }

    answers = compare.answers(ask, (some,))
    state = histogram_of(some)
    moved = np.abs(np.cumsum(state.counts) - np.cumsum(answers["counts"]))
    assert moved.max() <= 2 and (moved > 0.1).sum() <= 6
    low, high = quantize.narrowed_range(state, "uint8")
    width = (state.high - state.low) / 2048
    assert (
        max(abs(low - answers["ends"][0]), abs(high - answers["ends"][1])) < width / 8
    )


@contract
def test_histogram_refuses_what_it_cannot_count():
    """NaN has no bin, no samples have no range, and bins of two sizes do not add."""
    with pytest.raises(ValueError, match="histogram: x holds 1 number that is NaN"):
        quantize.histogram(np.array([np.nan, 1.0]))
    with pytest.raises(ShapeError, match="histogram: x is .* of no samples"):
        quantize.histogram(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="bins must be a whole number of at least 1"):
        quantize.histogram(np.ones(3), bins=0)
    state = quantize.histogram(np.ones(3), bins=4)
    with pytest.raises(ValueError, match="the state has 4 bins, not 2048"):
        quantize.histogram(np.ones(3), state)


@contract
def test_entropy_range_refuses_fewer_bins_than_levels():
    """Each level would be a bin, and nothing be lost but what is clipped."""
    state = quantize.histogram(np.arange(9.0), bins=9)
    with pytest.raises(ValueError, match="9 bins are fewer than the 16 levels of int4"):
        quantize.entropy_range(state, "int4")
    for rule in (quantize.entropy_range, quantize.narrowed_range):
        with pytest.raises(ValueError, match="float8_e5m2 holds no whole numbers"):
            rule(state, "float8_e5m2")
