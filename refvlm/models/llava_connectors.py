"""LLaVA's connectors: a table of what differs, between the tower and the decoder.

What a connector is called, brings, computes, hands on and costs is a row of
`CONNECTORS`. transformers has "mlp" only: the other two have a `model_type` of ours,
and it refuses them rather than read a file half.

Sources: [Foundations] LLaVA; [Liu2024].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .. import ops
from ..blocks import connectors
from . import clip
from .fields import ConfigError

ACTIVATIONS: dict[str, Callable] = {
    **clip.ACTIVATIONS,
    "gelu_new": partial(ops.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(ops.gelu, approximate="tanh"),
}


def patch_grid(config) -> tuple[int, int]:
    """Rows and columns of the features that the tower hands on: a row of them where the
    class token stands in front."""
    if config.select == "full":
        return 1, config.vision.patches + 1
    return config.vision.side, config.vision.side


class Connector(NamedTuple):
    """A way from features to tokens, by the numbers of a `LlavaConfig`.

    `shapes(config)` are its tensors; `forward(features, weights, config)` makes tokens
    (n, m, h) of features (n, p, c), `tokens(config)` are the rows and columns of these
    m, and `flops(config)` is what one picture costs. `check(config)` refuses numbers
    that do not fit. `model_type` is what config.json calls a LLaVA that has it.
    """

    model_type: str
    shapes: Callable
    forward: Callable
    flops: Callable
    tokens: Callable = patch_grid
    check: Callable = lambda config: None


def linear_shapes(config):
    return connectors.linear_connector_shapes(*_sides(config), config.projector_bias)


def linear(features, weights, config):
    return connectors.linear_connector(features, weights)


def linear_flops(config):
    width, hidden = _sides(config)
    return 2 * _patches(config) * width * hidden


def mlp_shapes(config):
    return connectors.mlp_connector_shapes(*_sides(config), config.projector_bias)


def mlp(features, weights, config):
    activation = ACTIVATIONS[config.projector_act]
    return connectors.mlp_connector(features, weights, activation)


def mlp_flops(config):
    width, hidden = _sides(config)
    return 2 * _patches(config) * (width + hidden) * hidden


def query_shapes(config):
    return connectors.query_connector_shapes(*_sides(config), config.queries)


def queries(features, weights, config):
    return connectors.query_connector(features, weights, config.query_heads)


def query_flops(config):
    """Mostly of their keys and values, which are made of every patch."""
    patches, (width, hidden), asking = _patches(config), _sides(config), config.queries
    own = 2 * asking * (2 * hidden**2 + 2 * hidden * 4 * hidden)
    return own + 4 * patches * width * hidden + 4 * asking * patches * hidden


def query_tokens(config):
    return 1, config.queries


def check_query_heads(config):
    hidden, heads = config.text.hidden_size, config.query_heads
    if hidden % heads:
        raise ConfigError(
            f"config.json: {hidden} features do not split into query_heads of {heads}"
        )


CONNECTORS = {
    "mlp": Connector("llava", mlp_shapes, mlp, mlp_flops),
    "linear": Connector("llava_linear", linear_shapes, linear, linear_flops),
    "queries": Connector(
        "llava_queries",
        query_shapes,
        queries,
        query_flops,
        query_tokens,
        check_query_heads,
    ),
}


def connector_of(config) -> Connector:
    """The row of the connector that a configuration names."""
    if config.connector not in CONNECTORS:
        raise ConfigError(
            f"llava: connector is {config.connector!r:.60}, but must be one of "
            f"{', '.join(map(repr, CONNECTORS))}"
        )
    return CONNECTORS[config.connector]


def _sides(config) -> tuple[int, int]:
    return config.width, config.text.hidden_size


def _patches(config) -> int:
    return math.prod(patch_grid(config))
