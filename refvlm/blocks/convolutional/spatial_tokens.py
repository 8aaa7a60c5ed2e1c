r"""From a map to tokens: a decoder, or a projector, reads a line and not a plane."""

from __future__ import annotations

from ... import ops
from ...shapes import shapes


@shapes(features="b c h w", positions="h w c or None", returns="b n c")
def flatten_with_positions(features, positions=None):
    r"""Pixels in reading order, each with its place added:
    $\mathrm{Flatten}(F) + E_{pos}$.

    features F (b, c, h, w), positions $E_{pos}$ (h, w, c); the result is (b, h w, c).
    Flattened without positions, tokens may be shuffled and no attention would notice:
    what a tower does not say about places itself must be added here.

    Source: [Cortes] 3.2; [Kamath] projector. Oracle: torch's flatten and transpose.
    """
    tokens = ops.flatten_maps(features)
    if positions is None:
        return tokens
    return tokens + positions.reshape(-1, positions.shape[-1])
