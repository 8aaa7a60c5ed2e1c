r"""Adapters: a little to learn, beside a lot that stays.

    LoRA            y = W x + (alpha / r) B A x        B = 0 at the start
    bottleneck      y = x + W_up act(W_down x)         W_up = 0 at the start

Both leave a trained network as it was until they have learnt something. A LoRA is a
matrix and can be added to the one beside it; a bottleneck bends, and cannot.

Hu et al., LoRA; Houlsby et al., Parameter-Efficient Transfer Learning for NLP.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ops
from ..shapes import shapes


@shapes(
    x="... n_in",
    weight="n_out n_in",
    bias="n_out or None",
    a="r n_in",
    b="n_out r",
    returns="... n_out",
)
def lora_linear(x, weight, bias, a, b, alpha):
    r"""A linear map and a thin one beside it:
    $y = W x + c + \frac{\alpha}{r}\, B (A x)$.

    x (..., n_in), weight W (n_out, n_in), bias c (n_out) or None, a (r, n_in),
    b (n_out, r). Where W is frozen, the way back never meets a matrix of its size.

    Source: [Foundations] mitigation strategies; Hu et al., LoRA. Oracle: the same
    composition in torch.

    >>> x, weight = np.array([[1.0, 2.0]]), np.eye(2)
    >>> a, b = np.array([[1.0, 1.0]]), np.array([[0.0], [10.0]])
    >>> lora_linear(x, weight, None, a, b, alpha=0.5)
    array([[ 1., 17.]])
    """
    thin = ops.linear(ops.linear(x, a), b)
    return ops.linear(x, weight, bias) + thin * _scale(a, alpha)


@shapes(a="r n_in", b="n_out r", returns="n_out n_in")
def lora_update(a, b, alpha):
    r"""What a LoRA adds to the weight: $\Delta W = \frac{\alpha}{r} B A$, of rank r.

    Source: [Foundations] mitigation strategies. Oracle: the same product in torch.
    """
    return ops.matmul(b, a) * _scale(a, alpha)


@shapes(weight="n_out n_in", a="r n_in", b="n_out r", returns="n_out n_in")
def merge_lora(weight, a, b, alpha):
    r"""One matrix that does what the two did: $W + \frac{\alpha}{r} B A$. Afterwards
    the adapter costs nothing.

    Source: [Foundations] mitigation strategies. Oracle: the same sum in torch.
    """
    return weight + lora_update(a, b, alpha)


@shapes(weight="n_out n_in", a="r n_in", b="n_out r", returns="n_out n_in")
def unmerge_lora(weight, a, b, alpha):
    r"""The weight before `merge_lora`, up to rounding: $W - \frac{\alpha}{r} B A$.

    Source: [Foundations] mitigation strategies. Oracle: the same difference in torch.
    """
    return weight - lora_update(a, b, alpha)


def _scale(a, alpha):
    if a.shape[0] == 0:
        raise ValueError("a LoRA has a rank of at least 1, but a has no rows")
    return float(alpha) / a.shape[0]


def bottleneck_adapter(x, weights, activation: Callable = ops.gelu):
    r"""Through a narrow place and back: $y = x + W_\uparrow\,
    \phi(W_\downarrow x + c_\downarrow) + c_\uparrow$.

    x (..., n); `weights` hold `down.weight` (m, n), `down.bias` (m), `up.weight`
    (n, m) and `up.bias` (n), and either bias may be missing. With `up` all zero it
    is the identity, whatever `down` is.

    Source: [Foundations] mitigation strategies; Houlsby et al., Parameter-Efficient
    Transfer Learning for NLP. Oracle: torch.nn.Sequential with a skip connection.
    """
    narrow = activation(ops.linear(x, weights["down.weight"], weights.get("down.bias")))
    return x + ops.linear(narrow, weights["up.weight"], weights.get("up.bias"))


def bottleneck_adapter_shapes(width: int, narrow: int) -> dict[str, tuple[int, ...]]:
    """The tensors of an adapter by name: 2 n m + n + m numbers.

    >>> bottleneck_adapter_shapes(896, 8)["down.weight"]
    (8, 896)
    """
    return {
        "down.weight": (narrow, width),
        "down.bias": (narrow,),
        "up.weight": (width, narrow),
        "up.bias": (width,),
    }
