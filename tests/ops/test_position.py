"""The spec of refvlm/ops/position.py."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import kernels, ops
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

_draw = random_arrays(20)
_cos, _sin = ops.rotary_angles(np.arange(5) + 2, 6)

CALLS = {
    "position_frequencies": [call(6), call(2, base=100)],
    "sinusoidal_positions": [call(5, 6), call(0, 2, base=7.5, dtype=np.float32)],
    "position_shift_matrix": [call(3, 4), call(-1, 6, base=100.0)],
    "add_positions": [
        call(_draw(2, 3, 5), _draw(7, 5)),
        call(_draw(3, 5), _draw(7, 5), offset=4),
    ],
    "rotary_angles": [
        call(np.arange(5), 6),
        call([[0, 30000]], 4, theta=1e6, dtype=np.float32),
    ],
    "apply_rotary": [
        call(_draw(2, 3, 5, 6), cos=_cos, sin=_sin),
        call(_draw(5, 6), cos=_cos, sin=_sin, interleaved=True),
        call(_draw(1, 6), cos=_cos[:, None], sin=_sin[:, None]),
        call(_draw(3, 1, 6), cos=_cos[:1], sin=_sin[:1], interleaved=True),
        call(_draw(2, 0, 6), cos=_cos[:0], sin=_sin[:0]),
        call(_draw(5, 6), cos=_cos.round().astype(int), sin=_sin.round().astype(int)),
    ],
    "interpolate_positions": [
        call(_draw(2, 10, 3), (4, 5)),
        call(_draw(6, 3), 2, (2, 3), 0),
        call(_draw(14, 2), (5, 2), (4, 3), num_prefix_tokens=2, antialias=False),
    ],
}

pairings = pytest.mark.parametrize(
    "interleaved", [False, True], ids=["halves", "interleaved"]
)


@example
def test_position_frequencies_fall_from_one():
    """Four features are two pairs: a fast one, and one a hundred times slower."""
    np.testing.assert_allclose(ops.position_frequencies(4), [1.0, 0.01])


@example
def test_sinusoidal_positions_of_the_first_two_places():
    """Place 0 is sin 0 and cos 0; place 1 turns by 1 and by a hundredth."""
    fast, slow = (math.sin(1), math.cos(1)), (math.sin(0.01), math.cos(0.01))
    expected = [[0, 1, 0, 1], [*fast, *slow]]
    np.testing.assert_allclose(ops.sinusoidal_positions(2, 4), expected)


@example
def test_add_positions_gives_each_place_its_row():
    """Two equal tokens differ once they know where they stand."""
    rows = np.array([[10.0], [20.0], [30.0]])
    same = np.ones((2, 1))
    np.testing.assert_array_equal(ops.add_positions(same, rows), [[11.0], [21.0]])
    np.testing.assert_array_equal(ops.add_positions(same, rows, 1), [[21.0], [31.0]])


@example
def test_apply_rotary_turns_by_a_quarter():
    """(3, 4) turned by 90 degrees is (-4, 3)."""
    quarter = np.array([[0.0]]), np.array([[1.0]])
    np.testing.assert_array_equal(
        ops.apply_rotary(np.array([[3.0, 4.0]]), *quarter), [[-4.0, 3.0]]
    )


@example
def test_apply_rotary_pairs_by_convention():
    """Halves turn features 1 and 3, 2 and 4; interleaved, 1 and 2, 3 and 4."""
    x = np.array([[1.0, 2.0, 3.0, 4.0]])
    quarter = np.zeros((1, 2)), np.ones((1, 2))
    halves = ops.apply_rotary(x, *quarter)
    interleaved = ops.apply_rotary(x, *quarter, interleaved=True)
    np.testing.assert_array_equal(halves, [[-3.0, -4.0, 1.0, 2.0]])
    np.testing.assert_array_equal(interleaved, [[-2.0, 1.0, -4.0, 3.0]])


@example
def test_interpolate_positions_of_a_slope_is_a_slope():
    """Far from the edges, a straight slope stays straight at twice the resolution."""
    slope = np.tile(np.arange(8.0), (8, 1)).reshape(64, 1)
    fine = ops.interpolate_positions(slope, (16, 16), num_prefix_tokens=0)
    inner = fine.reshape(16, 16)[8, 4:12]
    np.testing.assert_allclose(inner, np.arange(4, 12) / 2 - 0.25)


even = st.integers(1, 4).map(lambda pairs: 2 * pairs)


@law
@given(st.integers(1, 8), st.floats(2, 1e6))
def test_position_frequencies_fall_by_one_factor(half, base):
    """Each is the one before it times the same number, from 1 towards 1 / base."""
    frequencies = ops.position_frequencies(2 * half, base)
    assert frequencies[0] == 1
    falls = frequencies[1:] / frequencies[:-1]
    np.testing.assert_allclose(falls, base ** (-1 / half), rtol=1e-9)


@example
def test_position_shift_matrix_of_no_step():
    """To move on by nothing is to leave everything as it is."""
    np.testing.assert_array_equal(ops.position_shift_matrix(0, 4), np.eye(4))


@example
def test_rotary_angles_of_the_first_position():
    """Position 0 is not turned; position 1 turns its first pair by 1 radian."""
    cos, sin = ops.rotary_angles(np.array([0, 1]), 4)
    np.testing.assert_array_equal((cos[0], sin[0]), ([1, 1], [0, 0]))
    np.testing.assert_allclose((cos[1, 0], sin[1, 0]), (0.5403023, 0.8414710), 1e-6)


@law
@given(st.integers(0, 50), st.integers(-20, 50), even)
def test_position_shift_matrix_moves_every_position(place, shift, dim):
    """P at p + k is one fixed matrix times P at p, whatever p: that is how a linear
    layer can learn to look k places on."""
    waves = ops.sinusoidal_positions(101, dim)
    if place + shift >= 0:
        moved = ops.position_shift_matrix(shift, dim) @ waves[place]
        assert np.abs(moved - waves[place + shift]).max() <= 1e-12


@law
@given(st.integers(-30, 30), st.integers(-30, 30), even)
def test_position_shift_matrix_composes(first, second, dim):
    """To shift by j and then by k is to shift by j + k; rotations are orthogonal."""
    one = ops.position_shift_matrix(first, dim)
    two = ops.position_shift_matrix(second, dim)
    both = ops.position_shift_matrix(first + second, dim)
    assert_close(two @ one, both)
    assert_close(one @ one.T, np.eye(dim))


@law
@given(st.integers(0, 90), st.integers(1, 10), even)
def test_sinusoidal_positions_products_depend_only_on_distance(place, distance, dim):
    """The product of two positions is a sum of cosines of their distance."""
    waves = ops.sinusoidal_positions(101, dim)
    there = waves[place] @ waves[place + distance]
    here = waves[0] @ waves[distance]
    cosines = np.cos(distance * ops.position_frequencies(dim)).sum()
    assert abs(there - here) <= 1e-12 and abs(here - cosines) <= 1e-12


@law
def test_sinusoidal_positions_are_all_different():
    """No two of a thousand places look alike."""
    waves = ops.sinusoidal_positions(1000, 16)
    distances = np.linalg.norm(waves[:, None] - waves[None], axis=-1)
    assert distances[~np.eye(1000, dtype=bool)].min() > 0.1


@law
def test_add_positions_breaks_the_symmetry_of_attention():
    """With positions, the order of the tokens matters; without them it did not."""
    tokens, rows = random_arrays(3)(2, 4, 6)
    order = [1, 0, 3, 2]

    def mean_output(x):
        return ops.scaled_dot_product_attention(x, x, x).mean(axis=0)

    assert_close(mean_output(tokens[order]), mean_output(tokens))
    placed = mean_output(ops.add_positions(tokens, rows))
    shuffled = mean_output(ops.add_positions(tokens[order], rows))
    assert np.abs(placed - shuffled).max() > 1e-3


def _rotated(x, positions, interleaved=False, theta=10000.0):
    cos, sin = ops.rotary_angles(np.asarray(positions), x.shape[-1], theta)
    return ops.apply_rotary(x, cos, sin, interleaved)


@law
@pairings
@given(tensors((2, 6)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 5000))
def test_apply_rotary_scores_depend_only_on_distance(interleaved, qk, m, n, shift):
    """Move query and key on together, by any number of places: their score stays."""
    query, key = qk[:1], qk[1:]

    def score(m, n):
        turned = _rotated(query, [m], interleaved), _rotated(key, [n], interleaved)
        return turned[0] @ turned[1].T

    assert np.abs(score(m, n) - score(m + shift, n + shift)).max() <= 1e-9


@law
@pairings
@given(tensors((5, 6)))
def test_apply_rotary_keeps_norms(interleaved, x):
    """A rotation changes directions, never lengths: how much a token says stays."""
    turned = _rotated(x, range(5), interleaved)
    norms = np.linalg.norm(turned, axis=-1)
    np.testing.assert_allclose(norms, np.linalg.norm(x, axis=-1), atol=1e-12)


@law
@pairings
@given(tensors((1, 6)), st.integers(-50, 50), st.integers(-50, 50))
def test_apply_rotary_composes(interleaved, x, m, n):
    """Turning by m and then by n is turning by m + n; by 0 is nothing."""
    twice = _rotated(_rotated(x, [m], interleaved), [n], interleaved)
    once = _rotated(x, [m + n], interleaved)
    assert np.abs(twice - once).max() <= 1e-11
    np.testing.assert_array_equal(_rotated(x, [0], interleaved), x)


@law
@given(tensors((4, 8)))
def test_apply_rotary_pairings_are_a_permutation_of_each_other(x):
    """The two conventions differ only in the order of the features: a checkpoint is
    carried from one to the other by permuting rows of its projections."""
    order = np.arange(8).reshape(4, 2).T.ravel()  # 0 2 4 6 1 3 5 7
    interleaved = _rotated(x, range(4), interleaved=True)
    halves = _rotated(x[:, order], range(4))
    np.testing.assert_array_equal(halves, interleaved[:, order])


@law
@pairings
def test_apply_rotary_multiplies_complex_numbers(interleaved):
    """A pair (a, b) is a + ib, and turning it is multiplying by e to the i phi."""
    x = random_arrays(4)(2, 5, 6)
    first, second = (
        (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :3], x[..., 3:])
    )
    angles = np.arange(5)[:, None] * ops.position_frequencies(6)
    product = (first + 1j * second) * np.exp(1j * angles)
    turned = _rotated(x, range(5), interleaved)
    expected = np.empty_like(x)
    if interleaved:
        expected[..., 0::2], expected[..., 1::2] = product.real, product.imag
    else:
        expected[..., :3], expected[..., 3:] = product.real, product.imag
    assert_close(turned, expected)


@law
def test_apply_rotary_broadcasts_over_heads_and_batch():
    """One row of angles serves every head; each sequence may bring its own."""
    x, positions = random_arrays(5)(2, 3, 4, 6), np.array([[0, 1, 2, 3], [5, 6, 7, 8]])
    cos, sin = ops.rotary_angles(positions, 6)
    turned = ops.apply_rotary(x, cos[:, None], sin[:, None])
    for b, h in np.ndindex(2, 3):
        assert_close(turned[b, h], _rotated(x[b, h], positions[b]))


@law
@pairings
@pytest.mark.parametrize("way", [contextlib.nullcontext, kernels.definitions])
def test_apply_rotary_takes_angles_of_any_dtype(interleaved, way):
    """The angles are taken to the dtype of x, which is that of the result."""
    angles = ops.rotary_angles(np.arange(3), 4)
    for dtype, tolerance in ((np.float16, 1e-3), (np.float32, 1e-6)):
        x = random_arrays(6)(2, 3, 4).astype(dtype)
        same = [each.astype(dtype) for each in angles]
        with way():
            turned = ops.apply_rotary(x, *angles, interleaved)
            expected = ops.apply_rotary(x, *same, interleaved)
        assert turned.dtype == dtype
        assert_close(turned, expected, tolerance)


@law
@pytest.mark.parametrize("theta", [1e4, 1e6])
def test_rotary_angles_stay_accurate_late(theta):
    """At position 30000 the sine is right to the last digits; in float32 it would
    be off in the fourth."""
    positions = np.array([30000, 32767])
    cos, sin = ops.rotary_angles(positions, 64, theta)
    for row, position in enumerate(positions.tolist()):
        for i in range(32):
            angle = math.fmod(position * theta ** (-2 * i / 64), 2 * math.pi)
            assert abs(cos[row, i] - math.cos(angle)) <= 1e-10
            assert abs(sin[row, i] - math.sin(angle)) <= 1e-10


@law
def test_rotary_angles_take_the_dtype_asked_for():
    """Computed in float64, given in the dtype of the model."""
    for dtype in (np.float16, np.float32, np.float64):
        cos, sin = ops.rotary_angles(np.arange(3), 4, dtype=dtype)
        assert cos.dtype == sin.dtype == dtype
        assert ops.sinusoidal_positions(3, 4, dtype=dtype).dtype == dtype


@law
@pytest.mark.parametrize("antialias", [False, True])
@given(x=tensors((10, 2)))
def test_interpolate_positions_to_the_same_grid_changes_nothing(antialias, x):
    """Nine patches and a class token, asked for nine patches."""
    same = ops.interpolate_positions(x, (3, 3), antialias=antialias)
    np.testing.assert_allclose(same, x, atol=1e-12)


@law
@pytest.mark.parametrize("antialias", [False, True])
@given(st.integers(1, 6), st.integers(1, 6))
def test_interpolate_positions_keeps_a_constant(antialias, height, width):
    """The weights of every new place sum to one, at the edges too."""
    constant = np.full((12, 1), 3.0)
    resized = ops.interpolate_positions(
        constant, (height, width), (3, 4), 0, antialias=antialias
    )
    assert resized.shape == (height * width, 1)
    np.testing.assert_allclose(resized, 3.0)


@law
def test_interpolate_positions_leaves_the_class_token():
    """A prefix token stands nowhere on the grid, so it is not moved."""
    x = random_arrays(7)(2, 6, 3)
    resized = ops.interpolate_positions(x, (3, 5), (2, 2), num_prefix_tokens=2)
    np.testing.assert_array_equal(resized[:, :2], x[:, :2])


@oracle
def test_sinusoidal_positions_equal_the_formula_in_torch(compare):
    """The formula, spelled out in PyTorch."""

    def reference(torch):
        def waves(length, dim):
            place = torch.arange(length, dtype=torch.float64)[:, None]
            pair = torch.arange(0, dim, 2, dtype=torch.float64)
            angles = place / 10000 ** (pair / dim)
            return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)

        return waves

    compare(ops.sinusoidal_positions, reference, 7, 6, gradients=False)


@oracle
def test_add_positions_equals_torch(compare):
    """torch.nn.functional.embedding of the places, added; both gradients."""

    def reference(torch):
        def added(x, rows, offset):
            places = torch.arange(offset, offset + x.shape[-2])
            return x + torch.nn.functional.embedding(places, rows)

        return added

    draw = random_arrays(9)
    compare(ops.add_positions, reference, draw(2, 3, 4), draw(6, 4), 2)


def _turning(cos, sin, interleaved=False):
    """apply_rotary as a function of x alone, with a derivative where it has one."""

    def turned(x):
        return ops.apply_rotary(x, cos, sin, interleaved)

    turned.derivative = ops.apply_rotary.derivative
    return turned


@oracle
def test_apply_rotary_equals_transformers(compare):
    """Qwen2's, at late positions: halves are what its checkpoints mean."""
    cos, sin = ops.rotary_angles(np.arange(29998, 30003), 8, 1e6)

    def reference(torch):
        import_torchvision()
        from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

        angles = (np.tile(angle, 2)[None] for angle in (cos, sin))
        angles = [torch.from_numpy(angle) for angle in angles]
        return lambda x: apply_rotary_pos_emb(x, x, *angles)[0]

    x = random_arrays(10)(2, 3, 5, 8)
    compare(_turning(cos, sin), reference, x)


