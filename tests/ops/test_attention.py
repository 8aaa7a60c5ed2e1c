"""The spec of refvlm/ops/attention.py."""

import contextlib
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import kernels, ops
from refvlm.autodiff import grad
from refvlm.kernels import heads
from refvlm.ops import attention
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    house,
    law,
    oracle,
    pulled_back,
    random_arrays,
    tensors,
)


@example
def test_attention_weights_of_two_keys():
    """Scores 0 and log 3 are weights 1/4 and 3/4."""
    query, keys = np.array([[1.0]]), np.array([[0.0], [math.log(3)]])
    np.testing.assert_allclose(ops.attention_weights(query, keys), [[0.25, 0.75]])


@example
def test_scaled_dot_product_attention_averages_what_it_cannot_tell_apart():
    """Equal keys get equal weights: 1 and 3 average to 2, and the first sees only 1."""
    same = np.zeros((2, 1))
    value = np.array([[1.0], [3.0]])
    everything = ops.scaled_dot_product_attention(same, same, value)
    past = ops.scaled_dot_product_attention(same, same, value, is_causal=True)
    np.testing.assert_array_equal(everything, [[2.0], [2.0]])
    np.testing.assert_array_equal(past, [[1.0], [2.0]])


@example
def test_scaled_dot_product_attention_looks_up_the_key_that_matches():
    """With sharp scores attention is a dictionary: the value of the matching key."""
    keys, value = np.eye(3), np.array([[10.0], [20.0], [30.0]])
    found = ops.scaled_dot_product_attention(keys[[2, 0]], keys, value, scale=1000.0)
    np.testing.assert_allclose(found, [[30.0], [10.0]])


def _booleans(*shape):
    """A mask that leaves every query something to see, and no two rows alike."""
    mask = random_arrays(5)(*shape) > 0
    mask[..., 0] |= ~mask.any(axis=-1)
    return mask


CASES = {
    "plain": dict(query=(2, 3, 5, 4), key=(2, 3, 7, 4)),
    "unbatched": dict(query=(5, 4), key=(7, 4)),
    "causal": dict(query=(2, 3, 6, 4), key=(2, 3, 6, 4), is_causal=True),
    "causal, more keys": dict(query=(1, 5, 4), key=(1, 8, 4), is_causal=True),
    "causal, more queries": dict(query=(1, 8, 4), key=(1, 5, 4), is_causal=True),
    "grouped": dict(query=(2, 6, 5, 4), key=(2, 2, 7, 4), enable_gqa=True),
    "one key head for all, causal": dict(
        query=(2, 3, 5, 4), key=(2, 1, 5, 4), enable_gqa=True, is_causal=True
    ),
    "boolean mask": dict(
        query=(2, 4, 5, 3), key=(2, 4, 6, 3), attn_mask=_booleans(5, 6), scale=0.3
    ),
    "padding": dict(
        query=(2, 4, 3, 2),
        key=(2, 2, 6, 2),
        attn_mask=ops.padding_mask([6, 4])[:, None, None, :],
        enable_gqa=True,
    ),
    "additive mask": dict(
        query=(2, 2, 4, 3), key=(2, 2, 5, 3), attn_mask=random_arrays(6)(2, 1, 4, 5)
    ),
    "a mask for each head": dict(
        query=(1, 4, 3, 2),
        key=(1, 2, 5, 2),
        attn_mask=random_arrays(6)(4, 3, 5),
        enable_gqa=True,
    ),
}


def _of_case(options):
    """(query, key, value) and the options of one case; values are one longer."""
    options = dict(options)
    draw = random_arrays(21)
    query, key = draw(*options.pop("query")), draw(*options.pop("key"))
    return (query, key, draw(*key.shape[:-1], key.shape[-1] + 1)), options


def _calls(arrays):
    """Every case as a call with its first so many arrays, the mask by position."""
    for case in CASES.values():
        given, options = _of_case(case)
        mask = options.pop("attn_mask", None)
        yield call(*given[:arrays], mask, **options)


DROPOUT = np.where(_booleans(3, 1, 7), 2.0, 0.0)
SHARED = random_arrays(4)(6, 5, 2)

