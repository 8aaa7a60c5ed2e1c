"""The spec of the hints: each slip is named where it was made, and nowhere else."""

import contextlib
import functools
import math

import numpy as np
import pytest

from refvlm import ops
from refvlm.kernels.windows import geometry, windows

from .impl import hints as general
from .impl.homes import home_of
from .impl.proofs import explains, proved
from .impl.slips import SLIPS, ZERO_WINS
from .impl.witness import Witness
from .ops.test_every_operator import CALLS
from .spec import law, pulled_back, random_arrays

ROWS = [
    pytest.param(name.removesuffix("_vjp"), row, id=f"{name}-{row.variant.__name__}")
    for row in SLIPS
    for name in row.operators
]
ADAM = (*np.square(random_arrays(7)(4, 3)), 2, 0.1, (0.9, 0.99), 0.1)
# Calls that tell two functions apart where CALLS, which vary the options, do not.
TELLING = {
    "softmax": [(np.array([0.0, 1000.0]),), (random_arrays(1)(4, 4), 0)],
    "log_softmax": [(np.array([0.0, 1000.0]),), (random_arrays(1)(4, 4), 0)],
    "linear": [(random_arrays(2)(3, 4), random_arrays(3)(4, 4))],
    "layer_norm": [(random_arrays(4)(2, 3), (3,), None, None, 0.1)],
    "rms_norm": [(random_arrays(4)(2, 3), (3,), None, 0.1)],
    "max_pool2d": [
        (-np.ones((1, 4, 4)), 3, 1, 1),
        (-np.ones((1, 4, 4)), 3, 1, 1, 1, False, True),
        (np.array([[[np.nan, -1.0, -2.0]]]), (1, 2)),
    ],
    "avg_pool2d": [(np.ones((1, 4, 4)), 3, 1, 1)],
    "embedding": [(np.array([1, 1, 0]), random_arrays(5)(3, 2), 0)],
    "apply_rotary": [
        (random_arrays(6)(3, 4), *np.full((2, 3, 2), 0.5)),
        (random_arrays(6)(3, 4), *np.full((2, 3, 2), 0.5), True),
    ],
    "scaled_dot_product_attention": [
        tuple(random_arrays(7)(3, 2, 4, 5)),
        (*random_arrays(7)(2, 3, 4), random_arrays(7)(3, 2)),
        (*random_arrays(7)(2, 3, 4), random_arrays(7)(3, 2), None, 0.0, True),
    ],
    "gated_linear": [tuple(random_arrays(7)(3, 4, 4))],
    "fold_batch_norm": [
        (random_arrays(7)(2, 3, 1, 1), bias, *random_arrays(8)(4, 2) ** 2, 0.1)
        for bias in (None, np.array([1.0, 2.0]))
    ],
    "adam_step": [ADAM],
    "adamw_step": [ADAM],
    "cross_entropy": [(random_arrays(8)(3, 4), np.array([1, -100, 0]))],
}


def calls_of(name, function, backward):
    """What a witness sees of a function's calls, and of its derivative's."""
    original = getattr(home_of(name), name)
    calls = [(c.args, c.options) for c in CALLS.get(name, [])]
    calls += [(args, {}) for args in TELLING.get(name, [])]
    witness = Witness(original if backward else function)
    for args, options in calls:
        try:
            with np.errstate(all="ignore"):
                out = witness.watched()(*args, **options)
        except Exception:
            continue
        if backward:
            d_out = random_arrays(9)(*out.shape)
            gradients = functools.partial(function, args=args, options=options)
            witness.watched_vjp(lambda d_out, g=gradients: g(d_out))(d_out)
    return [call for call in witness.calls if (call.d_out is not None) == backward]


def made(name, row):
    """The slip as a reader's function, and the calls that it answered."""
    original = getattr(home_of(name), name)
    backward = row.operators[0].endswith("_vjp")
    if backward:

        def function(d_out, args, options):
            return row.variant(original, d_out, *args, **options)

    else:
        function = functools.partial(row.variant, original)
        function = functools.wraps(original)(function)
    return original, calls_of(name, function, backward), backward


