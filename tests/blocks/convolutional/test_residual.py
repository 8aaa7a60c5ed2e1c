"""The spec of refvlm/blocks/convolutional/residual.py."""

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.blocks.convolutional.residual import (
    basic_block_shapes,
    bottleneck_block_shapes,
    fold_normed_conv2d,
    normed_conv2d,
    normed_conv2d_shapes,
    residual_block,
)
from refvlm.blocks.training_mode import Training, is_statistic
from refvlm.checkpoint import Weights

from ...backbones import filled
from ...oracles import import_torchvision
from ...spec import assert_close, derivative, example, law, oracle, random_arrays
from ...timm_oracles import assert_seen_alike, cotangent, see_through
from ...weights import random_weights

CASES = {
    "basic": (basic_block_shapes, 6, 6, (1, 1)),
    "basic, halved": (basic_block_shapes, 5, 8, (2, 1)),
    "bottleneck": (bottleneck_block_shapes, 8, 8, (1, 1, 1)),
    "bottleneck, wider": (bottleneck_block_shapes, 5, 8, (1, 1, 1)),
    "bottleneck, halved inside": (bottleneck_block_shapes, 6, 12, (1, 2, 1)),
    "bottleneck, halved first": (bottleneck_block_shapes, 6, 12, (2, 1, 1)),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    """(strides, tensors, x, how transformers builds it)."""
    shapes, c_in, c_out, strides = request.param
    tensors = random_weights(shapes(c_in, c_out, max(strides)), seed=2)
    built = c_in, c_out, strides
    return strides, tensors, random_arrays(1)(2, c_in, 7, 10), built


def peer(torch, tensors, c_in, c_out, strides):
    """transformers' block in float64."""
    import_torchvision()
    from transformers.models.resnet import modeling_resnet as peers

    if len(strides) == 2:
        block = peers.ResNetBasicLayer(c_in, c_out, strides[0])
    else:
        block = peers.ResNetBottleNeckLayer(
            c_in, c_out, max(strides), downsample_in_bottleneck=strides[0] == 2
        )
    return filled(torch, block, tensors)


@example
def test_residual_block_adds_to_what_is_there():
    """Filters of zero change nothing: a block whose branch says nothing is a ReLU."""
    tensors = random_weights(basic_block_shapes(3, 3))
    quiet = {
        n: a * 0 if n.endswith(("weight", "bias")) else a for n, a in tensors.items()
    }
    x = random_arrays(4)(1, 3, 5, 5)
    seen = residual_block(x, Weights(quiet), (1, 1))
    np.testing.assert_array_equal(seen, np.maximum(x, 0))


@law
def test_fold_normed_conv2d_says_the_same(case):
    """One filter with a bias for a filter, a shift and a scale."""
    weights = Weights(random_weights(normed_conv2d_shapes(4, 6, 3)))
    weight, bias = fold_normed_conv2d(weights)
    folded = Weights({"convolution.weight": weight, "convolution.bias": bias})
    x = random_arrays(5)(2, 4, 6, 5)
    assert_close(normed_conv2d(x, folded, 2), normed_conv2d(x, weights, 2))


@law
def test_residual_block_keeps_its_size_only_with_steps_of_one(case):
    """Half the edge, rounded up, or all of it."""
    strides, tensors, x, (_, c_out, _) = case
    out = residual_block(x, Weights(tensors), strides)
    step = max(strides)
    assert out.shape == (2, c_out, -(-7 // step), -(-10 // step))
    assert (out >= 0).all() and out.std() > 0.1


@oracle
def test_residual_block_equals_transformers(compare, case):
    """Both layers of ResNet, with shortcuts and without, at rest and learning."""
    strides, tensors, x, built = case

    def ask(torch):
        block = peer(torch, tensors, *built)
        rest = block(torch.from_numpy(x.copy())).detach().numpy().copy()
        learning = block.train()(torch.from_numpy(x.copy())).detach().numpy().copy()
        return {"rest": rest, "learning": learning}

    answers = compare.answers(ask, (tensors, x, strides))
    assert answers["rest"].std() > 0.1
    weights = Weights(tensors)
    assert_close(residual_block(x, weights, strides), answers["rest"])
    training = Training()
    learning = residual_block(x, weights, strides, training)
    assert_close(learning, answers["learning"], 1e-11)
    single = Weights({n: a.astype(np.float32) for n, a in tensors.items()})
    out = residual_block(x.astype(np.float32), single, strides)
    assert_close(out, answers["rest"].astype(np.float32))


@derivative
def test_residual_block_derivative_equals_transformers(compare, case):
    """Of x and of every filter, scale and shift."""
    strides, tensors, x, built = case
    names = [name for name in tensors if not is_statistic(name)]

    def ask(torch):
        block = peer(torch, tensors, *built)
        pixels = torch.from_numpy(x.copy()).requires_grad_()
        out = block(pixels)
        out.backward(torch.from_numpy(cotangent(tuple(out.shape))))
        found = {name: p.grad.numpy() for name, p in block.named_parameters()}
        return {"gradients": see_through(found | {"x": pixels.grad.numpy()})}

    answers = compare.answers(ask, (tensors, x, strides))
    leaves = {name: Variable(tensors[name]) for name in names} | {"x": Variable(x)}
    out = residual_block(leaves["x"], Weights(tensors | leaves), strides)
    found = backward(out, cotangent(out.shape))
    gradients = {name: found[leaf] for name, leaf in leaves.items()}
    assert_seen_alike(see_through(gradients), answers["gradients"])
