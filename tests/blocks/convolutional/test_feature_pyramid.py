"""The spec of refvlm/blocks/convolutional/feature_pyramid.py."""

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.blocks.convolutional.feature_pyramid import (
    feature_pyramid_network,
    feature_pyramid_network_shapes,
    nearest,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...backbones import filled, single
from ...oracles import import_torchvision
from ...spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ...timm_oracles import assert_seen_alike, cotangent, see_through
from ...weights import random_weights

CHANNELS, WIDTH = (3, 5, 8), 6
TENSORS = random_weights(feature_pyramid_network_shapes(CHANNELS, WIDTH), seed=2)
SIZES = [(13, 10), (7, 5), (3, 2)]
DRAW = random_arrays(1)
MAPS = [DRAW(2, c, *size) for c, size in zip(CHANNELS, SIZES)]


def peer(torch):
    """torchvision's pyramid in float64."""
    import_torchvision()
    from torchvision.ops import FeaturePyramidNetwork

    return filled(torch, FeaturePyramidNetwork(list(CHANNELS), WIDTH), TENSORS)


def asked(pyramid, maps):
    """name -> map, as torchvision takes and gives them."""
    return pyramid({str(i): x for i, x in enumerate(maps)})


@example
def test_nearest_repeats_pixels():
    """Two pixels become five: three of the first, two of the second."""
    row = np.array([1.0, 2.0]).reshape(1, 1, 1, 2)
    np.testing.assert_array_equal(nearest(row, (1, 5))[0, 0, 0], [1, 1, 1, 2, 2])


@law
def test_feature_pyramid_network_keeps_sizes_and_levels_channels():
    """As many maps as came in, each as large as it was, all equally deep."""
    levels = feature_pyramid_network(MAPS, Weights(TENSORS))
    assert [x.shape for x in levels] == [(2, WIDTH, *size) for size in SIZES]


@law
def test_feature_pyramid_network_flows_down_and_not_up():
    """The coarsest map tells every level; the finest tells only its own."""
    before = feature_pyramid_network(MAPS, Weights(TENSORS))

    def moved(level):
        changed = list(MAPS)
        changed[level] = MAPS[level] + 1
        after = feature_pyramid_network(changed, Weights(TENSORS))
        return [bool(np.abs(a - b).max() > 1e-3) for a, b in zip(after, before)]

    assert moved(2) == [True, True, True]
    assert moved(0) == [True, False, False]


@oracle
def test_feature_pyramid_network_equals_torchvision(compare):
    """Maps of odd sizes, none of them half of the one before, in both dtypes."""

    def ask(torch):
        with torch.no_grad():
            found = asked(peer(torch), [torch.from_numpy(x.copy()) for x in MAPS])
        return {name: x.numpy().copy() for name, x in found.items()}

    answers = compare.answers(ask, (TENSORS, MAPS))
    levels = feature_pyramid_network(MAPS, Weights(TENSORS))
    maps = [x.astype(np.float32) for x in MAPS]
    rounded = feature_pyramid_network(maps, Weights(single(TENSORS)))
    for i, level in enumerate(levels):
        expected = answers[str(i)]
        assert expected.std() > 0.1
        assert_close(level, expected)
        assert_close(rounded[i], expected.astype(np.float32))


@oracle
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 14), (10, 4)])
def test_nearest_equals_torch(compare, size):
    """torch's interpolate, larger and smaller, by no whole factor."""

    def reference(torch):
        return lambda x: torch.nn.functional.interpolate(x, size=size, mode="nearest")

    compare(lambda x: nearest(x, size), reference, random_arrays(6)(2, 3, 5, 4))


@derivative
def test_nearest_derivative():
    """A pixel that is repeated gathers what its copies get."""
    check_vjp(lambda x: nearest(x, (7, 5)), random_arrays(7)(1, 2, 3, 4))


@derivative
def test_feature_pyramid_network_derivative_equals_torchvision(compare):
    """Of every map and every filter, through all levels."""

    def ask(torch):
        pyramid = peer(torch)
        maps = [torch.from_numpy(x.copy()).requires_grad_() for x in MAPS]
        levels = asked(pyramid, maps).values()
        total = sum(
            (x * torch.from_numpy(cotangent(tuple(x.shape)))).sum() for x in levels
        )
        total.backward()
        found = {name: p.grad.numpy() for name, p in pyramid.named_parameters()}
        found |= {f"map {i}": x.grad.numpy() for i, x in enumerate(maps)}
        return {"gradients": see_through(found)}

    answers = compare.answers(ask, (TENSORS, MAPS))
    leaves = {name: Variable(array) for name, array in TENSORS.items()}
    maps = [Variable(x) for x in MAPS]
    levels = feature_pyramid_network(maps, Weights(leaves))
    found = backward(sum((x * cotangent(x.shape)).sum() for x in levels), np.ones(()))
    everything = leaves | {f"map {i}": x for i, x in enumerate(maps)}
    gradients = {name: found[leaf] for name, leaf in everything.items()}
    assert_seen_alike(see_through(gradients), answers["gradients"])


@contract
def test_feature_pyramid_network_refuses_no_maps():
    """A pyramid has at least one floor, and a map a pixel."""
    with pytest.raises(ValueError, match="maps is empty"):
        feature_pyramid_network([], Weights(TENSORS))
    with pytest.raises(ShapeError, match="cannot become"):
        nearest(np.zeros((1, 1, 0, 3)), (2, 2))
    with pytest.raises(ShapeError, match=r"cannot become \(0, 2\)"):
        nearest(np.zeros((1, 1, 3, 3)), (0, 2))
