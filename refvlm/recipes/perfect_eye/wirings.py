r"""Wirings of a memory: a table of what differs between two ways to remember pictures.

    token of an object --linear--> + <--LSTM over pictures-- mean of a picture's tokens
                                   |
                            z = LayerNorm(.)    a code for each object, or their mean

    memory:  w = z M_0^+ , and Bayes' rule        M, S
             w_q = z_q M^+ (a ridge), or M_0^+    r = w_q M
    cache:   every z is kept                      r = softmax(z_q z' / sqrt(C)) z
    last:    the last z is kept                   r = z_T

A perfect eye sees: an object's token is made of its words, not of pixels. And no
language model speaks: the question is its words, too, and a small network makes the
answer of it and of what was recalled, r.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...blocks.episodic_memory.addressing import (
    prior_address,
    ridge_address,
    sampled_address,
)
from ...blocks.episodic_memory.prior import Memory
from ...blocks.episodic_memory.reading import read
from ...blocks.episodic_memory.writing import write_all
from ...blocks.recurrent import lstm_stack, lstm_stack_shapes
from ...blocks.transformer import linear
from ...objectives.remembering import addressing_kl, memory_kl

OBJECT, QUESTION, ANSWERS = 16, 29, 24  # words: of an object, a question, all answers
INNER = 128  # units between a small network's two maps
RIDGE = 0.01  # of an address that asks the written mean

Shapes = dict[str, tuple[int, ...]]


class MemoryWiring(NamedTuple):
    """A way to remember. The first fields are the memory's: K slots of C numbers, the
    variance of an observation, and how it is addressed. A picture gives 2 `codes` or 1.
    `order` says how the LSTM reads the pictures, and `alone` that its output is the
    code. `finding` weighs the loss that asks addresses for their picture, `doubt` the
    two divergences, of the memory and of the addresses, which are then drawn."""

    slots: int = 64
    width: int = 128
    noise: float = 0.1
    address: str = "posterior"  # or prior, softmax
    keeps: str = "memory"  # or cache, last
    codes: int = 2
    order: str = "one way"  # or both ways, none
    alone: bool = False
    finding: float = 0.3
    doubt: tuple[float, float] | None = None
    longest: int = 6  # pictures of an episode in training


class Recalled(NamedTuple):
    """What came back, r (b, q, C); of a memory the addresses of what was written
    (b, n, K) and of the questions (b, q, K), the memory, and the two divergences where
    they count; of a cache the shares of its codes (b, q, n)."""

    recalled: Any
    written: Any = None
    asked: Any = None
    memory: Memory | None = None
    divergences: tuple[Any, Any] | None = None
    shares: Any = None


def expected_shapes(wiring: MemoryWiring) -> Shapes:
    """The tensors of a wiring: those that all have come first."""
    width = wiring.width
    shapes = {
        **_linear("eye.fc1", OBJECT, INNER),
        **_linear("eye.fc2", INNER, width),
        **_norm("norm", width),
        **_linear("question.fc1", QUESTION, INNER),
        **_linear("answer.fc1", width + INNER, INNER),
        **_linear("answer.fc2", INNER, ANSWERS),
    }
    if not wiring.alone:
        shapes |= _linear("code", width, width)
    if wiring.keeps != "last":  # which is the same whatever is asked
        shapes |= _linear("question.fc2", INNER, width) | _norm("question.norm", width)
    if wiring.order != "none":
        both = wiring.order == "both ways"
        stack = lstm_stack_shapes(width, width // (1 + both), 1, bidirectional=both)
        shapes |= {f"lstm.{name}": shape for name, shape in stack.items()}
    if wiring.address == "softmax":
        shapes["rows"] = wiring.slots, width
    if wiring.doubt:
        shapes["log_variance.bias"] = (wiring.slots,)
    return shapes


def _linear(scope: str, inputs: int, outputs: int) -> Shapes:
    return {f"{scope}.weight": (outputs, inputs), f"{scope}.bias": (outputs,)}


def _norm(scope: str, width: int) -> Shapes:
    return {f"{scope}.weight": (width,), f"{scope}.bias": (width,)}


def codes_of(objects, weights, wiring: MemoryWiring):
    """What is remembered of pictures, (b, n, C): objects are (b, e, 2, 16), and n is e
    times the codes of a picture."""
    tokens = _two_layers(objects, weights.scope("eye"))
    means = tokens.mean(2)
    codes = tokens if wiring.codes == 2 else np.expand_dims(means, 2)
    if not wiring.alone:
        codes = linear(codes, weights.scope("code"))
    if wiring.order != "none":
        both = wiring.order == "both ways"
        context = lstm_stack(means, weights.scope("lstm"), 1, bidirectional=both)
        context = np.broadcast_to(np.expand_dims(context, 2), codes.shape)
        codes = context if wiring.alone else codes + context
    batch, pictures, each, width = codes.shape
    return _normed(codes, weights.scope("norm")).reshape(batch, pictures * each, width)


def question_of(words, weights, wiring: MemoryWiring):
    """(its code z_q (b, q, C), its hidden state (b, q, 128)), of words (b, q, 29); no
    code where there is nothing to choose from."""
    hidden = ops.gelu(linear(words, weights.scope("fc1")))
    if wiring.keeps == "last":
        return None, hidden
    code = linear(hidden, weights.scope("fc2"))
    return _normed(code, weights.scope("norm")), hidden


def answer_of(recalled, hidden, weights):
    """The scores of all answers (b, q, 24), of what was recalled and what was asked."""
    shape = (*hidden.shape[:-1], recalled.shape[-1])
    both = [np.broadcast_to(recalled, shape), hidden]
    return _two_layers(np.concatenate(both, axis=-1), weights)


def recall(codes, asking, weights, wiring: MemoryWiring, rng=None) -> Recalled:
    """Write the codes (b, n, C), and ask by those of the questions (b, q, C). With a
    generator, which is for training, addresses are drawn where they are doubted."""
    if wiring.keeps == "last":
        return Recalled(codes[:, -1:])
    if wiring.keeps == "cache":
        scores = asking @ codes.swapaxes(-1, -2) / math.sqrt(wiring.width)
        shares = ops.softmax(scores)
        return Recalled(shares @ codes, shares=shares)
    before = prior_of(codes.shape[0], wiring, codes.dtype)
    means = written = address_of(codes, before, weights, wiring)
    if wiring.doubt:
        spread = weights["log_variance.bias"]
        written = sampled_address(means, spread, rng)
    memory = write_all(before, written, codes, wiring.noise)
    if wiring.address == "posterior":
        asked = ridge_address(asking, memory.mean, RIDGE)
    else:
        asked = address_of(asking, before, weights, wiring)
    if wiring.doubt:
        asked = sampled_address(asked, spread, rng)
    found = Recalled(read(memory, asked), written, asked, memory)
    if not wiring.doubt or rng is None:
        return found
    of_memory = memory_kl(
        memory.mean, memory.covariance, before.mean, before.covariance
    )
    return found._replace(divergences=(of_memory, addressing_kl(means, spread)))


def prior_of(batch: int, wiring: MemoryWiring, dtype) -> Memory:
    r"""$\sqrt K\, I$ and $I$ for each episode, or 0 where keys come from elsewhere. So
    many slots as numbers are allowed here, to see that nothing is remembered then."""
    slots, width = wiring.slots, wiring.width
    scale = 0.0 if wiring.address == "softmax" else math.sqrt(slots)
    mean = np.eye(slots, width, dtype=dtype) * scale
    covariance = np.eye(slots, dtype=dtype)
    return Memory(
        np.broadcast_to(mean, (batch, *mean.shape)),
        np.broadcast_to(covariance, (batch, *covariance.shape)),
    )


def address_of(codes, before: Memory, weights, wiring: MemoryWiring):
    """An address by the prior's pseudo-inverse, or by a softmax over learnt rows."""
    if wiring.address != "softmax":
        rows = codes.reshape(1, -1, wiring.width)  # of all episodes: the prior is one
        return prior_address(rows, before.mean[:1]).reshape(*codes.shape[:2], -1)
    scores = codes @ weights["rows"].swapaxes(-1, -2)
    shares = ops.softmax(scores)
    return shares / ((shares**2).sum(-1, keepdims=True) + 1e-12) ** 0.5


def _two_layers(x, weights):
    return linear(ops.gelu(linear(x, weights.scope("fc1"))), weights.scope("fc2"))


def _normed(x, weights):
    return ops.layer_norm(x, x.shape[-1:], weights["weight"], weights["bias"])
