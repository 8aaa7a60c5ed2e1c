r"""What a BLIP-2 costs: BLIP's tower, the queries that ask what it saw, the decoder.

Of the Q-Former, the two matrices that turn the picture into keys and values are what
grows with the picture; what the decoder reads does not. Oracle:
torch.utils.flop_counter.
"""

from __future__ import annotations

import math

from ..models import blip2, qformer
from ..models.decoders import DECODERS
from .blip_rows import tower_rows
from .decoder_rows import decoder_rows
from .rows import Row


def blip2_rows(config, height: int, width: int, prompt_tokens: int) -> list[Row]:
    """The rows of a BLIP-2 for one picture and a prompt, from tower to logits."""
    _, count = blip2.image_grid(config, height, width)
    asking, hidden = config.qformer, config.text.hidden_size
    layers, features = asking.num_hidden_layers, asking.hidden_size
    held = sum(map(math.prod, qformer.expected_shapes(asking).values()))
    projection = features * hidden
    decoder = DECODERS[config.decoder]
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        *tower_rows(config.vision),
        Row(
            f"qformer.0-{layers - 1}, {sum(map(asking.looks, range(layers)))} look",
            (1, count, features),
            held,
            qformer_flops(asking, config.vision.tokens),
        ),
        Row(
            "language_projection",
            (1, count, hidden),
            projection + hidden,
            2 * count * projection,
        ),
        *decoder_rows(config.text, count + prompt_tokens, shapes=decoder.shapes),
    ]


def qformer_flops(config: qformer.QFormerConfig, seen: int) -> int:
    """FLOPs of a Q-Former whose queries look at `seen` tokens of a picture.

    >>> round(qformer_flops(qformer.QFormerConfig(), 257) / 1e9, 1)
    12.7
    """
    queries, width = config.num_query_tokens, config.hidden_size
    reads = 8 * queries * width**2 + 4 * queries**2 * width
    thinks = 4 * queries * width * config.intermediate_size
    looks = 4 * queries * width**2 + 4 * queries * seen * width
    looks += 4 * seen * config.encoder_hidden_size * width
    looking = sum(map(config.looks, range(config.num_hidden_layers)))
    return config.num_hidden_layers * (reads + thinks) + looking * looks
