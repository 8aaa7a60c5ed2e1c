"""The decoders of one table: what differs between them when a text is all there is.

    family = DECODERS["gpt2"]
    config = family.config.from_json(document)
    embeddings = tables.look_up(ids, weights, family.embedding)
    hidden = family.forward(embeddings, weights.scope(family.scope), config)
    logits = family.logits(hidden, weights)

Their forward functions take the same arguments in the same order. The keys are what
config.json calls `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..blocks import tables
from ..checkpoint import Weights
from . import gpt2, llama, qwen2

HEAD = "lm_head.weight"


def _as_they_are(weights: Weights) -> Weights:
    return weights


class Decoder(NamedTuple):
    """A family: how it is configured, computed and cached, and its tensors' names.

    `shapes(config)` are the decoder's tensors without the `scope` that stands before
    them in a whole checkpoint; `canonical` gives weights their names, whichever of its
    published ones they came in.
    """

    config: Any
    forward: Callable
    shapes: Callable
    new_cache: Callable
    scope: str
    embedding: str
    check_context: Callable = qwen2.check_context
    canonical: Callable[[Weights], Weights] = _as_they_are
    head: str = HEAD
    head_bias: str | None = None

    def expected_shapes(self, config, tied: bool) -> dict[str, tuple[int, ...]]:
        """Every tensor of a checkpoint by its full name; a tied head is the embedding
        and has none of its own."""
        expected = {f"{self.scope}.{n}": s for n, s in self.shapes(config).items()}
        return expected if tied else {**expected, self.head: expected[self.embedding]}

    def logits(self, hidden, weights: Weights):
        r"""Final hidden states to scores over the vocabulary: $W h$, where W is the
        head, and E where the head is tied; and its bias, where it has one."""
        name = self.head if self.head in weights else self.embedding
        scores = tables.scores(hidden, weights, name)
        return scores if self.head_bias is None else scores + weights[self.head_bias]


DECODERS = {
    "gpt2": Decoder(
        config=gpt2.GPT2Config,
        forward=gpt2.gpt2,
        shapes=gpt2.expected_shapes,
        new_cache=gpt2.new_cache,
        scope="transformer",
        embedding="transformer.wte.weight",
        canonical=gpt2.canonical,
    ),
    "llama": Decoder(
        config=llama.LlamaConfig,
        forward=llama.llama,
        shapes=llama.expected_shapes,
        new_cache=llama.new_cache,
        scope="model",
        embedding="model.embed_tokens.weight",
    ),
    "qwen2": Decoder(
        config=qwen2.Qwen2Config,
        forward=qwen2.qwen2,
        shapes=qwen2.expected_shapes,
        new_cache=qwen2.new_cache,
        scope="model",
        embedding="model.embed_tokens.weight",
    ),
}
