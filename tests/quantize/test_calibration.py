"""The spec of refvlm/quantize/calibration.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import quantize
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    contract,
    example,
    law,
    oracle,
    random_arrays,
    shapes_of,
    tensors,
)

RULES = {
    "min_max_range": {},
    "moving_average_range": {"averaging": 0.25},
    "percentile_range": {"percentile": 90},
    "mse_range": {"dtype": "uint4", "candidates": 8},
}
STREAMS = ["min_max_range", "moving_average_range"]

rule = pytest.mark.parametrize("name", RULES)
samples = tensors(shapes_of(2), low=-100, high=100)


def of_rule(name, x, **options):
    return getattr(quantize, name)(x, **RULES[name], **options)


def batches(seed=21, count=4):
    """Batches of three channels, each wider than the last, in float32."""
    draw = random_arrays(seed)
    return [
        draw(6, 3, 5, scale=1.0 + i, shift=0.5).astype(np.float32) for i in range(count)
    ]


def error_of(x, low, high, dtype, symmetric):
    """The squared error of a range, by rounding every sample on its grid."""
    if symmetric:
        scale, zero_point = quantize.symmetric_parameters(high, dtype)
    else:
        scale, zero_point = quantize.affine_parameters(low, high, dtype)
    grid = np.asarray(scale), np.asarray(zero_point)
    codes = quantize.quantize_linear(x, *grid, output_dtype=dtype)
    rounded = quantize.dequantize_linear(codes, *grid)
    return np.square(x - rounded).sum()


@example
def test_min_max_range_grows_with_its_batches():
    """The least and the largest of all that was seen."""
    state = quantize.min_max_range(np.array([0.5, -1.0]))
    assert state == (-1.0, 0.5)
    assert quantize.min_max_range(np.array([0.25, 3.0]), state) == (-1.0, 3.0)


@example
def test_moving_average_range_takes_a_quarter_of_the_way():
    """From 1 to 9 it goes to 3, and from 3 back to 1 it goes to 2.5."""
    state = quantize.moving_average_range(np.array([0.0, 1.0]))
    for largest, expected in ((9.0, 3.0), (1.0, 2.5)):
        batch = np.array([0.0, largest])
        state = quantize.moving_average_range(batch, state, averaging=0.25)
        assert state == (0.0, expected)


@example
def test_percentile_range_leaves_a_tenth_out_at_each_end():
    """Of the numbers from 0 to 100, those from 10 to 90."""
    x = np.arange(101.0)[::-1]
    assert quantize.percentile_range(x, percentile=90) == (10.0, 90.0)


@example
def test_mse_range_clips_one_far_sample():
    """With four levels, 0 to 3: a thousand threes are worth more than the one 9, which
    would put the levels at 0, 3, 6, 9 and a thousand twos off by one."""
    x = np.repeat([0.0, 1.0, 2.0, 3.0, 4.5], [1000, 1000, 1000, 1000, 1])
    assert quantize.mse_range(x, "uint2", candidates=3) == (0.0, 3.0)


@law
@given(st.lists(samples, min_size=1, max_size=4))
def test_min_max_range_of_batches_is_that_of_all(some):
    """However the samples are cut into batches, and in whatever order they come."""
    state = None
    for batch in some:
        state = quantize.min_max_range(batch, state)
    whole = np.concatenate([batch.ravel() for batch in some])
    assert state == quantize.min_max_range(whole) == (whole.min(), whole.max())


@law
@given(st.lists(samples, min_size=1, max_size=4), st.floats(0, 1))
def test_moving_average_range_is_a_weighted_mean(some, averaging):
    """Of the batches' extremes, with weights c (1 - c)^k for k batches later: the first
    has what is left."""
    state = None
    for batch in some:
        state = quantize.moving_average_range(batch, state, averaging)
    weights = [averaging * (1 - averaging) ** k for k in range(len(some))][::-1]
    weights[0] = (1 - averaging) ** (len(some) - 1)
    for end, extreme in zip(state, (np.min, np.max)):
        expected = sum(w * extreme(batch) for w, batch in zip(weights, some))
        assert abs(end - expected) < 1e-10


@law
@given(samples, st.floats(50, 100))
def test_percentile_range_leaves_no_more_than_its_share_outside(x, percentile):
    """At each end at most as many samples as the share says, the last one in part; 100
    leaves none."""
    low, high = quantize.percentile_range(x, percentile)
    share = (100 - percentile) / 100 * x.size
    close = 1e-12 * np.abs(x).max()  # between two equal numbers, to a rounding
    assert (x < low - close).sum() < share + 1
    assert (x > high + close).sum() < share + 1
    assert quantize.percentile_range(x, 100) == quantize.min_max_range(x)


@law
@given(
    samples,
    st.sampled_from(["uint2", "int2", "int4", "uint8"]),
    st.booleans(),
    st.integers(1, 6),
)
def test_mse_range_is_the_best_of_its_candidates(x, dtype, symmetric, candidates):
    """No pair of shares of the extremes errs less, every sample rounded by itself."""
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    shares = np.arange(1, candidates + 1) / candidates
    if symmetric:
        pairs = [(-end, end) for end in max(-low, high) * shares]
    else:
        pairs = [(low * a, high * b) for a in shares for b in shares]
    errors = [error_of(x, *pair, dtype, symmetric) for pair in pairs]
    ours = quantize.mse_range(x, dtype, symmetric, candidates)
    scale = 1e-9 * np.square(x).sum()
    assert error_of(x, *ours, dtype, symmetric) <= min(errors) + scale


@law
@rule
def test_every_range_along_an_axis_is_each_slice_by_itself(name):
    """One range for each index, whichever end the axis is counted from."""
    x = batches()[0]
    each = [of_rule(name, x[:, i]) for i in range(3)]
    for axis in (1, -2):
        low, high = of_rule(name, x, axis=axis)
        np.testing.assert_array_equal(low, [one[0] for one in each])
        np.testing.assert_array_equal(high, [one[1] for one in each])


@law
@rule
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_range_has_the_dtype_of_its_samples(name, dtype):
    """And leaves them as they were. What is averaged is float32 at least."""
    x = batches()[0].astype(dtype)
    before, expected = x.copy(), np.dtype(dtype)
    if name == "moving_average_range":
        expected = np.result_type(dtype, np.float32)
    assert {end.dtype for end in of_rule(name, x)} == {expected}
    if name in STREAMS:
        state = of_rule(name, x, state=of_rule(name, x))
        assert {end.dtype for end in state} == {expected}
    np.testing.assert_array_equal(x, before)


@law
def test_moving_average_range_of_halves_is_computed_in_single():
    """From 1000 to 1020 the first steps are of 0.2, which float16 does not have there:
    after a thousand batches the range has arrived all the same, to 20 * 0.99^1000."""
    x = np.array([0.0, 1020.0])
    state = quantize.moving_average_range(np.array([0.0, 1000.0], np.float16))
    for _ in range(1000):
        state = quantize.moving_average_range(x.astype(np.float16), state)
    assert abs(state[1] - (1020 - 20 * 0.99**1000)) < 0.01


@oracle
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_range_of_batches_equals_torch(compare, name, symmetric):
    """The state after four batches, and the grid that is made of it."""
    some = batches()

    def ask(torch):
        from torch.ao import quantization

        kinds = {
            "min_max_range": quantization.MinMaxObserver,
            "moving_average_range": quantization.MovingAverageMinMaxObserver,
        }
        scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
        given = {"averaging_constant": 0.25} if name != "min_max_range" else {}
        observer = kinds[name](qscheme=scheme, dtype=torch.quint8, **given)
        for batch in some:
            observer(torch.from_numpy(batch))
        scale, zero_point = observer.calculate_qparams()
        ends = observer.min_val, observer.max_val
        return {
            "ends": torch.stack(ends).numpy(),
            "scale": scale.numpy(),
            "zero_point": zero_point.numpy(),
        }

    answers = compare.answers(ask, (some, name, symmetric))
    state = None
    for batch in some:
        state = of_rule(name, batch, state=state)
    assert_close(np.stack(state), answers["ends"], 1e-6)
    if symmetric:
        # PyTorch gives -128 a partner: its step is 127.5th of the largest, ours 127th.
        assert_close(np.max(np.abs(state)) / 127.5, answers["scale"][0], 1e-6)
        return
    scale, zero_point = quantize.affine_parameters(*state, "uint8")
    assert_close(scale, answers["scale"][0], 1e-6)
    assert zero_point == answers["zero_point"]


@oracle
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_min_max_range_equals_torch_along_an_axis(compare, axis):
    """One range for each channel, of four batches."""
    some = batches()

    def ask(torch):
        from torch.ao.quantization import PerChannelMinMaxObserver

        observer = PerChannelMinMaxObserver(ch_axis=axis)
        for batch in some:
            observer(torch.from_numpy(batch))
        return {"ends": torch.stack([observer.min_val, observer.max_val]).numpy()}

    answers = compare.answers(ask, (some, axis))
    state = None
    for batch in some:
        state = quantize.min_max_range(batch, state, axis=axis)
    np.testing.assert_array_equal(np.stack(state), answers["ends"])


@oracle
@pytest.mark.parametrize("percentile", [50, 90.625, 99.9])
def test_percentile_range_equals_torch(compare, percentile):
    """torch.quantile, on a straight line between two samples."""
    x = random_arrays(22)(7, 11)

    def ask(torch):
        shares = torch.tensor([1 - percentile / 100, percentile / 100]).double()
        return {"ends": torch.quantile(torch.from_numpy(x), shares).numpy()}

    answers = compare.answers(ask, (x, percentile))
    ours = np.stack(quantize.percentile_range(x, percentile))
    assert_close(ours, answers["ends"], 1e-7)  # the shares are float32 in PyTorch


@contract
@rule
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_every_range_refuses_what_is_not_finite(name, bad):
    """A range to infinity has no step."""
    with pytest.raises(ValueError, match=f"{name}: x holds 1 number that is NaN or"):
        of_rule(name, np.array([0.0, bad]))


@contract
@rule
def test_every_range_refuses_no_samples(name):
    """Of nothing there is no least; and neither of nothing in each channel."""
    for shape, axis in (((0,), None), ((3, 0), 0)):
        with pytest.raises(ShapeError, match=f"{name}: x is .* of no samples"):
            of_rule(name, np.zeros(shape), axis=axis)
    with pytest.raises(ValueError, match=f"{name}: samples are floating numbers"):
        of_rule(name, np.arange(3))
    with pytest.raises(ValueError, match=f"{name}: axis is 2, but x"):
        of_rule(name, np.ones((2, 3)), axis=2)


@contract
@pytest.mark.parametrize("name", STREAMS)
def test_range_refuses_the_state_of_another_tensor(name):
    """Broadcasting would make one range of two tensors."""
    state = of_rule(name, np.ones((2, 3)), axis=1)
    with pytest.raises(ShapeError, match=r"for \(3,\), and the batch for \(\)"):
        of_rule(name, np.ones((2, 3)), state=state)


@contract
@pytest.mark.parametrize(
    "name, option, message",
    [
        ("moving_average_range", {"averaging": 1.5}, "averaging is a share of 0 to 1"),
        ("moving_average_range", {"averaging": None}, "averaging is a share of 0 to 1"),
        ("percentile_range", {"percentile": 0.999}, "percentile is from 50 to 100"),
        ("percentile_range", {"percentile": np.nan}, "percentile is from 50 to 100"),
        ("mse_range", {"candidates": 0}, "candidates must be a whole number of at"),
        ("mse_range", {"dtype": "float8_e5m2"}, "float8_e5m2 holds no whole numbers"),
    ],
)
def test_range_refuses_options_that_are_none(name, option, message):
    """A percentile of 0.999 is a share given for a percentage."""
    with pytest.raises(ValueError, match=message):
        getattr(quantize, name)(np.ones(3), **option)


@contract
@pytest.mark.parametrize("name", ["min_max_range", "moving_average_range"])
@pytest.mark.parametrize(
    "state", [5, [1.0], [1.0, 2.0, 3.0], "ab", {}, [None, None], ["a", 1.0]]
)
def test_ranges_say_what_state_is(name, state):
    """What the call before gave, and nothing like it."""
    with pytest.raises(ValueError, match=rf"^{name}: state is the Range\(low, high\)"):
        getattr(quantize, name)(np.ones(3, np.float32), state)


@contract
def test_ranges_refuse_a_state_that_is_no_number():
    """A NaN would stay one for all batches to come."""
    with pytest.raises(ValueError, match="min_max_range: state holds 1 number that"):
        quantize.min_max_range(np.ones(3, np.float32), (np.nan, 1.0))


@contract
def test_mse_range_tries_no_more_than_65536_grids():
    """Their number is the square of the candidates."""
    with pytest.raises(ValueError, match="candidates .* at most 256, not 1000000"):
        quantize.mse_range(np.ones(3, np.float32), candidates=10**6)
