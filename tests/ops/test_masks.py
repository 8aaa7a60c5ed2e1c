"""The spec of refvlm/ops/masks.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.shapes import ShapeError

from ..spec import assert_close, call, contract, example, law, oracle, random_arrays

CALLS = {
    "causal_mask": [call(5), call(3, 7, offset=2), call(1, offset=4), call(0)],
    "padding_mask": [call([3, 0, 5]), call(np.array([2, 1]), size=4)],
    "prefix_mask": [
        call(np.array([[1, 0, 1], [1, 1, 0]]), 2),
        call(np.array([1.0, 0.0]), prefix=0),
    ],
    "additive_mask": [
        call(np.array([[True, False, True]])),
        call(np.array([False, True]), dtype=np.float64),
    ],
    "boolean_mask": [call(np.array([[0.0, -np.inf, 0.0]]))],
    "combine_masks": [
        call(np.tri(3, dtype=bool), None, np.array([True, False, True])),
        call(np.array([0.5, -2.0, 1.0]), np.tri(3, dtype=bool)),
    ],
}

booleans = st.lists(st.booleans(), min_size=1, max_size=6).map(np.array)


@example
def test_causal_mask_of_three():
    """A staircase: each token sees itself and what came before."""
    np.testing.assert_array_equal(
        ops.causal_mask(3), [[True, False, False], [True, True, False], [True] * 3]
    )


@example
def test_causal_mask_of_one_new_token():
    """After four cached tokens the fifth sees all five."""
    np.testing.assert_array_equal(ops.causal_mask(1, offset=4), [[True] * 5])


@example
def test_padding_mask_of_two_sentences():
    """One token and three tokens, padded to the same length."""
    np.testing.assert_array_equal(
        ops.padding_mask([1, 3]), [[True, False, False], [True, True, True]]
    )


@example
def test_prefix_mask_puts_the_picture_first():
    """Two picture tokens, always seen, before a text with one padded place."""
    text = np.array([[1, 1, 0]])
    np.testing.assert_array_equal(
        ops.prefix_mask(text, 2), [[True, True, True, True, False]]
    )


@example
def test_additive_mask_of_a_pair():
    """May be seen: add nothing. May not: add minus infinity."""
    additive = ops.additive_mask(np.array([True, False]))
    np.testing.assert_array_equal(additive, np.array([0, -np.inf], np.float32))


@law
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_causal_mask_ends_where_the_query_stands(past, queries, more):
    """Query i sees exactly the keys up to i + offset: that many, if there are as many,
    and always the first ones."""
    keys = past + more
    mask = ops.causal_mask(queries, keys, offset=past)
    assert mask.shape == (queries, keys)
    counts = np.minimum(past + 1 + np.arange(queries), keys)
    np.testing.assert_array_equal(mask.sum(axis=-1), counts)
    assert (mask[:, :-1] >= mask[:, 1:]).all()


@law
@given(st.integers(0, 5), st.integers(1, 5))
def test_causal_mask_with_an_offset_is_the_end_of_a_longer_one(past, new):
    """New tokens after a cache see what they would have seen without it."""
    whole = ops.causal_mask(past + new)
    np.testing.assert_array_equal(ops.causal_mask(new, offset=past), whole[past:])


@law
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 3))
def test_padding_mask_counts_to_the_lengths(lengths, spare):
    """Each row holds as many as its sequence is long, all at the front."""
    mask = ops.padding_mask(lengths, max(lengths) + spare)
    np.testing.assert_array_equal(mask.sum(axis=-1), lengths)
    assert (mask[:, :-1] >= mask[:, 1:]).all()


@law
def test_padding_mask_makes_padding_invisible():
    """Whatever stands in the padding, attention gives what the short sequence gives."""
    query, key, value = random_arrays(1)(3, 1, 5, 2)
    mask = ops.padding_mask([3], 5)[:, None, :]
    padded = ops.scaled_dot_product_attention(query, key, value, mask)
    short = ops.scaled_dot_product_attention(query, key[:, :3], value[:, :3])
    assert_close(padded, short)


@law
@given(booleans, st.integers(0, 4))
def test_prefix_mask_keeps_the_text_behind_the_picture(text, prefix):
    """The prefix is all true, and the text's own mask follows unchanged."""
    mask = ops.prefix_mask(text, prefix)
    assert mask[:prefix].all()
    np.testing.assert_array_equal(mask[prefix:], text)


@law
@given(booleans)
def test_additive_mask_and_boolean_mask_are_inverse(mask):
    """There and back again, in every dtype."""
    for dtype in (np.float16, np.float32, np.float64):
        additive = ops.additive_mask(mask, dtype)
        assert additive.dtype == dtype
        np.testing.assert_array_equal(ops.boolean_mask(additive), mask)