CALLS = {
    "attention_weights": list(_calls(2)),
    "scaled_dot_product_attention": [
        *_calls(3),
        call(*_of_case(CASES["plain"])[0], dropout_p=0.5, dropout_mask=DROPOUT),
        call(SHARED, SHARED[:1], SHARED[:2], is_causal=True, enable_gqa=True),
        call(SHARED, SHARED[:2], SHARED[:1], enable_gqa=True),
        call(SHARED[:, None], SHARED, SHARED, scale=3),
    ],
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    """The arrays and the options of one case."""
    return _of_case(request.param)


@pytest.fixture(params=[1 << 17, 12], ids=["one block", "many blocks"])
def block_size(request, monkeypatch):
    """Attention cut into pieces of so many scores."""
    monkeypatch.setattr(heads, "SCORES", request.param)
    monkeypatch.setattr(heads, "FEWEST_QUERIES", 2)


@law
def test_scaled_dot_product_attention_equals_its_definition(case, block_size):
    """Cut into blocks of queries or not, the numbers are those of the formula."""
    arrays, options = case
    assert_close(
        ops.scaled_dot_product_attention(*arrays, **options),
        attention.scaled_dot_product_attention.definition(*arrays, **options),
    )


@law
@pytest.mark.parametrize("length", [31, 32, 33, 65])
def test_scaled_dot_product_attention_is_the_same_at_every_length(length, monkeypatch):
    """A last block that is full, short or one row long changes nothing."""
    monkeypatch.setattr(heads, "SCORES", 1)
    query, key, value = random_arrays(8)(3, 1, length, 2)
    options = dict(is_causal=True)
    assert_close(
        ops.scaled_dot_product_attention(query, key, value, **options),
        attention.scaled_dot_product_attention.definition(query, key, value, **options),
    )


@law
@given(tensors((2, 4, 3)), tensors((2, 5, 3)))
def test_attention_weights_rows_sum_to_one(query, key):
    """What a query gives to one key it takes from the others."""
    weights = ops.attention_weights(query, key)
    assert (weights >= 0).all()
    assert_close(weights.sum(axis=-1), np.ones((2, 4)))


@law
@given(tensors((4, 2)), tensors((5, 2)), tensors((5, 3)))
def test_scaled_dot_product_attention_stays_between_its_values(query, key, value):
    """An average lies between the least and the greatest of what it averages."""
    out = ops.scaled_dot_product_attention(query, key, value)
    assert (out >= value.min(axis=0) - 1e-12).all()
    assert (out <= value.max(axis=0) + 1e-12).all()


@law
@given(tensors((3, 5, 2)), st.permutations(range(5)))
def test_scaled_dot_product_attention_sees_a_set(tokens, order):
    """Shuffle keys and values together and nothing changes; shuffle the queries and
    the answers are shuffled with them. Without positions, attention has no order."""
    query, key, value = tokens
    out = ops.scaled_dot_product_attention(query, key, value)
    shuffled = ops.scaled_dot_product_attention(query, key[order], value[order])
    assert_close(shuffled, out, 1e-9)
    turned = ops.scaled_dot_product_attention(query[order], key[order], value[order])
    assert_close(turned, out[order], 1e-9)


@law
@given(tensors((3, 6, 2)), tensors((3, 6, 2)), st.integers(0, 5))
def test_scaled_dot_product_attention_causal_mask_hides_the_future(first, other, now):
    """Change everything after now: what was computed up to now does not move."""
    changed = np.concatenate([first[:, : now + 1], other[:, now + 1 :]], axis=1)
    before = ops.scaled_dot_product_attention(*first, is_causal=True)
    after = ops.scaled_dot_product_attention(*changed, is_causal=True)
    np.testing.assert_allclose(after[: now + 1], before[: now + 1], rtol=1e-12)


@law
def test_scaled_dot_product_attention_causal_is_the_causal_mask():
    """is_causal counts from the first query and the first key, whichever is longer."""
    for queries, keys in [(5, 5), (3, 6), (6, 3)]:
        draw = random_arrays(3)
        arrays = draw(2, queries, 4), draw(2, keys, 4), draw(2, keys, 3)
        mask = ops.causal_mask(queries, keys)
        assert_close(
            ops.scaled_dot_product_attention(*arrays, is_causal=True),
            ops.scaled_dot_product_attention(*arrays, mask),
        )


@law
@given(tensors((3, 4, 2)), tensors((4, 4), dtype=np.float64))
def test_scaled_dot_product_attention_boolean_mask_is_minus_infinity(tokens, choice):
    """False and minus infinity say the same: e to the minus infinity is nothing."""
    mask = choice > 0
    boolean = ops.scaled_dot_product_attention(*tokens, mask)
    additive = ops.scaled_dot_product_attention(
        *tokens, ops.additive_mask(mask, np.float64)
    )
    np.testing.assert_array_equal(boolean, additive)


BLIND = np.array([[True, False, True], [False, False, False], [True, True, True]])


@law
@pytest.mark.parametrize("additive", [False, True])
def test_scaled_dot_product_attention_of_a_blind_query_is_zero(additive):
    """Where nothing may be seen there is nothing to average: zeros, never NaN."""
    mask = ops.additive_mask(BLIND, np.float64) if additive else BLIND
    query, key, value = tokens = random_arrays(9)(3, 3, 2)
    out = ops.scaled_dot_product_attention(*tokens, mask)
    np.testing.assert_array_equal(out[1], [0, 0])
    np.testing.assert_array_equal(ops.attention_weights(query, key, mask)[1], 0)
    alone = ops.scaled_dot_product_attention(query[:1], key[[0, 2]], value[[0, 2]])
    assert_close(out[:1], alone)


@law
def test_scaled_dot_product_attention_shares_key_heads_with_neighbours():
    """Grouped queries equal full attention with every key head repeated in place:
    query heads 0, 1, 2 read key head 0, and 3, 4, 5 read key head 1."""
    draw = random_arrays(12)
    query, key, value = draw(2, 6, 5, 4), draw(2, 2, 7, 4), draw(2, 2, 7, 3)
    grouped = ops.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    shared = [0, 0, 0, 1, 1, 1]
    whole = ops.scaled_dot_product_attention(query, key[:, shared], value[:, shared])
    assert_close(grouped, whole)


@law
@given(tensors((3, 4, 3)), st.floats(0.1, 10.0))
def test_scaled_dot_product_attention_scale_multiplies_the_scores(tokens, scale):
    """A scale is a factor of the queries; left out, it is one over the root of d."""
    query, key, value = tokens
    assert_close(
        ops.scaled_dot_product_attention(query, key, value, scale=scale),
        ops.scaled_dot_product_attention(query * scale, key, value, scale=1.0),
        1e-9,
    )
    default = ops.scaled_dot_product_attention(query, key, value)
    root = ops.scaled_dot_product_attention(query, key, value, scale=3**-0.5)
    assert_close(default, root, 1e-9)


@law
def test_scaled_dot_product_attention_multiplies_weights_by_the_dropout_mask():
    """Dropped weights are gone and the kept ones grown; nobody is normalised again."""
    query, key, value = random_arrays(13)(3, 4, 3)
    dropout = ops.dropout_mask(np.random.default_rng(0), (4, 4), 0.5, np.float64)
    weights = ops.attention_weights(query, key)
    out = ops.scaled_dot_product_attention(
        query, key, value, dropout_p=0.5, dropout_mask=dropout
    )
    assert_close(out, (weights * dropout) @ value)


@law
def test_scaled_dot_product_attention_survives_large_scores():
    """A score of a million overflows nothing: the largest is subtracted first."""
    query, key = np.array([[1000.0]]), np.array([[1000.0], [999.0]])
    out = ops.scaled_dot_product_attention(query, key, np.array([[5.0], [7.0]]))
    np.testing.assert_array_equal(out, [[5.0]])


@law
@pytest.mark.parametrize("large", [400.0, 60000.0])
def test_scaled_dot_product_attention_survives_large_scores_in_half_precision(large):
    """A score beyond 65504 is no number of float16: make it in float32."""
    half = np.float16
    query, key = np.full((2, 8), large, half), np.full((3, 8), large, half)
    key[1:] *= half(0.5)
    value = np.array([[1.0], [2.0], [3.0]], half)
    out = ops.scaled_dot_product_attention(query, key, value)
    np.testing.assert_array_equal(out, np.ones((2, 1), half))
    weights = ops.attention_weights(query, key)
    np.testing.assert_array_equal(weights, np.array([[1, 0, 0]] * 2, half))


@derivative
@pytest.mark.parametrize("large", [400.0, 60000.0])
def test_scaled_dot_product_attention_of_large_halves_has_gradients(large):
    """The way back is finite where the way there is."""
    half = np.float16
    query, key = np.full((2, 8), large, half), np.full((3, 8), large, half)
    key[1:] *= half(0.5)
    value = np.array([[1.0], [2.0], [3.0]], half)
    for function, arrays in (
        (ops.scaled_dot_product_attention, (query, key, value)),
        (ops.attention_weights, (query, key)),
    ):
        d_out = np.ones(function(*arrays).shape, half)
        for gradient in pulled_back(function, d_out, *arrays):
            assert gradient.dtype == half and np.isfinite(gradient).all()


EMPTY = {
    "no queries": ((2, 0, 4), (2, 5, 4), (2, 5, 3)),
    "no keys": ((2, 3, 4), (2, 0, 4), (2, 0, 3)),
    "neither": ((2, 0, 4), (2, 0, 4), (2, 0, 3)),
    "no batch": ((0, 3, 4), (0, 5, 4), (0, 5, 3)),
    "values without features": ((2, 3, 4), (2, 5, 4), (2, 5, 0)),
}
without = pytest.mark.parametrize("shapes", EMPTY.values(), ids=EMPTY.keys())
causal = pytest.mark.parametrize("is_causal", [False, True])


@law
@without
@causal
def test_scaled_dot_product_attention_of_nothing_is_zero(shapes, is_causal):
    """Without keys there is nothing to average, and the answer is zero, as for a blind
    query; without queries there is no answer."""
    arrays = [np.ones(shape) for shape in shapes]
    out = ops.scaled_dot_product_attention(*arrays, is_causal=is_causal)
    assert out.shape == (*shapes[0][:2], shapes[2][2])
    if not arrays[1].size:
        np.testing.assert_array_equal(out, np.zeros(out.shape))
    weights = ops.attention_weights(*arrays[:2], is_causal=is_causal)
    assert weights.shape == (*shapes[0][:2], shapes[1][1])


@derivative
@without
@causal
def test_scaled_dot_product_attention_of_nothing_has_gradients(shapes, is_causal):
    """They have the shapes that they should, and are finite."""
    attend = ops.scaled_dot_product_attention
    arrays = [np.ones(shape) for shape in shapes]
    ones = np.ones((*shapes[0][:2], shapes[2][2]))
    for array, gradient in zip(
        arrays, pulled_back(attend, ones, *arrays, is_causal=is_causal)
    ):
        assert gradient.shape == array.shape and np.isfinite(gradient).all()


@house
def test_scaled_dot_product_attention_never_holds_its_weights():
    """Of 8 heads of 2048 tokens the weights alone are 128 MB. The definition holds
    them; what the models call needs a tenth of that, and as little on the way back."""
    query, key, value = random_arrays(3)(3, 8, 2048, 4).astype(np.float32)
    weights = 8 * 2048 * 2048 * 4

    def attend():
        return ops.scaled_dot_product_attention(query, key, value)

    def go_back():
        pulled_back(ops.scaled_dot_product_attention, value, query, key, value)

    assert peak_memory(attend) < weights / 10
    assert peak_memory(go_back) < weights / 10
    with kernels.definitions():
        assert peak_memory(attend) > weights


def peak_memory(function):
    """The most bytes that Python and NumPy hold at once while a function runs."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@oracle
def test_scaled_dot_product_attention_equals_torch(compare, case):
    """PyTorch's attention and its gradients, of the additive mask too."""
    compare(
        ops.scaled_dot_product_attention,
        lambda torch: torch.nn.functional.scaled_dot_product_attention,
        *case[0],
        **case[1],
    )


@oracle
def test_scaled_dot_product_attention_of_a_blind_query_equals_torch(compare):
    """PyTorch gives zeros, and zero gradients, to a query that may see nothing."""
    compare(
        ops.scaled_dot_product_attention,
        lambda torch: torch.nn.functional.scaled_dot_product_attention,
        *random_arrays(14)(3, 3, 2),
        BLIND,
    )


@oracle
def test_attention_weights_equals_torch(compare):
    """softmax of the scaled scores, and its gradients by the tape."""
    draw = random_arrays(15)

    def reference(torch):
        return lambda q, k: torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1)

    compare(ops.attention_weights, reference, draw(2, 3, 4), draw(2, 5, 4))


