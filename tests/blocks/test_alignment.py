"""The spec of refvlm/blocks/alignment.py."""

import numpy as np
import pytest

from refvlm.blocks import alignment
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, oracle, random_arrays
from ..weights import random_weights

WIDTH, INNER, SHARED = 5, 7, 6
TENSORS = random_weights(alignment.alignment_projection_shapes(WIDTH, INNER, SHARED), 1)
FEATURES = random_arrays(2)(4, WIDTH)


@example
def test_image_projection_of_full_size_counts_its_parameters():
    """The table's 172K; the published MLPs have 173,568 and 1,034,112."""

    def count(shapes):
        return sum(int(np.prod(shape)) for shape in shapes.values())

    assert count(alignment.image_projection_shapes(192, 896)) == 172_928
    assert count(alignment.alignment_projection_shapes(192, 384, 256)) == 173_184
    assert count(alignment.alignment_projection_shapes(896, 896, 256)) == 1_033_856


@example
def test_image_projection_is_one_matrix():
    """By hand."""
    weights = {"weight": np.array([[1.0, 2.0]]), "bias": np.array([0.5])}
    answer = alignment.image_projection(np.array([[3.0, -1.0]]), weights)
    assert_close(answer, np.array([[1.5]]))


@law
def test_alignment_projection_forgets_how_long_a_vector_is():
    """Behind a norm without its scale and shift, each has mean 0 and length
    sqrt(shared): two sides start comparable, whatever their towers' sizes."""
    tensors = TENSORS | {"3.weight": np.ones(SHARED), "3.bias": np.zeros(SHARED)}
    placed = alignment.alignment_projection(1000 * FEATURES, Weights(tensors))
    assert_close(placed.mean(axis=1) + 1, np.ones(4))
    assert_close((placed**2).sum(axis=1), np.full(4, float(SHARED)), 1e-6)


@oracle
def test_alignment_projection_equals_torch(compare):
    """nn.Sequential as published, and the gradient of every tensor."""

    def ours(features, *arrays):
        weights = Weights(dict(zip(TENSORS, arrays)))
        return alignment.alignment_projection(features, weights)

    def reference(torch):
        def published(features, *arrays):
            nn = torch.nn
            layers = nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, SHARED)
            net = nn.Sequential(*layers, nn.LayerNorm(SHARED)).to(features.dtype)
            own = dict(zip(TENSORS, arrays))
            return torch.func.functional_call(net, own, (features,))

        return published

    compare(ours, reference, FEATURES, *TENSORS.values())


@contract
def test_alignment_projection_refuses_features_of_another_width():
    """The tower's width is the projection's."""
    with pytest.raises(ShapeError):
        alignment.alignment_projection(FEATURES[:, :3], Weights(TENSORS))
