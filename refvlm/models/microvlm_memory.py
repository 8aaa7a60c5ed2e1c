r"""What a MicroVLM writes of pictures, and what it gets when it asks.

    tokens (e, n, m, h)   n pictures of e episodes, one after the other
        --codes-->   z (e, k, C)        --posterior-->   mean (e, K, C), covariance
    questions (e, q, h)
        --cues-->    z (e, q, C)        --cue_addresses, read-->   (e, q, C)
        --W_M-->     a slot for each layer; the scope's gate on its score

A code is written at the address of its own first K numbers, $w = z M_0^+$, where $M_0$
is the prior's mean. Two wirings differ in what a code is. "contexts" is the source's:
an LSTM's output of each picture's mean, asked by a mean. "tokens" writes some tokens of
each picture, $\mathrm{LN}(W_d x + \mathrm{LSTM}(\bar x))$, and asks by
$\mathrm{LN}(W_q h)$, where h is what the decoder made of the question's last word.

`weights` are those of the whole model, here as everywhere.

Source: [MicroVLM-V] 5. Oracle: the same composition in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..blocks.episodes import from_episodes, to_episodes
from ..blocks.episodic_memory.addressing import prior_address, ridge_address
from ..blocks.episodic_memory.gates import gate_bias
from ..blocks.episodic_memory.prior import Memory, prior
from ..blocks.episodic_memory.reading import read
from ..blocks.episodic_memory.scope import scope_logits
from ..blocks.episodic_memory.slots import slot_shapes, slots_of
from ..blocks.episodic_memory.writing import write_all
from ..blocks.kv_cache import Slots
from ..blocks.recurrent import lstm_stack, lstm_stack_shapes
from ..blocks.transformer import layer_norm, linear
from ..checkpoint import Weights
from .microvlm_config import MicroVLMConfig

MEMORY = "episodic_memory"
SCOPE = "scope_detector"


class Wiring(NamedTuple):
    """How codes are made of pictures, and cues of questions, and with what tensors.

    `codes(tokens, order, own, count)`: (e, n, m, h) and what the LSTM says of each
    picture, (e, n, C), to (e, n * count, C). `cues(questions, own)`: (e, q, h) to (e,
    q, C). What asks `ahead` is known before the decoder reads: a mean of
    embeddings. Else it is what the decoder made of the question. `own` are the memory's
    part of the weights.
    """

    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    codes: Callable
    cues: Callable
    ahead: bool


def expected_shapes(config: MicroVLMConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the memory by name, without what stands before."""
    memory, text = config.memory, config.text
    order = lstm_stack_shapes(
        text.hidden_size, memory.order_width, memory.order_layers, memory.both_ways
    )
    slot = slot_shapes(
        memory.width, text.num_hidden_layers, memory.heads, text.head_dim
    )
    own = WIRINGS[memory.wiring].shapes(text.hidden_size, memory.width)
    return {
        **{f"lstm_z.{name}": shape for name, shape in order.items()},
        **{f"W_M.{name}": shape for name, shape in slot.items()},
        **own,
    }


def start(config: MicroVLMConfig, dtype=np.float32) -> Memory:
    """The memory before anything is written."""
    memory = config.memory
    return prior(memory.slots, memory.width, memory.scale, dtype=dtype)


def codes(tokens, weights: Weights, config: MicroVLMConfig):
    """What is written of pictures, in their order: (e, n, m, h) -> (e, k, C)."""
    memory, own = config.memory, weights.scope(MEMORY)
    order = lstm_stack(
        tokens.mean(axis=2), own.scope("lstm_z"), memory.order_layers, memory.both_ways
    )
    return WIRINGS[memory.wiring].codes(tokens, order, own, memory.written)


def cues(questions, weights: Weights, config: MicroVLMConfig):
    """What is asked, in the memory's own numbers: (e, q, h) -> (e, q, C)."""
    return WIRINGS[config.memory.wiring].cues(questions, weights.scope(MEMORY))


def addresses(z, config: MicroVLMConfig):
    r"""Where codes belong: $w = z M_0^+$, (e, k, C) -> (e, k, K)."""
    return prior_address(z, start(config, z.dtype).mean)


def posterior(memory: Memory, z, config: MicroVLMConfig) -> Memory:
    """The memory after codes (e, k, C), each where its own first numbers say."""
    return write_all(memory, addresses(z, config), z, config.memory.noise)