@oracle
def test_apply_rotary_interleaved_equals_torch_complex(compare):
    """Interleaved pairs, as torch reads them: view_as_complex, times e to the i phi."""
    x = random_arrays(11)(2, 5, 8)
    cos, sin = ops.rotary_angles(np.arange(5), 8)

    def reference(torch):
        def rotate(x):
            turns = torch.complex(torch.from_numpy(cos), torch.from_numpy(sin))
            pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
            return torch.view_as_real(pairs * turns).flatten(-2)

        return rotate

    compare(_turning(cos, sin, interleaved=True), reference, x)


GRIDS = [((4, 4), (7, 7)), ((5, 3), (2, 7)), ((6, 6), (4, 4)), ((2, 3), (2, 2))]


@oracle
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("old, new", GRIDS)
def test_interpolate_positions_equals_torch(compare, old, new, antialias):
    """F.interpolate(mode="bicubic", align_corners=False), larger and smaller grids."""
    height, width = old

    def reference(torch):
        def resize(x):
            grid = x.unflatten(1, (height, width)).permute(0, 3, 1, 2)
            grid = torch.nn.functional.interpolate(
                grid, size=new, mode="bicubic", antialias=antialias
            )
            return grid.flatten(2).transpose(1, 2)

        return resize

    def ours(x):
        return ops.interpolate_positions(x, new, old, 0, antialias=antialias)

    compare(ours, reference, random_arrays(12)(1, height * width, 3))