@derivative
def test_scaled_dot_product_attention_derivative(case, block_size):
    """The vjp equals central differences, however the work is cut."""
    arrays, options = case
    check_vjp(ops.scaled_dot_product_attention, *arrays, **options)


@derivative
@pytest.mark.parametrize("additive", [False, True])
def test_scaled_dot_product_attention_teaches_a_blind_query_nothing(additive):
    """Zeros that do not depend on anything have a gradient of zero, not NaN."""
    mask = ops.additive_mask(BLIND, np.float64) if additive else BLIND
    query, key, value = random_arrays(9)(3, 3, 2)

    def loss(query):
        return (ops.scaled_dot_product_attention(query, key, value, mask) ** 2).sum()

    for way in (contextlib.nullcontext(), kernels.definitions()):
        with way:
            d_query = grad(loss)(query)
        np.testing.assert_array_equal(d_query[1], [0, 0])
        assert np.isfinite(d_query).all() and d_query[0].any()


@derivative
def test_scaled_dot_product_attention_derivative_with_dropout():
    """The mask that dropped weights on the way up drops their gradients too."""
    mask = ops.dropout_mask(np.random.default_rng(1), (2, 4, 4), 0.5, np.float64)
    query, key, value = random_arrays(16)(3, 2, 4, 3)

    def dropped(query, key, value):
        return ops.scaled_dot_product_attention(query, key, value, dropout_mask=mask)

    check_vjp(dropped, query, key, value)


