"""The spec of refvlm/blocks/connectors.py."""

from functools import partial

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks import connectors
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

WIDTH, HIDDEN, QUERIES, HEADS = 6, 12, 5, 3
SHAPES = {
    "linear": connectors.linear_connector_shapes(WIDTH, HIDDEN),
    "mlp": connectors.mlp_connector_shapes(WIDTH, HIDDEN),
    "queries": connectors.query_connector_shapes(WIDTH, HIDDEN, QUERIES),
}
CONNECTORS = {  # through their names, so that a reader's own can take a place
    "linear": lambda *given: connectors.linear_connector(*given),
    "mlp": lambda *given: connectors.mlp_connector(*given),
    "queries": lambda *given: connectors.query_connector(*given, num_heads=HEADS),
}
TENSORS = {kind: random_weights(shapes, 7) for kind, shapes in SHAPES.items()}
FEATURES = random_arrays(8)(2, 9, WIDTH)

kinds = pytest.mark.parametrize("kind", SHAPES)


@example
def test_connectors_of_a_size_count_their_parameters():
    """LLaVA's 1024 to 4096 by one matrix, LLaVA-1.5's by two: 4.2 and 21 million; and
    FastVLM's 3072 to 896."""

    def count(shapes):
        return sum(int(np.prod(shape)) for shape in shapes.values())

    assert count(connectors.linear_connector_shapes(1024, 4096)) == 4_198_400
    assert count(connectors.mlp_connector_shapes(1024, 4096)) == 20_979_712
    assert count(connectors.mlp_connector_shapes(3072, 896)) == 3_557_120
    without = connectors.mlp_connector_shapes(1024, 4096, bias=False)
    assert count(without) == 20_979_712 - 2 * 4096


@law
@kinds
def test_connectors_look_at_pictures_one_by_one(kind):
    """The other pictures of a batch change nothing."""
    connect, weights = CONNECTORS[kind], Weights(TENSORS[kind])
    both = connect(FEATURES, weights)
    assert both.shape == (2, QUERIES if kind == "queries" else 9, HIDDEN)
    assert_close(connect(FEATURES[1:], weights), both[1:])


@law
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_connectors_of_patches_keep_each_to_itself(kind):
    """Move the patches, and their tokens move with them."""
    connect, weights = CONNECTORS[kind], Weights(TENSORS[kind])
    order = np.random.RandomState(1).permutation(9)
    tokens = connect(FEATURES, weights)
    assert_close(connect(FEATURES[:, order], weights), tokens[:, order])


@law
def test_query_connector_makes_a_bag_of_the_patches():
    """Move the patches, and no token changes: where something is, a patch has to say
    itself, as CLIP's do by their positions."""
    connect, weights = CONNECTORS["queries"], Weights(TENSORS["queries"])
    order = np.random.RandomState(1).permutation(9)
    tokens = connect(FEATURES, weights)
    assert_close(connect(FEATURES[:, order], weights), tokens)
    assert connect(FEATURES[:, :2], weights).shape == tokens.shape


@example
def test_mlp_connector_of_small_numbers():
    """Two matrices and, between them, a bend at zero: by hand."""
    weights = Weights(
        {
            "linear_1.weight": np.array([[1.0, 2.0], [-1.0, 0.0]]),
            "linear_1.bias": np.array([0.0, 1.0]),
            "linear_2.weight": np.array([[1.0, 10.0], [0.0, 1.0]]),
            "linear_2.bias": np.array([0.5, 0.0]),
        }
    )
    features = np.array([[[1.0, 1.0], [-2.0, 0.0]]])
    tokens = connectors.mlp_connector(features, weights, lambda x: np.maximum(x, 0))
    np.testing.assert_array_equal(tokens, [[[3.5, 0.0], [30.5, 3.0]]])


@law
def test_mlp_connector_does_without_biases():
    """Where the weights have none, none is added: as zeros."""
    tensors = {n: a for n, a in TENSORS["mlp"].items() if n.endswith("weight")}
    zeros = {n: a * 0 for n, a in TENSORS["mlp"].items() if n.endswith("bias")}
    without = connectors.mlp_connector(FEATURES, Weights(tensors))
    assert_close(connectors.mlp_connector(FEATURES, Weights(tensors | zeros)), without)


@law
def test_mlp_connector_without_a_bend_is_one_matrix():
    """What an activation is for: without it the MLP is the linear connector."""
    weights = Weights(TENSORS["mlp"])
    first, second = weights.scope("linear_1"), weights.scope("linear_2")
    one = Weights(
        {
            "weight": second["weight"] @ first["weight"],
            "bias": second["weight"] @ first["bias"] + second["bias"],
        }
    )
    flat = connectors.mlp_connector(FEATURES, weights, lambda x: x)
    assert_close(flat, connectors.linear_connector(FEATURES, one))