class Stored(NamedTuple):
    """What became of past pictures: their codes (e, k, C), where these were written,
    (e, k, K), and the memory after it."""

    codes: Any
    addresses: Any
    memory: Memory


def store(past, weights: Weights, config: MicroVLMConfig) -> Stored:
    """Past pictures (e, n, m, h), written one after the other into a new memory."""
    z = codes(past, weights, config)
    memory = posterior(start(config, z.dtype), z, config)
    return Stored(z, addresses(z, config), memory)


def cue_addresses(memory: Memory, z, config: MicroVLMConfig):
    r"""Where a cue leads: $z M^\top (M M^\top + \rho I)^{-1}$ of what is written, or
    with no ridge the address that it would be written at: (e, q, C) -> (e, q, K)."""
    if config.memory.ridge is None:
        return addresses(z, config)
    return ridge_address(z, memory.mean, config.memory.ridge)


class Recall(NamedTuple):
    """What a question gets of a memory: where it looked (e, q, K), what it read there
    (e, q, C), and what the scope says of it, (e, q): the logit of the gate."""

    address: Any
    read: Any
    gate: Any


def recall(memory: Memory, questions, weights: Weights, config: MicroVLMConfig):
    """Ask a memory: questions (e, q, h), what the decoder made of each."""
    address = cue_addresses(memory, cues(questions, weights, config), config)
    *shape, hidden = questions.shape
    gate = scope_logits(questions.reshape(-1, hidden), weights.scope(SCOPE))
    return Recall(address, read(memory, address), gate.reshape(shape))


def slots(recalled, weights: Weights, config: MicroVLMConfig, bias=None) -> Slots:
    """What was read, (b, s, C), as s slots of every layer; `bias` (b, s) or (b, t, s)
    is added to their scores."""
    text = config.text
    return slots_of(
        recalled,
        weights.scope(f"{MEMORY}.W_M"),
        text.num_hidden_layers,
        config.memory.heads,
        text.head_dim,
        bias,
    )


def remembered(contexts, weights: Weights, config: MicroVLMConfig, episodes: int):
    """The source's whole way: contexts (b, h) of so many episodes are written, ask what
    was written of theirs, and get a slot each, behind their gates."""
    steps = to_episodes(contexts, episodes)
    memory = store(steps[:, :, None], weights, config).memory
    found = recall(memory, steps, weights, config)
    gate = gate_bias(found.gate.reshape(-1, 1))
    return slots(from_episodes(found.read), weights, config, gate)


def check_asks(function: str, config: MicroVLMConfig, ahead: bool, instead: str):
    """Refuse the wiring that asks at another time than a forward does."""
    wiring = config.memory.wiring
    if WIRINGS[wiring].ahead != ahead:
        when = "before the decoder reads", "by what the decoder has read"
        its, ours = when if not ahead else when[::-1]
        raise ValueError(
            f"{function}: config.memory.wiring is {wiring!r}, which asks {its}, but "
            f"{function} asks {ours}: call {instead}"
        )


def _context_codes(tokens, order, own, count):
    return order


def _context_cues(questions, own):
    return questions


def _no_shapes(hidden, width):
    return {}


def _token_codes(tokens, order, own, count):
    marked = linear(tokens[:, :, :count], own.scope("code_projection"))
    normed = layer_norm(marked + order[:, :, None], own.scope("code_norm"))
    episodes, pictures, some, width = normed.shape
    return normed.reshape(episodes, pictures * some, width)


def _token_cues(questions, own):
    projected = linear(questions, own.scope("query_projection"))
    return layer_norm(projected, own.scope("query_norm"))


def _token_shapes(hidden, width):
    return {
        "code_projection.weight": (width, hidden),
        "code_projection.bias": (width,),
        "code_norm.weight": (width,),
        "code_norm.bias": (width,),
        "query_projection.weight": (width, hidden),
        "query_projection.bias": (width,),
        "query_norm.weight": (width,),
        "query_norm.bias": (width,),
    }


WIRINGS = {
    "contexts": Wiring(_no_shapes, _context_codes, _context_cues, ahead=True),
    "tokens": Wiring(_token_shapes, _token_codes, _token_cues, ahead=False),
}
