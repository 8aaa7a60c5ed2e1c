"""Slips that many make, each as the function that makes it.

A slip is named only where it is proved: whatever the reader's function answered is
what the slip answers, and at least once that is not the right answer. A row is the
operators, the sentence, and the slip: it is called as the operator is, after
refvlm's own function. Of a derivative it is called with `d_out` before the rest. Of a
call that another mistake would answer too, it may say nothing: None, for the whole
answer or for one of several. Slips that many make in two ways are two rows with one
sentence.
"""

import math
from typing import NamedTuple

import numpy as np

from refvlm import ops
from refvlm.ops.attention import repeat_heads

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


ZERO_WINS = "It pads with zeros, and a zero wins over negative numbers: pad with -inf."


@slip("max_pool2d", says=ZERO_WINS)
def padded_with_zeros(
    right,
    x,
    kernel_size,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
):
    """The values. Windows past the edge, a NaN and the places are other matters."""
    if ceil_mode or (x.dtype.kind == "f" and np.isnan(x).any()):
        return None
    stride = kernel_size if stride in (None, ()) else stride
    values = right(_framed(x, padding), kernel_size, stride, 0, dilation)
    return (values, None) if return_indices else values


@slip("max_pool2d", says=ZERO_WINS)
def padded_with_zeros_at_no_pixel(
    right, x, kernel_size, stride=None, padding=0, *args, **options
):
    """Where a zero wins, no pixel does, and argmax names the window's first tap."""
    came = padded_with_zeros(right, x, kernel_size, stride, padding, *args, **options)
    if came is None:
        return None
    values = came[0] if isinstance(came, tuple) else came
    true = right(x, kernel_size, stride, padding, *args, **options)
    true = true[0] if isinstance(true, tuple) else true
    stride = kernel_size if stride in (None, ()) else stride
    first = right(_framed(x, padding), 1, stride)
    first = first[..., : values.shape[-2], : values.shape[-1]]
    values = np.where(values == true, values, first)
    return (values, None) if isinstance(came, tuple) else values


def _framed(x, padding):
    rows, columns = np.broadcast_to(padding, 2)
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(rows, rows), (columns, columns)])


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


@slip(
    "scaled_dot_product_attention",
    says="The scale is of the values' last axis: the scores are sums over that of the "
    "queries, so divide them by its square root.",
)
def scaled_by_values(right, query, key, value, *args, scale=None, **options):
    scale = 1 / math.sqrt(max(value.shape[-1], 1)) if scale is None else scale
    return right(query, key, value, *args, scale=scale, **options)


@slip(
    "scaled_dot_product_attention",
    says="The mask comes after the softmax, whose rows then sum to less than 1: put "
    "-inf into the scores before it.",
)
def masked_after(
    right, query, key, value, attn_mask=None, dropout_p=0.0, *args, **rest
):
    """Of a mask that is added, and of weights that are dropped, it says nothing."""
    names = ("is_causal", "scale", "enable_gqa", "dropout_mask")
    rest = dict(zip(names, args)) | rest
    added = attn_mask is not None and attn_mask.dtype != bool
    if added or dropout_p or rest.get("dropout_mask") is not None:
        return None
    seen = True if attn_mask is None else attn_mask
    if rest.pop("is_causal", False):
        seen = seen & ops.causal_mask(query.shape[-2], key.shape[-2])
    if rest.pop("enable_gqa", False):
        key, value = (repeat_heads(each, query) for each in (key, value))
    weights = right(query, key, np.eye(key.shape[-2], dtype=value.dtype), **rest)
    return np.where(seen, weights, 0) @ value


@slip(
    "gated_linear",
    says="gate and up are swapped: SiLU bends the product with gate, not with up.",
)
def swapped(right, x, gate, up):
    return right(x, up, gate)


UNSCALED_BIAS = (
    "The convolution's bias is not scaled: it goes through the normalisation as every "
    "output does, b' = beta + t (b - mean)."
)


@slip("fold_batch_norm", says=UNSCALED_BIAS)
def bias_unscaled(right, kernel, conv_bias, mean, variance, weight, bias, *eps, **rest):
    kernel, folded = right(kernel, None, mean, variance, weight, bias, *eps, **rest)
    return kernel, folded if conv_bias is None else folded + conv_bias


@slip("fold_batch_norm", says=UNSCALED_BIAS)
def offset_unscaled(
    right, kernel, conv_bias, mean, variance, weight, bias, *eps, **rest
):
    kernel, _ = right(kernel, conv_bias, mean, variance, weight, bias, *eps, **rest)
    return kernel, bias - mean + (0 if conv_bias is None else conv_bias)


@slip(
    "fold_batch_norm",
    says="eps stands outside of the root: sqrt(var + eps), not sqrt(var) + eps.",
)
def fold_outside(
    right, kernel, conv_bias, running_mean, running_var, weight, bias, eps=1e-5
):
    variance = np.square(np.sqrt(running_var) + eps)
    return right(kernel, conv_bias, running_mean, variance, weight, bias, 0.0)


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


@slip(
    "adam_step",
    "adamw_step",
    says="eps stands inside of the root: sqrt(v) + eps, not sqrt(v + eps).",
)
def adam_inside(
    right,
    parameter,
    gradient,
    first,
    second,
    step,
    learning_rate,
    betas=(0.9, 0.999),
    eps=1e-8,
    *args,
    **rest,
):
    before = parameter, gradient, first, second, step, learning_rate, betas
    parameter, first, second = right(*before, eps, *args, **rest)
    mean, square = first / (1 - betas[0] ** step), second / (1 - betas[1] ** step)
    swapped = 1 / (np.sqrt(square) + eps) - 1 / np.sqrt(square + eps)
    return parameter + learning_rate * mean * swapped, first, second