@law
@kinds
def test_connectors_keep_float32(kind):
    """float32 in, float32 out, close to what float64 says."""
    connect = CONNECTORS[kind]
    single = {name: a.astype(np.float32) for name, a in TENSORS[kind].items()}
    tokens = connect(FEATURES.astype(np.float32), Weights(single))
    exact = connect(FEATURES, Weights(TENSORS[kind]))
    assert_close(tokens, exact.astype(np.float32), 1e-5)


@oracle
@pytest.mark.parametrize("act", ["gelu", "gelu_pytorch_tanh"])
def test_mlp_connector_equals_transformers(compare, act):
    """LLaVA's own projector, with either GELU."""

    def ask(torch):
        import_torchvision()
        from transformers import LlavaConfig
        from transformers.models.llava import modeling_llava

        config = LlavaConfig(projector_hidden_act=act)
        config.vision_config.hidden_size = WIDTH
        config.text_config.hidden_size = HIDDEN
        model = modeling_llava.LlavaMultiModalProjector(config).double()
        given = {n: torch.from_numpy(a.copy()) for n, a in TENSORS["mlp"].items()}
        model.load_state_dict(given)
        return {"tokens": model(torch.from_numpy(FEATURES.copy())).detach().numpy()}

    expected = compare.answers(ask, (TENSORS["mlp"], FEATURES, act))["tokens"]
    approximate = "none" if act == "gelu" else "tanh"
    activation = partial(ops.gelu, approximate=approximate)
    assert expected.std() > 0.3
    ours = connectors.mlp_connector(FEATURES, Weights(TENSORS["mlp"]), activation)
    assert_close(ours, expected)


def composed(torch, tensors, features):
    """The query connector of torch's own modules."""
    functional = torch.nn.functional
    attention = torch.nn.MultiheadAttention(
        HIDDEN, HEADS, kdim=WIDTH, vdim=WIDTH, batch_first=True
    ).double()

    def norm(x, name):
        scale, shift = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], scale, shift)

    def linear(x, name):
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    seen = norm(features, "norm")
    queries = tensors["queries"].expand(len(features), -1, -1)
    own = {
        name.removeprefix("attention."): tensor
        for name, tensor in tensors.items()
        if name.startswith("attention.")
    }
    given = queries, seen, seen
    out, _ = torch.func.functional_call(attention, own, given)
    return out + linear(
        functional.gelu(linear(norm(out, "layernorm"), "mlp.fc1")), "mlp.fc2"
    )


@oracle
def test_query_connector_equals_torch(compare):
    """MultiheadAttention with keys of another width, norms, and a feed-forward; the
    gradients of every tensor and of the features, too."""
    tensors = TENSORS["queries"]

    def ask(torch):
        leaves = {
            name: torch.from_numpy(array.copy()).requires_grad_()
            for name, array in (tensors | {"features": FEATURES}).items()
        }
        given = {name: leaf for name, leaf in leaves.items() if name != "features"}
        tokens = composed(torch, given, leaves["features"])
        (tokens**2).sum().backward()
        gradients = {n: leaf.grad.numpy().copy() for n, leaf in leaves.items()}
        return {"tokens": tokens.detach().numpy(), **gradients}

    answers = compare.answers(ask, (tensors, FEATURES), of_one_scale=True)
    expected = answers.pop("tokens")
    assert expected.std() > 0.3
    assert_close(CONNECTORS["queries"](FEATURES, Weights(tensors)), expected)

    def loss(weights):
        tokens = CONNECTORS["queries"](weights["features"], weights)
        return (tokens**2).sum()

    _, gradients = value_and_grad(loss)(Weights(tensors | {"features": FEATURES}))
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, answer in answers.items():
        assert np.abs(gradients[name] - answer).max() < 1e-12 * largest, name


@derivative
@kinds
def test_connectors_send_a_gradient_to_every_tensor(kind):
    """And it is the slope: a step along it changes the loss as foretold."""
    connect, weights = CONNECTORS[kind], Weights(TENSORS[kind])

    def loss(weights):
        return (connect(FEATURES, weights) ** 2).mean()

    _, gradients = value_and_grad(loss)(weights)
    draw, step = random_arrays(3), 1e-5
    ways = {name: draw(*gradient.shape) for name, gradient in gradients.items()}

    def moved(sign):
        return loss(
            weights.replace({n: weights[n] + sign * step * d for n, d in ways.items()})
        )

    slope = (moved(1) - moved(-1)) / (2 * step)
    foretold = sum((gradients[name] * way).sum() for name, way in ways.items())
    assert abs(slope - foretold) <= 1e-6 * abs(foretold)
    assert gradients.keys() == TENSORS[kind].keys()


@contract
@kinds
def test_connectors_refuse_features_of_another_width(kind):
    """The tower's width is the connector's."""
    with pytest.raises(ShapeError):
        CONNECTORS[kind](FEATURES[..., :4], Weights(TENSORS[kind]))


@contract
def test_query_connector_refuses_heads_that_do_not_split_the_width():
    """12 features do not make 5 heads."""
    with pytest.raises(ShapeError, match="12 features do not split into 5 heads"):
        connectors.query_connector(FEATURES, Weights(TENSORS["queries"]), 5)