@derivative
def test_attention_weights_derivative():
    """The weights themselves can be asked to be different: the tape knows how."""
    draw = random_arrays(18)
    check_vjp(ops.attention_weights, draw(2, 3, 2), draw(2, 4, 2))


@contract
@pytest.mark.parametrize(
    "query, key, value, message",
    [
        ((2, 4), (3, 5), (3, 5), r"key is \(3, 5\), but d = 4 \(from query"),
        ((2, 4), (3, 4), (5, 4), r"value is \(5, 4\), but k = 3 \(from key"),
        ((4,), (3, 4), (3, 4), r"query is \(4,\), but needs at least 2 axes"),
        ((6, 2, 4), (2, 3, 4), (2, 3, 4), "share keys need enable_gqa=True"),
    ],
)
def test_scaled_dot_product_attention_refuses_shapes(query, key, value, message):
    """The message names the axis that disagrees, and where its size came from."""
    arrays = np.zeros(query), np.zeros(key), np.zeros(value)
    with pytest.raises(ShapeError, match=message):
        ops.scaled_dot_product_attention(*arrays)


@contract
def test_scaled_dot_product_attention_refuses_heads_that_do_not_divide():
    """Five query heads cannot share two key heads evenly."""
    query, key = np.zeros((5, 3, 4)), np.zeros((2, 3, 4))
    with pytest.raises(ShapeError, match="no multiple of the heads of key"):
        ops.scaled_dot_product_attention(query, key, key, enable_gqa=True)


@contract
def test_scaled_dot_product_attention_refuses_a_mask_of_another_shape():
    """A mask has a place for every score, or repeats; it is never cut to fit."""
    tokens = np.zeros((2, 3, 4))
    with pytest.raises(ShapeError, match=r"attn_mask is \(3, 5\), but .* \(2, 3, 3\)"):
        ops.scaled_dot_product_attention(tokens, tokens, tokens, np.zeros((3, 5)))


@contract
def test_scaled_dot_product_attention_refuses_a_mask_of_whole_numbers():
    """A tokenizer's ones and zeros would be added to the scores: say which is meant."""
    tokens = np.zeros((3, 4))
    with pytest.raises(ValueError, match="attn_mask is int64: give booleans"):
        ops.scaled_dot_product_attention(
            tokens, tokens, tokens, np.ones((3, 3), np.int64)
        )


@contract
def test_scaled_dot_product_attention_refuses_dropout_without_its_mask():
    """Randomness comes in as a mask, so that the way back sees the same one."""
    tokens = np.zeros((3, 4))
    with pytest.raises(ValueError, match="ops.dropout_mask"):
        ops.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=0.1)
