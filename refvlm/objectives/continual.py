r"""Learning a second task without unlearning the first: elastic weight consolidation.

The Fisher information says how sharply the first task's likelihood falls when a
parameter moves. A spring of that stiffness ties each parameter to where it was: those
that mattered stay, and those that did not are free for the second task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..half import in_single_precision


@in_single_precision
def ewc_penalty(parameters, anchors, fisher, strength: float = 1.0):
    r"""What moving costs:
    $\frac{\lambda}{2} \sum_i \mathcal I_i (\theta_i - \theta^*_i)^2$.

    Mappings of names to arrays; the sum is over the names of `anchors`, where the
    first task ended. Differentiable in the parameters, with the gradient
    $\lambda \mathcal I (\theta - \theta^*)$.

    Source: [DeepDive] future directions; Kirkpatrick et al., Overcoming catastrophic
    forgetting in neural networks. Oracle: torch.autograd.

    >>> at, was = {"w": np.array([2.0, 5.0])}, {"w": np.array([1.0, 1.0])}
    >>> float(ewc_penalty(at, was, {"w": np.array([4.0, 0.0])}))
    2.0
    """
    if missing := [n for n in anchors if n not in parameters or n not in fisher]:
        raise ValueError(f"ewc_penalty: no parameter or no Fisher for {missing[0]!r}")
    terms = [
        (fisher[name] * (parameters[name] - anchor) ** 2).sum()
        for name, anchor in anchors.items()
    ]
    return sum(terms) * (0.5 * strength)


def fisher_diagonal(gradients: Iterable[Mapping[str, np.ndarray]]):
    r"""The diagonal of the empirical Fisher information:
    $\mathcal I = \frac1N \sum_i g_i^2$,
    from the gradients of the log-likelihood, one mapping for each example, added up
    in float64 as they come.

    Oracle: torch.autograd, example by example.

    >>> fisher_diagonal([{"w": np.array([1.0, 0.0])}, {"w": np.array([3.0, 0.0])}])
    {'w': array([5., 0.])}
    """
    sums: dict[str, np.ndarray] = {}
    dtypes, count = {}, 0
    for each in gradients:
        if count and each.keys() != sums.keys():
            odd = sorted(each.keys() ^ sums.keys())[0]
            raise ValueError(f"fisher_diagonal: not every example has {odd!r}")
        count += 1
        for name, gradient in each.items():
            dtypes[name] = gradient.dtype
            square = np.square(gradient, dtype=np.float64)
            sums[name] = sums[name] + square if name in sums else square
    if not count:
        raise ValueError("fisher_diagonal: no gradients, so nothing to average")
    with np.errstate(over="ignore"):
        return {name: (sums[name] / count).astype(dtypes[name]) for name in sums}
