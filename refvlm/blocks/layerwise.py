r"""One layer at a time: the weights of a layer are loaded, used once, and let go.

    all at once       weights of n layers + activations
    layer by layer    weights of the largest layer + activations

So a model runs that does not fit. The price is reading: every pass fetches every layer
from the disk again, and a decoder makes a pass for each word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from .. import checkpoint
from ..checkpoint import Weights


def layerwise_forward(
    function: Callable, x, names: Iterable[str], load: Callable[[str], Weights]
):
    r"""$x \leftarrow f(x, \theta_i)$ with $\theta_i$ = `load(name)`, held while f runs.

    Source: [DeepDive] layer-wise processing. Oracle: the loop over weights that are
    all in memory, to the bit.

    >>> stored = {"layers.0": 2.0, "layers.1": 5.0}
    >>> layerwise_forward(lambda x, weight: x * weight, 3.0, stored, stored.get)
    30.0
    """
    for name in names:
        # The weights get no name here: one would keep them while the next are loaded.
        x = function(x, load(name))
    return x


def loader_of(path: str | Path, **options) -> Callable[[str], Weights]:
    """`load(name)` for a checkpoint: its tensors under `name.`, read when looked up.

    The checkpoint is opened anew for each layer, since what was read of it stays in
    memory for as long as its weights do. The options are those of `checkpoint.load`.
    """
    return lambda name: checkpoint.load(path, **options).scope(name)