@oracle
def test_interpolate_positions_equals_timm(compare):
    """timm's resample_abs_pos_embed, which works in float32."""

    def reference(torch):
        import_torchvision()
        from timm.layers import resample_abs_pos_embed

        return lambda x: resample_abs_pos_embed(x, (6, 3), num_prefix_tokens=1)

    def ours(x):
        return ops.interpolate_positions(x, (6, 3), num_prefix_tokens=1)

    compare(ours, reference, random_arrays(13)(1, 17, 3), tolerance=1e-6)


@derivative
@pairings
def test_apply_rotary_derivative(interleaved):
    """The way back turns back: the vjp equals central differences."""
    cos, sin = ops.rotary_angles(np.arange(4) + 3, 6)
    check_vjp(
        lambda x: ops.apply_rotary(x, cos, sin, interleaved),
        random_arrays(14)(2, 4, 6),
    )


@derivative
def test_add_positions_derivative():
    """Rows that were used learn from their tokens; the others get zeros."""
    draw = random_arrays(15)
    check_vjp(ops.add_positions, draw(2, 3, 2), draw(5, 2), 1)


@derivative
def test_interpolate_positions_derivative():
    """Two matrices, so its derivative is their transposes: the tape knows how."""
    check_vjp(ops.interpolate_positions, random_arrays(16)(1, 5, 2), (3, 4))


