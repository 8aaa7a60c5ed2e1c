r"""What a shared space is good for: naming a picture, and finding its text, untrained.

    classes --templates--> prompts --text tower--> one direction for each class
    picture --image tower--> a direction; the class that it points to most is its name

No classifier was trained: the classes are whatever one can write down.
Source: [Foundations] CLIP; Radford et al., section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..shapes import shapes

Array = np.ndarray


def zero_shot_classifier(
    templates: Sequence[str],
    classes: Sequence[str],
    encode: Callable[[list[str]], Array],
) -> Array:
    r"""One direction for each class, the mean over its prompts:
    $c = \mathrm{unit}\bigl(\sum_k \mathrm{unit}(t_k)\bigr)$.

    Each template holds `{}`, where the class goes. `encode` takes texts to features
    (n, d); the result is (classes, d), each row of length one.

    Oracle: the same in PyTorch, as in CLIP's notebook on prompts.

    >>> directions = {"a cat": [3.0, 0.0], "cat": [0.0, 5.0]}
    >>> encode = lambda texts: np.array([directions[text] for text in texts])
    >>> zero_shot_classifier(["a {}", "{}"], ["cat"], encode).round(4)
    array([[0.7071, 0.7071]])
    """
    if not templates or not classes:
        raise ValueError("zero_shot_classifier: give a template and a class at least")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(
                f"zero_shot_classifier: the template {template!r:.60} must hold {{}} "
                "once, where the class goes"
            )
    prompts = [t.replace("{}", name) for name in classes for t in templates]
    features = ops.normalize(encode(prompts), dim=-1)
    features = features.reshape(len(classes), len(templates), -1)
    return ops.normalize(features.mean(axis=1), dim=-1)


@shapes(image_features="b d", class_features="c d", returns="b c")
def zero_shot(image_features, class_features, scale: float = 100.0):
    r"""How likely each class is for each picture:
    $\operatorname{softmax}_c(s \cos(v_i, c))$.

    The scale s is $1/\tau$, at most 100 in CLIP; the largest probability does not
    depend on it.

    Oracle: transformers.CLIPModel's logits, softmaxed.

    >>> zero_shot(np.array([[0.0, 2.0]]), np.eye(2), scale=np.log(3)).round(4)
    array([[0.25, 0.75]])
    """
    cosines = ops.cosine_similarity_matrix(image_features, class_features)
    return ops.softmax(cosines * float(scale))


@shapes(similarities="n m", matches="n of integers")
def retrieval_ranks(similarities, matches=None) -> Array:
    """How many candidates come before the right one: 0 is a find, (n,).

    similarities (n, m) of n questions with m candidates; `matches` (n,) says which
    candidate is right, and is the diagonal where it is not given. A candidate as near
    as the right one counts as before it: a model that cannot tell has found nothing.

    >>> retrieval_ranks(np.array([[0.9, 0.1], [0.8, 0.2]]))
    array([0, 1])
    """
    questions, candidates = similarities.shape
    if matches is None:
        if questions > candidates:
            raise ValueError(
                f"retrieval_ranks: {questions} questions have only {candidates} "
                "candidates: say which is right in matches"
            )
        matches = np.arange(questions)
    if questions and not 0 <= matches.min() <= matches.max() < candidates:
        raise ValueError(
            f"retrieval_ranks: matches must be from 0 to {candidates - 1}: "
            f"{matches.min()} to {matches.max()}"
        )
    if not np.isfinite(similarities).all():
        raise ValueError("retrieval_ranks: similarities must be finite")
    right = similarities[np.arange(questions), matches]
    return (similarities >= right[:, None]).sum(axis=1) - 1


def recall_at_k(similarities, k: int = 1, matches=None) -> float:
    """The share of questions whose right candidate is among the first k.

    >>> recall_at_k(np.array([[0.9, 0.1], [0.8, 0.2]]), k=1)
    0.5
    """
    check_whole("recall_at_k", least=1, k=k)
    if not len(similarities):
        raise ValueError("recall_at_k: there is no question to be right about")
    return float((retrieval_ranks(similarities, matches) < k).mean())
