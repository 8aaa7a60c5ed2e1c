r"""Reading: what the memory says at an address, and how sure it is.

    w M      (..., n, K) @ (..., K, C) -> (..., n, C)
    w S w'   (..., n): the variance of each number of that answer

The answer is a mean, so it can be given of what was never written too. The variance
tells the two apart: it starts at $v \lVert w\rVert^2$, and is nearly the noise where a
fact was written.
"""

from __future__ import annotations

from ...variable import value_of
from .demands import of_a_memory, variance_is_the_priors


@of_a_memory(addresses="... n K")
def read(memory, addresses):
    r"""What is expected there: $Z = W M$.

    addresses are (..., n, K), the codes (..., n, C).

    Source: [MicroVLM-V] 1 and 5. Oracle: torch.matmul.
    """
    return addresses @ memory.mean


@of_a_memory(addresses="... n K")
def read_variance(memory, addresses):
    r"""How far the truth may be from what is read: $w \Sigma w\transpose$, the variance
    of each of the C numbers.

    addresses are (..., n, K), the variances (..., n). The noise of a new observation
    would be added to it.

    Source: [MicroVLM-V] 5. Oracle: the diagonal of a product by torch.
    """
    return ((addresses @ memory.covariance) * addresses).sum(-1)


def novelty(memory, addresses, variance=1.0):
    r"""Has this ever been written? $w \Sigma w\transpose / (v\,w w\transpose)$: 1 where
    nothing like it was, nearly 0 where it was.

    addresses are (..., n, K), `variance` $v$ is that of the prior, the result (..., n).

    Source: [MicroVLM-V] 5. Oracle: the diagonal of a product by torch.
    """
    variance_is_the_priors("novelty", variance)
    lengths = (addresses**2).sum(-1)
    if not (value_of(lengths) > 0).all():
        raise ValueError("novelty: an address of zeros asks nothing, so nothing is new")
    return read_variance(memory, addresses) / (lengths * variance)