@pytest.mark.parametrize("name, row", ROWS)
@law
def test_slips_get_their_sentence(name, row):
    """Who makes the slip is told of it, and of no other."""
    original, calls, backward = made(name, row)
    asked = f"{name}_vjp" if backward else name
    assert proved(asked, original, calls) == [row.sentence]


@pytest.mark.parametrize("name, row", ROWS)
@law
def test_slips_are_not_told_of_a_right_function(name, row):
    """Our own function makes none; nor does one with another mistake."""
    original = getattr(home_of(name), name)
    backward = row.operators[0].endswith("_vjp")

    def right(d_out, args, options):
        return tuple(pulled_back(original, d_out, *args, **options))

    asked = f"{name}_vjp" if backward else name
    calls = calls_of(name, right if backward else original, backward)
    assert proved(asked, original, calls) == []
    if not backward:

        @functools.wraps(original)
        def other(*args, **options):
            out = original(*args, **options)
            return tuple(o + 1 for o in out) if isinstance(out, tuple) else out + 1

        assert proved(asked, original, calls_of(name, other, False)) == []


def views(x, kernel_size, stride, padding, dilation, ceil_mode):
    """The windows of a picture with zeros around it, (..., taps, h', w')."""
    walk = geometry(x.shape[-2:], kernel_size, stride, padding, dilation, ceil_mode)
    taps = math.prod(walk.kernel)
    return windows(x, walk, 0).reshape(*x.shape[:-2], taps, *walk.out)


def plain(x, *walk):
    return views(x, *walk).max(-3)


def without_places(x, *walk):
    return plain(x, *walk[:5])


def without_nan(x, *walk):
    return np.fmax.reduce(views(x, *walk), -3)


def without_ceil_mode(x, kernel_size, stride, padding, dilation, *ignored):
    return plain(x, kernel_size, stride, padding, dilation, False)


def with_places_in_the_window(x, *walk):
    places = views(x, *walk[:5]).argmax(-3)
    return (plain(x, *walk[:5]), places) if walk[5:] else plain(x, *walk)


@pytest.mark.parametrize(
    "function",
    [
        plain,
        without_places,
        without_nan,
        without_ceil_mode,
        with_places_in_the_window,
    ],
)
@law
def test_slips_are_told_beside_another_mistake(function):
    """Who pads with zeros is told so, whatever becomes of places and of NaNs."""
    witness, picture = Witness(function), random_arrays(7)(2, 5, 6)
    with_nan = np.where(picture < picture.max(), picture, np.nan)
    for x in (picture, with_nan, -np.square(picture)):
        for ceil_mode, *places in [(False,), (True,), (False, True), (True, True)]:
            with contextlib.suppress(TypeError):  # of whoever knows no places
                witness.watched()(x, 3, 2, 1, 1, ceil_mode, *places)
    assert proved("max_pool2d", ops.max_pool2d, witness.calls) == [ZERO_WINS]


@law
def test_a_sentence_of_two_rows_is_told_once():
    """A single pixel: a zero wins by its value and in the window's first tap alike."""
    witness = Witness(plain)
    witness.watched()(-np.ones((1, 1, 1)), 3, 1, 1, 1, False)
    assert proved("max_pool2d", ops.max_pool2d, witness.calls) == [ZERO_WINS]


def attention(scores, value, mask):
    return ops.softmax(np.where(mask, scores, -np.inf)) @ value


def scaled_by_values(query, key, value, mask=True):
    return attention(query @ key.mT / math.sqrt(value.shape[-1]), value, mask)


def masked_after(query, key, value, mask=True):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    return mask * ops.softmax(scores) @ value


def swapped(x, gate, up):
    return ops.silu(x @ up.T) * (x @ gate.T)


def bias_unscaled(kernel, conv_bias, mean, variance, weight, bias, eps=1e-5):
    t = weight / np.sqrt(variance + eps)
    out = bias - t * mean
    return kernel * t[
        :, None, None, None
    ], out if conv_bias is None else out + conv_bias