@contract
@pytest.mark.parametrize("dim", [3, 5])
def test_position_frequencies_refuse_an_odd_dim(dim):
    """Positions turn pairs, and an odd feature would be left alone."""
    with pytest.raises(ValueError, match=f"dim {dim} must be even"):
        ops.position_frequencies(dim)


@contract
def test_add_positions_refuses_places_it_never_learnt():
    """A table of four rows has nothing to say about the fifth place."""
    with pytest.raises(ShapeError, match=r"tokens 2 to 4 .* \(4, 6\) has 4"):
        ops.add_positions(np.zeros((3, 6)), np.zeros((4, 6)), offset=2)


@contract
def test_apply_rotary_refuses_angles_for_another_dim():
    """Three angles turn six features, not eight."""
    cos, sin = ops.rotary_angles(np.arange(2), 6)
    with pytest.raises(ShapeError, match="8 features, but cos .* angles for 6"):
        ops.apply_rotary(np.zeros((2, 8)), cos, sin)


@contract
def test_apply_rotary_refuses_angles_that_are_no_numbers():
    """A mask is no cosine."""
    with pytest.raises(ValueError, match="sin holds bool, but needs numbers"):
        ops.apply_rotary(np.zeros((2, 4)), np.ones((2, 2)), np.ones((2, 2), bool))


@contract
def test_apply_rotary_refuses_angles_for_other_places():
    """As many rows of angles as tokens."""
    cos, sin = ops.rotary_angles(np.arange(4), 6)
    with pytest.raises(ShapeError, match="t = 5"):
        ops.apply_rotary(np.zeros((5, 6)), cos, sin)


@contract
@pytest.mark.parametrize(
    "options, message",
    [
        (dict(new_size=(3, 3)), "not a grid of 2 x 2"),
        (dict(new_size=(3, 3), num_prefix_tokens=9), "not a grid of 0 x 0"),
        (dict(new_size=(3, 3), old_size=(2, 3)), "not a grid of 2 x 3"),
        (dict(new_size=(0, 3), old_size=(1, 7)), "new_size must be at least 1"),
    ],
)
def test_interpolate_positions_refuses_what_is_no_grid(options, message):
    """Seven patches make no square, and no picture is nought patches high."""
    with pytest.raises(ValueError, match=message):
        ops.interpolate_positions(np.zeros((8, 2)), **options)
