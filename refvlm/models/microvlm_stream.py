r"""What a MicroVLM writes of pictures that come one at a time.

    tokens (n, m, h), state --stream_codes--> codes (n, k, C), the state after them

Who reads one way needs of all that came before only the state of its LSTM: the third
picture is the third, whether the three come together or not. An LSTM of both ways has
no such state. It orders what comes together, and begins anew with what comes later.

Source: [MicroVLM-V] 5. Oracle: `microvlm_memory.codes` of all at once.
"""

from __future__ import annotations

import numpy as np

from ..blocks.recurrent import lstm_stack_step
from ..checkpoint import Weights
from .microvlm_config import MicroVLMConfig
from .microvlm_memory import MEMORY, WIRINGS, codes


def stream_codes(tokens, state, weights: Weights, config: MicroVLMConfig):
    """What is written of each of some pictures, in their order, and the state after.

    tokens (n, m, h) become codes (n, k, C); `state` (layers, 2, 1, C) is that after the
    pictures before, None before the first, and None in a model that reads both ways.
    """
    memory = config.memory
    if memory.both_ways:
        together = codes(tokens[None], weights, config)
        return together.reshape(len(tokens), -1, memory.width), None
    own, wiring = weights.scope(MEMORY), WIRINGS[memory.wiring]
    told = []
    for picture in tokens:
        state = lstm_stack_step(
            picture.mean(0)[None], state, own.scope("lstm_z"), memory.order_layers
        )
        said = state[-1, 0][:, None]
        told.append(wiring.codes(picture[None, None], said, own, memory.written)[0])
    return np.stack(told), state
