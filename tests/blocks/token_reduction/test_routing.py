"""The spec of refvlm/blocks/token_reduction/routing.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.token_reduction import routing
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)


def a_layer(*shape, seed=1):
    """Tokens, a router, and the matrix of a block."""
    draw = random_arrays(seed)
    return draw(*shape), draw(shape[-1]), draw(shape[-1], shape[-1])


def mixing(matrix):
    """A block in which tokens meet: each adds the mean of all that came in."""
    return lambda x: (x + x.mean(axis=-2, keepdims=True)) @ matrix


@example
def test_route_topk_sends_one_of_three():
    """The 3 is liked best: ten times itself is added, weighed by its score, 3."""
    x = np.array([[1.0], [3.0], [2.0]])
    out = routing.route_topk(x, np.array([1.0]), lambda some: 10 * some, 0.3)
    np.testing.assert_array_equal(out, [[1], [93], [2]])


@law
@given(tensors((2, 5, 3)), tensors(3))
def test_route_topk_with_room_for_all_is_a_weighed_dense_layer(x, router):
    """Capacity 1: every token goes through, weighed by its score."""
    matrix = random_arrays(2)(3, 3)
    out = routing.route_topk(x, router, mixing(matrix), 1)
    dense = x + (x @ router)[..., None] * mixing(matrix)(x)
    assert np.abs(out - dense).max() <= 1e-12 * max(1, np.abs(dense).max())


@law
@given(tensors((2, 8, 3)), st.sampled_from([0.125, 0.3, 0.5, 0.9]))
def test_route_topk_leaves_the_others_as_they_were(x, capacity):
    """Bit for bit; and the block sees no more tokens than it has room for."""
    _, router, matrix = a_layer(2, 8, 3)
    seen = []

    def block(some):
        seen.append(some.shape)
        return some @ matrix + 1.0

    out = routing.route_topk(x, router, block, capacity)
    few = routing.routed(8, capacity)
    assert seen == [(2, few, 3)]
    scores = x @ router
    order = np.argsort(-scores, axis=1, kind="stable")
    for row in range(2):
        others = order[row, few:]
        np.testing.assert_array_equal(out[row, others], x[row, others])


@law
def test_route_topk_shows_the_block_its_tokens_in_order():
    """A causal block among them sees what stands before."""
    x = np.arange(6.0)[:, None]
    shown = []
    router = np.array([-1.0])
    routing.route_topk(x, router, lambda some: shown.append(some) or some, 0.5)
    np.testing.assert_array_equal(shown[0], [[0], [1], [2]])


@law
def test_route_topk_keeps_the_dtype():
    """Half precision, too."""
    x, router, _ = a_layer(2, 6, 3)
    check_dtype(lambda *a: routing.route_topk(*a, lambda some: some, 0.5), x, router)
    assert routing.route_topk(x[:, :0], router, None, 0.5).shape == (2, 0, 3)


@oracle
@pytest.mark.parametrize("capacity, few", [(0.3, 3), (0.5, 4), (1, 7)])
def test_route_topk_equals_torch(compare, capacity, few):
    """PyTorch's topk, gather and scatter_add; and the gradients of tokens, router and
    block."""

    def reference(torch):
        def route(x, router, matrix):
            scores = x @ router
            places = scores.topk(few, dim=-1).indices.sort(dim=-1).values
            index = places[..., None].expand(*places.shape, x.shape[-1])
            some = x.gather(-2, index)
            said = (some + some.mean(-2, keepdim=True)) @ matrix
            return x.scatter_add(-2, index, said * scores.gather(-1, places)[..., None])

        return route

    def ours(x, router, matrix):
        return routing.route_topk(x, router, mixing(matrix), capacity)

    compare(ours, reference, *a_layer(2, 7, 4, seed=3))


@derivative
def test_route_topk_derivative():
    """The router learns from those that it let through."""
    x, router, matrix = a_layer(2, 5, 3, seed=4)
    check_vjp(
        lambda x, w: routing.route_topk(x, w, lambda s: ops.tanh(s @ matrix), 0.5),
        x,
        router,
    )


@contract
@pytest.mark.parametrize("capacity", [0, -0.5, 1.5, np.nan, "all", None])
def test_route_topk_refuses_a_capacity_that_is_no_share(capacity):
    """Above 0 and at most 1."""
    with pytest.raises(ValueError, match="route_topk: capacity is a share above 0"):
        routing.route_topk(*a_layer(5, 3)[:2], lambda some: some, capacity)


@contract
def test_route_topk_refuses_nan_and_another_width():
    """A router of other features, and a score without a number."""
    x, router, _ = a_layer(5, 3)
    with pytest.raises(ShapeError, match=r"route_topk: router is \(2,\), but d = 3"):
        routing.route_topk(x, router[:2], lambda some: some, 0.5)
    with pytest.raises(ValueError, match="route_topk: a score is NaN"):
        routing.route_topk(x, np.full(3, np.nan), lambda some: some, 0.5)
    assert_close(routing.route_topk(x, router * 0, lambda some: some, 0.5), x)


@contract
def test_route_topk_refuses_infinity():
    """Nobody can say by how much such a token is preferred, or weighed."""
    x, router, matrix = a_layer(4, 3)
    x[1, 1] = np.inf
    with pytest.raises(ValueError, match="route_topk: a score is NaN or infinite"):
        routing.route_topk(x, router, mixing(matrix), 0.5)


@law
@given(st.integers(0, 1000), st.integers(1, 100))
def test_routed_rounds_the_decimal_number_up(tokens, hundredths):
    """In doubles 0.07 times 100 is 7.000000000000001, of which 8 would go through."""
    wanted = -(-tokens * hundredths // 100)
    assert routing.routed(tokens, hundredths / 100) == wanted
    assert routing.routed(tokens, np.float64(hundredths / 100)) == wanted
    assert routing.routed(tokens, np.float32(hundredths / 100)) == wanted


@contract
@pytest.mark.parametrize("tokens", [-1, 2.5, "3", None])
def test_routed_refuses_tokens_that_cannot_be_counted(tokens):
    """There are 0, 1, 2 and so on."""
    with pytest.raises(ValueError, match="routed: tokens must be a whole number"):
        routing.routed(tokens, 0.5)
