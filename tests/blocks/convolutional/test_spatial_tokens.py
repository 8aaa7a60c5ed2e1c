"""The spec of refvlm/blocks/convolutional/spatial_tokens.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.blocks.convolutional.spatial_tokens import flatten_with_positions
from refvlm.shapes import ShapeError

from ...spec import check_vjp, contract, derivative, example, law, oracle, random_arrays


@example
def test_flatten_with_positions_reads_row_by_row():
    """Two channels of a map of 1 x 2: two tokens, and the second's place added."""
    features = np.array([[[[1.0, 2.0]], [[10.0, 20.0]]]])
    places = np.array([[[0.0, 0.0], [0.5, 0.25]]])
    np.testing.assert_array_equal(
        flatten_with_positions(features, places), [[[1, 10], [2.5, 20.25]]]
    )


@law
def test_without_positions_attention_cannot_tell_where_a_token_stands():
    """Shuffle the pixels of a map: its tokens are shuffled, and attention's answer to
    a query is the same. Added positions make it another."""
    draw = random_arrays(1)
    features, places, query = draw(1, 4, 3, 3), draw(3, 3, 4), draw(1, 1, 4)
    mixed = features.reshape(1, 4, 9)[:, :, ::-1].reshape(features.shape)

    def answer(some, positions):
        tokens = flatten_with_positions(some, positions)
        return ops.scaled_dot_product_attention(query, tokens, tokens)

    np.testing.assert_allclose(answer(mixed, None), answer(features, None), atol=1e-12)
    assert np.abs(answer(mixed, places) - answer(features, places)).max() > 1e-2


@oracle
@pytest.mark.parametrize("placed", [True, False])
def test_flatten_with_positions_equals_torch(compare, placed):
    """flatten(2).transpose(1, 2), and the sum; values and gradients."""
    draw = random_arrays(2)
    given = (draw(2, 5, 3, 4), draw(3, 4, 5)) if placed else (draw(2, 5, 3, 4),)

    def reference(torch):
        def run(features, positions=None):
            tokens = features.flatten(2).transpose(1, 2)
            return tokens if positions is None else tokens + positions.flatten(0, 1)

        return run

    compare(flatten_with_positions, reference, *given)


@derivative
def test_flatten_with_positions_derivative():
    """A position's gradient is the sum over the batch."""
    draw = random_arrays(3)
    check_vjp(flatten_with_positions, draw(2, 3, 2, 2), draw(2, 2, 3))


@contract
def test_flatten_with_positions_refuses_another_grid():
    """Positions of 3 x 3 do not fit a map of 2 x 2."""
    with pytest.raises(ShapeError, match="flatten_with_positions: positions"):
        flatten_with_positions(np.zeros((1, 4, 2, 2)), np.zeros((3, 3, 4)))
