"""The spec of refvlm/blocks/convolutional/convnext_block.py."""

from types import SimpleNamespace

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.blocks.convolutional.convnext_block import (
    convnext_block,
    convnext_block_shapes,
    downsample,
    downsample_shapes,
)
from refvlm.checkpoint import Weights

from ...backbones import filled, scattered, single
from ...oracles import import_torchvision
from ...spec import assert_close, derivative, example, law, oracle, random_arrays
from ...timm_oracles import assert_seen_alike, cotangent, see_through
from ...weights import random_weights

X = random_arrays(1)(2, 6, 9, 8)


def tensors_of(scaled):
    return scattered(random_weights(convnext_block_shapes(6, scaled), seed=3))


def peer(torch, tensors):
    """transformers' block in float64."""
    import_torchvision()
    from transformers.models.convnext.modeling_convnext import ConvNextLayer

    scale = float("layer_scale_parameter" in tensors)
    config = SimpleNamespace(hidden_act="gelu", layer_scale_init_value=scale)
    return filled(torch, ConvNextLayer(config, 6), tensors)


@example
def test_convnext_block_with_a_scale_of_zero_changes_nothing():
    """A block that has learnt nothing leaves the map as it is, signs included."""
    tensors = tensors_of(True)
    tensors["layer_scale_parameter"] = np.zeros(6)
    np.testing.assert_array_equal(convnext_block(X, Weights(tensors)), X)


@law
def test_convnext_block_sees_three_pixels_around():
    """A 7 x 7 filter and nothing else: what is 4 away does not matter."""
    weights = Weights(tensors_of(True))
    changed = X.copy()
    changed[:, :, 4, 4] += 5
    moved = np.abs(convnext_block(changed, weights) - convnext_block(X, weights))
    rows, columns = np.nonzero(moved.max(axis=(0, 1)) > 1e-12)
    assert (rows.min(), rows.max()) == (1, 7)
    assert (columns.min(), columns.max()) == (1, 7)


@oracle
@pytest.mark.parametrize("scaled", [True, False])
def test_convnext_block_equals_transformers(compare, scaled):
    """ConvNextLayer's, with its layer scale and without, in both dtypes."""
    tensors = tensors_of(scaled)

    def ask(torch):
        out = peer(torch, tensors)(torch.from_numpy(X.copy()))
        return {"out": out.detach().numpy().copy()}

    expected = compare.answers(ask, (tensors, X))["out"]
    assert np.std(expected - X) > 0.1
    assert_close(convnext_block(X, Weights(tensors)), expected)
    out = convnext_block(X.astype(np.float32), Weights(single(tensors)))
    assert_close(out, expected.astype(np.float32))


@oracle
def test_downsample_equals_transformers(compare):
    """A stage's first two layers; an odd line is lost."""
    tensors = random_weights(downsample_shapes(6, 9), seed=4)

    def ask(torch):
        import_torchvision()
        from transformers.models.convnext.modeling_convnext import ConvNextStage

        config = SimpleNamespace(hidden_act="gelu", layer_scale_init_value=1.0)
        layers = ConvNextStage(config, 6, 9, depth=1).downsampling_layer
        x = torch.from_numpy(X.copy())
        for layer in filled(torch, layers, tensors):
            x = layer(x)
        return {"out": x.detach().numpy().copy()}

    expected = compare.answers(ask, (tensors, X))["out"]
    assert expected.shape == (2, 9, 4, 4) and expected.std() > 0.1
    assert_close(downsample(X, Weights(tensors)), expected)


@derivative
def test_convnext_block_derivative_equals_transformers(compare):
    """Of x, of the filter, of both matrices and of the layer scale."""
    tensors = tensors_of(True)

    def ask(torch):
        block, pixels = peer(torch, tensors), torch.from_numpy(X.copy())
        out = block(pixels.requires_grad_())
        out.backward(torch.from_numpy(cotangent(tuple(out.shape))))
        found = {name: p.grad.numpy() for name, p in block.named_parameters()}
        return {"gradients": see_through(found | {"x": pixels.grad.numpy()})}

    answers = compare.answers(ask, (tensors, X))
    leaves = {name: Variable(array) for name, array in tensors.items()}
    pixels = Variable(X)
    out = convnext_block(pixels, Weights(leaves))
    found = backward(out, cotangent(out.shape))
    gradients = {name: found[leaf] for name, leaf in (leaves | {"x": pixels}).items()}
    assert_seen_alike(see_through(gradients), answers["gradients"])
