"""Slips that many make, each as the function that makes it.

A slip is named only where it is proved: whatever the reader's function answered is
what the slip answers, and at least once that is not the right answer. A row is the
operators, the sentence, and the slip: it is called as the operator is, after
refvlm's own function. Of a derivative it is called with `d_out` before the rest.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from .witness import same_numbers

SLIPS = []


class Slip(NamedTuple):
    operators: tuple[str, ...]
    sentence: str
    variant: object


def slip(*operators, says):
    def note(variant):
        SLIPS.append(Slip(operators, says, variant))
        return variant

    return note


@slip(
    "softmax",
    "log_softmax",
    says="It works along the last axis, whatever dim is: give dim to every sum and "
    "maximum, as axis.",
)
def last_axis(right, x, dim=-1):
    return right(x, -1)


@slip("softmax", says="It sums over the whole array: sum along dim alone.")
def whole_array(right, scores, dim=-1):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


@slip(
    "softmax",
    "log_softmax",
    says="A sum or a maximum lost its axis: with keepdims=True it keeps one of length "
    "1, and stands beside the row that it belongs to.",
)
def without_keepdims(right, scores, dim=-1):
    shifted = scores - scores.max(dim, keepdims=True)
    weights = np.exp(shifted)
    if right.__name__ == "log_softmax":
        return shifted - np.log(weights.sum(dim))
    return weights / weights.sum(dim)


@slip(
    "softmax",
    says="e^1000 is infinite: subtract the largest score of each row before exp.",
)
def unshifted(right, scores, dim=-1):
    weights = np.exp(scores)
    return weights / weights.sum(dim, keepdims=True)


@slip(
    "log_softmax",
    says="The logarithm of a probability that has become 0 is -inf: subtract "
    "logsumexp from the scores instead.",
)
def log_of_softmax(right, scores, dim=-1):
    weights = np.exp(scores - scores.max(dim, keepdims=True))
    return np.log(weights / weights.sum(dim, keepdims=True))


def _normalized(x, axes, weight, bias, eps, ddof=0, outside=False):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True, ddof=ddof)
    root = np.sqrt(variance) + eps if outside else np.sqrt(variance + eps)
    out = (x - mean) / root
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def _last(normalized_shape):
    return tuple(range(-len(normalized_shape), 0))


@slip(
    "layer_norm",
    says="eps stands outside of the root: sqrt(var + eps), not sqrt(var) + eps.",
)
def layer_norm_outside(right, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    return _normalized(x, _last(normalized_shape), weight, bias, eps, outside=True)


@slip(
    "layer_norm",
    says="It divides the variance by n - 1 (ddof=1): a norm divides by n.",
)
def layer_norm_ddof(right, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    return _normalized(x, _last(normalized_shape), weight, bias, eps, ddof=1)


@slip(
    "layer_norm",
    says="It normalises the last axis only: as many of the last axes as "
    "normalized_shape has are normalised together.",
)
def layer_norm_last_axis(right, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    return _normalized(x, -1, weight, bias, eps)


@slip("rms_norm", says="It takes the mean away: rms_norm only divides by the root.")
def rms_norm_centred(right, x, normalized_shape, weight=None, eps=None):
    mean = x.mean(_last(normalized_shape), keepdims=True)
    return right(x - mean, normalized_shape, weight, eps)


@slip(
    "rms_norm",
    says="eps stands outside of the root: it is added to the mean square.",
)
def rms_norm_outside(right, x, normalized_shape, weight=None, eps=None):
    eps = np.finfo(x.dtype).eps if eps is None else eps
    square = np.square(x).mean(_last(normalized_shape), keepdims=True)
    out = x / (np.sqrt(square) + eps)
    return out if weight is None else out * weight


@slip(
    "conv2d",
    says="It flips the kernel. That is convolution in mathematics; networks lay the "
    "kernel on as it is stored.",
)
def flipped(right, x, weight, *args, **options):
    return right(x, np.flip(weight, (-2, -1)), *args, **options)


@slip(
    "max_pool2d",
    says="It pads with zeros, and a zero wins over negative numbers: pad with -inf.",
)
def padded_with_zeros(
    right, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, **rest
):
    rows, columns = (padding, padding) if np.ndim(padding) == 0 else padding
    widths = [(0, 0)] * (x.ndim - 2) + [(rows, rows), (columns, columns)]
    padded = np.pad(x, widths)
    return right(padded, kernel_size, stride, 0, dilation, ceil_mode, **rest)


@slip(
    "avg_pool2d",
    says="It divides by the pixels under the window alone: unless count_include_pad "
    "is False, padding counts.",
)
def padding_not_counted(right, x, *args, **options):
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
    options |= dict(zip(names, args))
    return right(x, **options | {"count_include_pad": False})


@slip(
    "embedding_vjp",
    says="Of a row that is looked up twice only one use is kept: `rows[ids] += d_out` "
    "assigns. np.add.at(rows, ids, d_out) adds.",
)
def assigned(right, d_out, input, weight, padding_idx=None):
    rows = np.zeros_like(weight)
    rows[input] = d_out
    if padding_idx is not None:
        rows[padding_idx] = 0
    return None, rows


@slip(
    "embedding_vjp",
    says="The row of padding_idx learns: its gradient is zero.",
)
def padding_learns(right, d_out, input, weight, padding_idx=None):
    rows = np.zeros_like(weight)
    np.add.at(rows, input, d_out)
    return None, rows


@slip("apply_rotary", says="It turns the wrong way: the sines' signs are swapped.")
def turned_back(right, x, cos, sin, interleaved=False):
    return right(x, cos, -sin, interleaved)


@slip(
    "apply_rotary",
    says="It pairs neighbours, 2i with 2i + 1: unless interleaved, i turns with "
    "i + d/2.",
)
def neighbours(right, x, cos, sin, interleaved=False):
    return right(x, cos, sin, interleaved=True)


@slip("apply_rotary", says="It pairs halves also where interleaved is True.")
def halves(right, x, cos, sin, interleaved=False):
    return right(x, cos, sin, interleaved=False)


@slip("gelu", says='It is always the tanh form; approximate="none" is exact.')
def always_tanh(right, x, approximate="none"):
    return right(x, approximate="tanh")


@slip("gelu", says='It ignores approximate="tanh", the older form.')
def always_exact(right, x, approximate="none"):
    return right(x)


@slip(
    "linear",
    says="It multiplies by weight, which is (out, in): x @ weight.T.",
)
def not_transposed(right, x, weight, bias=None):
    out = x @ weight
    return out if bias is None else out + bias


@slip(
    "scaled_dot_product_attention",
    says="The scores are not scaled: divide them by the square root of the queries' "
    "last axis.",
)
def unscaled(right, query, *args, scale=None, **options):
    return right(query, *args, scale=1.0 if scale is None else scale, **options)


@slip(
    "scaled_dot_product_attention",
    says="The scores are divided by d, not by its square root.",
)
def scaled_by_d(right, query, *args, scale=None, **options):
    scale = 1 / query.shape[-1] if scale is None else scale
    return right(query, *args, scale=scale, **options)


@slip("cross_entropy", says='It ignores reduction: "sum" and "none" are no mean.')
def always_mean(right, *args, reduction="mean", **options):
    return right(*args, **options)


@slip(
    "cross_entropy",
    says="Rows that are ignored are counted by the mean: divide by those that are not.",
)
def ignored_are_counted(right, input, target, *args, reduction="mean", **options):
    if reduction != "mean" or args or options.get("weight") is not None:
        return right(input, target, *args, reduction=reduction, **options)
    return right(input, target, reduction="sum", **options) / math.prod(target.shape)


def proved(name, original, calls):
    """The sentences of the slips of `name` that explain these calls."""
    return [
        row.sentence
        for row in SLIPS
        if name in row.operators
        and explains(functools.partial(row.variant, original), original, calls)
    ]


def explains(variant, original, calls):
    """Whether the variant answers all the calls as the reader's function did, and one
    of them wrongly."""
    wrong = 0
    for call in calls:
        if not _usable(call):
            continue
        answer, error = _answer(variant, call)
        expected, refused = call.again(original)
        if refused is not None or (call.error is not None and error is None):
            continue  # nothing to learn from it
        if error is not None:
            if type(error) is not type(call.error):
                return False
            wrong += 1
            continue
        if not _agree(call.result, answer):
            return False
        wrong += not _agree(answer, expected)
    return wrong > 0


def _usable(call):
    """Half precision rounds too much to tell one answer from another."""
    arrays = [v for v in (*call.args, *call.options.values()) if hasattr(v, "dtype")]
    return not any(array.dtype == np.float16 for array in arrays)


def _answer(variant, call):
    if call.d_out is None:
        return call.again(variant)
    try:
        return variant(call.d_out, *call.args, **call.options), None
    except Exception as error:
        return None, error


def _agree(came, expected):
    """The same numbers in the same places: dtypes are another matter."""
    if isinstance(expected, tuple):
        return isinstance(came, tuple) and all(
            a is None or b is None or _agree(a, b) for a, b in zip(came, expected)
        )
    if came is None or np.shape(came) != np.shape(expected):
        return False
    single = np.float32 in (getattr(a, "dtype", None) for a in (came, expected))
    return same_numbers(came, expected, 1e-4 if single else 1e-8)