@example
def test_boolean_mask_of_a_row():
    """0 adds nothing and allows; minus infinity forbids."""
    mask = ops.boolean_mask(np.array([0.0, -np.inf, 0.0]))
    np.testing.assert_array_equal(mask, [True, False, True])


@example
def test_combine_masks_of_padding_and_the_future():
    """Two tokens of which the second is padding: both may look at the first alone."""
    both = ops.combine_masks(ops.causal_mask(2), ops.padding_mask([1], 2))
    np.testing.assert_array_equal(both, [[True, False], [True, False]])


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_boolean_mask_reads_the_lowest_number_as_hidden(dtype):
    """Some libraries write the lowest finite number where they mean minus infinity:
    the lowest of the type in which the mask is stored."""
    lowest = np.array([0.0, np.finfo(dtype).min], dtype)
    np.testing.assert_array_equal(ops.boolean_mask(lowest), [True, False])


@law
@given(booleans, booleans)
def test_combine_masks_allows_what_every_mask_allows(first, second):
    """Booleans by and; one additive mask among them and the sum says the same."""
    second = np.resize(second, first.shape)
    both = ops.combine_masks(first, None, second)
    np.testing.assert_array_equal(both, first & second)
    mixed = ops.combine_masks(first, ops.additive_mask(second, np.float64))
    assert mixed.dtype == np.float64
    np.testing.assert_array_equal(ops.boolean_mask(mixed), first & second)


@law
def test_combine_masks_keeps_a_bias():
    """A bias stays where one may look; where one may not, minus infinity wins."""
    bias = np.array([0.5, -2.0], np.float32)
    combined = ops.combine_masks(bias, np.array([True, False]))
    np.testing.assert_array_equal(combined, np.array([0.5, -np.inf], np.float32))


@law
def test_combine_masks_of_nothing_is_no_mask():
    """None stands for: everything may be seen."""
    assert ops.combine_masks(None, None) is None


@oracle
def test_causal_mask_equals_torch(compare):
    """torch's generate_square_subsequent_mask, additive."""

    def reference(torch):
        return lambda length: torch.nn.Transformer.generate_square_subsequent_mask(
            length, dtype=torch.float64
        )

    def ours(length):
        return ops.additive_mask(ops.causal_mask(length), np.float64)

    compare(ours, reference, 5, gradients=False)


@contract
@pytest.mark.parametrize("bad", [-1, 2.5, "3"])
def test_causal_mask_refuses_what_is_no_count(bad):
    """So many queries: a whole number, not negative."""
    with pytest.raises(ValueError, match="queries must be a whole number"):
        ops.causal_mask(bad, 3)


@contract
@pytest.mark.parametrize(
    "lengths, size, message",
    [
        ([4], 3, "must lie in 0 to 3"),
        ([-1], 3, "must lie in 0 to 3"),
        ([1.5], None, "one whole number a sequence"),
        ([[1, 2]], None, "one whole number a sequence"),
        ([], None, "one whole number a sequence"),
    ],
)
def test_padding_mask_refuses_lengths(lengths, size, message):
    """A length that does not fit, or is no length, is named."""
    with pytest.raises(ValueError, match=message):
        ops.padding_mask(lengths, size)


@contract
def test_prefix_mask_refuses_other_than_zeros_and_ones():
    """A tokenizer's mask holds 1 for a token and 0 for padding, and nothing else."""
    with pytest.raises(ValueError, match="holds 0 and 1, not"):
        ops.prefix_mask(np.array([1, 7]), 2)


@contract
def test_boolean_mask_refuses_a_bias():
    """A half-hidden key cannot be said with true and false."""
    with pytest.raises(ValueError, match="holds a bias"):
        ops.boolean_mask(np.array([0.0, -3.0]))


@contract
def test_additive_mask_and_boolean_mask_refuse_each_others_input():
    """Which of the two a mask is, its dtype says."""
    with pytest.raises(ValueError, match="holds float64, but needs booleans"):
        ops.additive_mask(np.zeros(2))
    with pytest.raises(ValueError, match="holds bool, but needs floating"):
        ops.boolean_mask(np.ones(2, bool))


@contract
def test_combine_masks_refuses_shapes_that_do_not_broadcast():
    """The message lists the shapes it was given."""
    with pytest.raises(ShapeError, match=r"\(3, 3\), \(2, 4\) do not broadcast"):
        ops.combine_masks(ops.causal_mask(3), ops.padding_mask([4, 4]))