def offset_unscaled(kernel, conv_bias, mean, variance, weight, bias, eps=1e-5):
    t = weight / np.sqrt(variance + eps)
    conv_bias = 0 if conv_bias is None else conv_bias
    return kernel * t[:, None, None, None], bias + (conv_bias - mean)


def fold_outside(kernel, conv_bias, mean, variance, weight, bias, eps=1e-5):
    t = weight / (np.sqrt(variance) + eps)
    conv_bias = 0 if conv_bias is None else conv_bias
    return kernel * t[:, None, None, None], bias + t * (conv_bias - mean)


@pytest.mark.parametrize(
    "name, function",
    [
        ("scaled_dot_product_attention", scaled_by_values),
        ("scaled_dot_product_attention", masked_after),
        ("gated_linear", swapped),
        ("fold_batch_norm", bias_unscaled),
        ("fold_batch_norm", offset_unscaled),
        ("fold_batch_norm", fold_outside),
    ],
)
@law
def test_slips_are_told_of_code_that_a_reader_writes(name, function):
    """Written from the formula, with the one mistake: that sentence, and no other."""
    draw, witness = random_arrays(7), Witness(function)
    if name == "scaled_dot_product_attention":
        query, key, value = draw(2, 5, 4), draw(2, 5, 4), draw(2, 5, 3)
        calls = [(query, key, value), (query, key, value, np.tri(5, dtype=bool))]
    elif name == "gated_linear":
        calls = [tuple(draw(3, 4, 4))]
    else:
        shared = np.square(draw(4, 2))
        calls = [(draw(2, 3, 1, 1), bias, *shared) for bias in (None, draw(2))]
    for call in calls:
        witness.watched()(*call)
    sentences = {row.variant.__name__: row.sentence for row in SLIPS}
    original = getattr(home_of(name), name)
    told = proved(name, original, witness.calls)
    assert told == [sentences[function.__name__]]


def shift(x):
    return x - x.mean(0)


def with_double(x):
    return x - x.mean(0) * np.float64(1)


def in_place(x):
    x -= x.mean(0)
    return x


def without_return(x):
    shift(x)


def in_half(x):
    return x - x.cumsum(0, x.dtype)[-1] / x.dtype.type(len(x))


@pytest.mark.parametrize(
    "function, sentence",
    [
        (shift, None),
        (with_double, general.WIDER),
        (in_place, general.WRITTEN),
        (without_return, general.NOTHING),
        (in_half, general.HALF),
        (lambda x: shift(x)[..., None], general.AXES),
    ],
    ids=["right", "wider", "written", "nothing", "half", "axes"],
)
@law
def test_general_hints_are_proved_by_the_calls(function, sentence):
    """Each is said of the function that earns it, and of no other."""

    def exact(x):
        return shift(x.astype(np.float64)).astype(x.dtype)

    witness = Witness(function)
    for dtype in (np.float64, np.float32, np.float16):
        witness.watched()(np.full((4000, 1), 3.0, dtype))
        witness.watched()(random_arrays(3)(5, 2).astype(dtype))
    told = general.hints("shift", function, exact, list(witness.calls))
    assert told == ([sentence] if sentence else [])


@law
def test_the_textbooks_softmax_is_told_about_rows_without_scores():
    """Its maximum fails where there are no scores, and it is right where there are."""

    def textbook(scores, dim=-1):
        weights = np.exp(scores - scores.max(dim, keepdims=True))
        return weights / weights.sum(dim, keepdims=True)

    witness = Witness(textbook)
    for given in [*TELLING["softmax"], (random_arrays(1)(4, 4),)]:
        witness.watched()(*given)
    calls = list(witness.calls)
    assert general.hints("softmax", textbook, ops.softmax, calls) == []
    with contextlib.suppress(ValueError):
        witness.watched()(np.zeros((3, 0)))
    calls = list(witness.calls)
    assert general.hints("softmax", textbook, ops.softmax, calls) == [general.EMPTY]


@law
def test_a_slip_that_is_never_wrong_explains_nothing():
    """Where the slip and the truth agree on all calls, there is nothing to tell."""
    witness = Witness(np.negative)
    witness.watched()(np.ones(3))
    assert not explains(np.negative, np.negative, witness.calls)
