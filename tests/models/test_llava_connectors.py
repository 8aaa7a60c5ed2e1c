"""The spec of refvlm/models/llava_connectors.py."""

from dataclasses import replace

import numpy as np
import pytest

from refvlm.analysis.llava_rows import llava_rows
from refvlm.checkpoint import Weights
from refvlm.models import llava
from refvlm.models.fields import ConfigError
from refvlm.models.llava_connectors import CONNECTORS, Connector, connector_of

from .. import llavas
from ..spec import assert_close, contract, example, law
from ..weights import random_weights

CASES = {
    "mlp": {},
    "linear": {"model_type": "llava_linear"},
    "queries": {"model_type": "llava_queries", "query_tokens": 7, "query_heads": 3},
}


@example
def test_connectors_of_llava_cost_their_matrices():
    """Two products and a sum of each, for 4 patches of 12 features and a width of 24:
    one matrix of 12 x 24, and another of 24 x 24."""
    mlp, linear = (
        llavas.built(llavas.changed(**CASES[n]))[0] for n in ("mlp", "linear")
    )
    assert connector_of(linear).flops(linear) == 2 * 4 * 12 * 24
    assert connector_of(mlp).flops(mlp) == 2 * 4 * (12 * 24 + 24 * 24)


@law
@pytest.mark.parametrize("name", CONNECTORS)
def test_connectors_make_the_tokens_that_they_promise(name):
    """As many as the row says, with no tensor beyond those that it names."""
    config, _ = llavas.built(llavas.changed(**CASES[name]))
    row = connector_of(config)
    tensors = Weights(random_weights(row.shapes(config), 3))
    seen = np.random.RandomState(4).standard_normal((2, 4, config.width))
    tokens = row.forward(seen, tensors, config)
    rows, columns = row.tokens(config)
    assert tokens.shape == (2, rows * columns, config.text.hidden_size)
    assert row is CONNECTORS[name]


@law
def test_connectors_take_a_fourth_by_its_row(monkeypatch):
    """The model, its tokens and its costs ask the table, and nothing else: one token of
    all patches is a row of it."""
    mean = Connector(
        "llava_mean",
        shapes=lambda config: {"weight": (config.text.hidden_size, config.width)},
        forward=lambda x, weights, config: (
            x.mean(1, keepdims=True) @ weights["weight"].mT
        ),
        flops=lambda config: 2 * config.width * config.text.hidden_size,
        tokens=lambda config: (1, 1),
    )
    monkeypatch.setitem(CONNECTORS, "mean", mean)
    config = replace(llavas.built()[0], connector="mean")
    tensors = Weights(random_weights(llava.expected_shapes(config, False), 5))
    tokens = llava.encode_image(llavas.pictures(2), tensors, config)
    seen = llava.features(llavas.pictures(2), tensors, config)
    matrix = tensors[f"{llava.PROJECTOR}.weight"]
    assert_close(tokens, seen.mean(1, keepdims=True) @ matrix.T)
    assert llava.image_grid(config, llavas.SIZE, llavas.SIZE) == (1, 1)
    named = {row.stage: row for row in llava_rows(config, 11, 11, 5)}
    assert named["mean connector"].flops == 2 * 12 * 24
    assert named["mean connector"].parameters == 12 * 24


@contract
def test_connectors_refuse_one_that_is_not_there():
    """By name, wherever it is asked for, instead of counting as another."""
    config = replace(llavas.built()[0], connector="mpl")
    for ask in (llava.connector_shapes, lambda config: llava_rows(config, 11, 11, 5)):
        with pytest.raises(ConfigError, match="'mpl', but must be one of 'mlp', 'lin"):
            ask(config)
