r"""Where the memory of microvlm-tiny begins, once its decoder can tell what it sees.

    W_M     a slot is to each layer what a token is
    W_d     a code is a picture's token, at half its size
    LSTM    and its place, which it tells from the first step

Two halves that are both absent teach each other nothing. While no code says which
picture was the second, no question has a reason to ask the memory for the second, and
while none asks, no code has a reason to say it: an LSTM that begins as any other leaves
both as they are. So it counts from the first step. And what learns to tell pictures
apart by content has no use for their places, and loses them before they are asked for:
so the count is strong, and what makes codes learns slowly (microvlm_tiny.py).

That a slot begins as a token is a choice: W_M can begin with random numbers as well.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...blocks.episodic_memory.slots import slot_weights
from ...models import microvlm
from ...models.microvlm_config import MicroVLMConfig

LOUD, QUIET = 6.0, 0.1  # how much of itself an LSTM hears, and of what it reads
OPEN = 3.0  # of its output gate


def as_tokens(tensors: Mapping[str, np.ndarray], config: MicroVLMConfig):
    """W_M by the layers' own projections to keys and values, behind their norm, and a
    projection to codes that turns nothing: what is read looks like a token."""

    def projection(layer, name):
        scope = f"{microvlm.DECODER}.layers.{layer}"
        norm = tensors[f"{scope}.input_layernorm.weight"]
        own = f"{scope}.self_attn.{name}_proj"
        return tensors[f"{own}.weight"] * norm, tensors[f"{own}.bias"]

    layers = range(config.text.num_hidden_layers)
    keys, values = ([projection(i, name) for i in layers] for name in "kv")
    built = slot_weights(keys, values, config.text.head_dim)
    same = np.eye(config.memory.width, config.text.hidden_size, dtype=np.float32) / 2
    return {
        **{f"{microvlm.MEMORY}.W_M.{name}": array for name, array in built.items()},
        f"{microvlm.MEMORY}.code_projection.weight": same,
    }


def as_a_count(tensors: Mapping[str, np.ndarray]):
    """An LSTM that hears itself more than what it reads, and says what it has: its
    state goes a way of its own, on which each place is far from the others, whatever
    the pictures are."""
    lstm = f"{microvlm.MEMORY}.lstm_z"
    read, own, bias = (f"{lstm}.{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih"))
    opened = tensors[bias].copy()
    opened[-(len(opened) // 4) :] += OPEN  # the last of i, f, g, o
    return {
        read: tensors[read] * np.float32(QUIET),
        own: tensors[own] * np.float32(LOUD),
        bias: opened,
    }
