r"""The classifier of the years before: a picture's features, and a list of names.

    scores = W h + b         one row of W for each name
    p      = softmax(scores)

It is a map from pictures to a set that was fixed before training, $f: X \to Y$. What is
not on the list cannot be said, and gets its share from what is. A model that compares
pictures with texts has no such list (`metrics.zero_shot`).
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..shapes import ShapeError, shapes


@shapes(features="... d", returns="... c")
def class_scores(features, weights):
    r"""A score for each name of the list: $s = W h + b$.

    Trained by `ops.cross_entropy` against the places of the right names. Weights:
    `weight` (c, d) and, where there is one, `bias` (c).

    Source: [Foundations] the unimodal era. Oracle: torch.nn.functional.linear.
    """
    matrix = weights["weight"]
    if matrix.shape[-1] != features.shape[-1]:
        raise ShapeError(
            f"class_scores: features are {features.shape}, but weight reads "
            f"{matrix.shape[-1]} of them: {matrix.shape}"
        )
    return ops.linear(features, matrix, weights.get("bias"))


@shapes(features="... d", returns="... c")
def softmax_classifier(features, weights):
    r"""How likely each name of the list is, if one of them is right:
    $p = \operatorname{softmax}(W h + b)$.

    Source: [Foundations] the unimodal era. Oracle: torch.softmax of a linear map.

    >>> weights = {"weight": np.array([[0.0], [np.log(3)]])}
    >>> softmax_classifier(np.array([1.0]), weights)
    array([0.25, 0.75])
    """
    return ops.softmax(class_scores(features, weights))


def classify(features, weights, names: Sequence[str]) -> list[str]:
    """The likeliest name for each row of features (b, d): always one of `names`."""
    rows = len(weights["weight"])
    if len(names) != rows:
        raise ValueError(
            f"classify: {len(names)} names, but weight has a row for each of {rows}"
        )
    best = class_scores(features, weights).argmax(axis=-1)
    return [names[i] for i in best.ravel()]


def softmax_classifier_shapes(dim: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Its two tensors by name."""
    return {"weight": (classes, dim), "bias": (classes,)}
