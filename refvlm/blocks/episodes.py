r"""Episodes: a batch of contexts, cut into sequences that are remembered apart.

    (B, C) -> (E, B/E, C)      context b is step b mod B/E of episode b div B/E

What came one after the other stays one after the other: an episode is a run of
contexts. The source's arrow, "Reshape to Episodes", does not say so, and its ancestor
stores the steps on the first axis; `contexts.reshape(steps, episodes, C)` would then
deal the contexts out like cards.
"""

from __future__ import annotations

from ..arguments import check_whole
from ..shapes import ShapeError, shapes


@shapes(contexts="b c", returns="e t c")
def to_episodes(contexts, episodes):
    r"""The contexts of E episodes: $Z_{e,t} = z_{e T + t}$ with $T = B/E$ steps each.

    contexts (B, C) become (E, T, C), which is what a layer that reads a batch of
    sequences takes.

    Source: [MicroVLM-V] appendix. Oracle: torch.Tensor.reshape.

    >>> to_episodes(np.arange(4.0).reshape(4, 1), 2)[1].ravel()
    array([2., 3.])
    """
    check_whole("to_episodes", least=1, episodes=episodes)
    count, width = contexts.shape
    if count % episodes:
        raise ShapeError(
            f"to_episodes: {count} contexts do not make {episodes} episodes of equal "
            "length: give a multiple, or pad them and say the `lengths` to what reads "
            "them"
        )
    return contexts.reshape(episodes, count // episodes, width)


@shapes(contexts="e t c", returns="b c")
def from_episodes(contexts):
    """`to_episodes` undone: (E, T, C) -> (E T, C), in the order in which they came.

    Source: [MicroVLM-V] appendix. Oracle: torch.Tensor.flatten.
    """
    episodes, steps, width = contexts.shape
    return contexts.reshape(episodes * steps, width)
