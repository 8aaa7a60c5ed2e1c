r"""The budget: how many tokens a resolution makes, and what they cost.

    N = floor(height / stride) floor(width / stride)

A transformer of patches pays for N^2 pairs in each of its layers, and whoever reads its
answer pays again. What makes few tokens of a large picture is a large stride.
Sources: [Kamath] efficiency; [DeepDive] token efficiency.
"""

from __future__ import annotations

from typing import NamedTuple

from ...arguments import check_whole, per_axis


class Tower(NamedTuple):
    """The side that a tower was trained for, its stride, and tokens beside the grid."""

    side: int
    stride: int
    beside: int = 0


TOWERS = {
    "FastViTHD at 1024": Tower(1024, 64),
    "CLIP ViT-B/32 at 224": Tower(224, 32, 1),
    "CLIP ViT-B/16 at 224": Tower(224, 16, 1),
    "CLIP ViT-L/14 at 224": Tower(224, 14, 1),
    "CLIP ViT-L/14 at 336": Tower(336, 14, 1),
    "SigLIP-SO400M/14 at 384": Tower(384, 14),
    "fastvlm-tiny": Tower(128, 32),
    "clip-tiny": Tower(64, 8, 1),
}


def n_tokens(size, stride: int, beside: int = 0, partial: bool = False) -> int:
    r"""How many tokens a picture becomes:
    $N = \lfloor h/s \rfloor \lfloor w/s \rfloor$, and those `beside` the grid, such as
    a class token.

    size is a side, or (height, width). A patch embedding drops what is left at the
    border; a convolutional tower pads it to one more, which `partial` counts.

    Source: [Kamath] efficiency; [DeepDive] token efficiency. Oracle: transformers'
    CLIPVisionModel and SiglipVisionModel.

    >>> n_tokens(1024, 64), n_tokens(1024, 16), n_tokens(1024, 14)
    (256, 4096, 5329)
    """
    check_whole("n_tokens", least=1, stride=stride)
    check_whole("n_tokens", beside=beside)
    stride, beside = int(stride), int(beside)  # NumPy's overflow
    sides = per_axis(size, 2, "n_tokens: size", least=1)
    rows, columns = (
        -(-side // stride) if partial else side // stride for side in sides
    )
    if not rows * columns:
        raise ValueError(
            f"n_tokens: a picture of {sides[0]} x {sides[1]} has no whole patch of "
            f"{stride}: enlarge it"
        )
    return rows * columns + beside


def layer_flops(tokens: int, width: int, hidden: int) -> int:
    r"""Operations of one transformer layer: $2n(4d^2 + 2dh) + 4n^2 d$.

    Four projections and a feed-forward network of `hidden` for each of n tokens of
    width d; for each pair of tokens a score and its share of a mean.

    Source: [Kamath] efficiency. Oracle: torch.utils.flop_counter.

    >>> layer_flops(576, 1024, 4096)
    15854469120
    """
    check_whole("layer_flops", least=1, tokens=tokens, width=width, hidden=hidden)
    tokens, width, hidden = int(tokens), int(width), int(hidden)  # NumPy's overflow
    each = 4 * width * width + 2 * width * hidden
    return 2 * tokens * each + 4 * tokens * tokens * width
