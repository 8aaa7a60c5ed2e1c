"""The spec of refvlm/blocks/bert.py, but for transformers: test_qformer.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.blocks.bert import (
    attention_shapes,
    bert_attention,
    bert_feed_forward,
    feed_forward_shapes,
    keys_and_values,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, random_arrays
from ..weights import random_weights

HEADS, EPS = 3, 1e-12
LOOKS = Weights(random_weights(attention_shapes(6, 4), seed=1))
READS = Weights(random_weights(attention_shapes(6, 6), seed=2))
draw = random_arrays(3)
TOKENS, PICTURE = draw(2, 5, 6), draw(2, 7, 4)


@example
def test_bert_feed_forward_norms_the_sum():
    """With nothing to add, it is the LayerNorm of what it read: mean 0, variance 1."""
    weights = Weights(random_weights(feed_forward_shapes(2, 4, "_query")))
    wide, narrow = weights.scope("intermediate_query"), weights.scope("output_query")
    silent = narrow.replace(
        {
            "dense.weight": np.zeros((2, 4)),
            "dense.bias": np.zeros(2),
            "LayerNorm.weight": np.ones(2),
            "LayerNorm.bias": np.zeros(2),
        }
    )
    out = bert_feed_forward(np.array([[[3.0, 7.0]]]), wide, silent, EPS)
    np.testing.assert_allclose(out, [[[-1, 1]]])


@law
def test_bert_attention_with_known_keys_is_the_same():
    """Keys and values do not depend on who asks: made once, they serve every token."""
    together = bert_attention(TOKENS, LOOKS, HEADS, EPS, PICTURE)
    known = keys_and_values(PICTURE, LOOKS.scope("self"), HEADS)
    for t in range(5):
        one = bert_attention(TOKENS[:, t : t + 1], LOOKS, HEADS, EPS, known=known)
        assert_close(one, together[:, t : t + 1])


@law
def test_bert_attention_asks_itself_without_a_context():
    """A context of its own tokens changes nothing."""
    alone = bert_attention(TOKENS, READS, HEADS, EPS)
    assert_close(bert_attention(TOKENS, READS, HEADS, EPS, TOKENS), alone)


@law
def test_bert_attention_is_causal_on_request():
    """A later token changes no earlier one."""
    changed = TOKENS.copy()
    changed[:, 3:] += 1
    before = bert_attention(TOKENS, READS, HEADS, EPS, is_causal=True)
    after = bert_attention(changed, READS, HEADS, EPS, is_causal=True)
    assert_close(after[:, :3], before[:, :3])
    assert np.abs(after - before)[:, 3:].max() > 0.1


@law
def test_bert_attention_watches_what_it_uses():
    """The weights that it collects average the values into what is added."""
    watch = []
    bert_attention(TOKENS, LOOKS, HEADS, EPS, PICTURE, watch=watch)
    queries = ops.linear(TOKENS, LOOKS["self.query.weight"], LOOKS["self.query.bias"])
    queries = queries.reshape(2, 5, HEADS, 2).swapaxes(1, 2)
    keys = keys_and_values(PICTURE, LOOKS.scope("self"), HEADS).keys
    assert_close(watch[0], ops.softmax(queries @ keys.mT / np.sqrt(2.0)))


@law
def test_bert_attention_ends_in_a_norm():
    """Post-norm: what a layer hands on has the mean and the spread that it learnt."""
    out = bert_attention(TOKENS * 100, READS, HEADS, EPS)
    scale, shift = (READS[f"output.LayerNorm.{name}"] for name in ("weight", "bias"))
    normal = (out - shift) / scale
    np.testing.assert_allclose(normal.mean(-1), 0, atol=1e-9)
    assert_close(normal.std(-1), np.ones((2, 5)), 1e-9)


@law
def test_bert_adds_eps_to_the_variance():
    """With nothing to add, features of -1e-3 and 1e-3 have a variance of 1e-6: a
    millionth more makes it double."""
    silent = {
        "output.dense.weight": np.zeros((6, 6)),
        "output.dense.bias": np.zeros(6),
        "output.LayerNorm.weight": np.ones(6),
        "output.LayerNorm.bias": np.zeros(6),
    }
    small = np.tile([-1e-3, 1e-3], (2, 5, 3))
    out = bert_attention(small, READS.replace(silent), HEADS, 1e-6)
    assert_close(out, np.sign(small) / np.sqrt(2.0))
    wide = Weights(random_weights(feed_forward_shapes(6, 6))).scope("intermediate")
    narrow = Weights(silent).scope("output")
    assert_close(bert_feed_forward(small, wide, narrow, 1e-6), out)


@contract
def test_bert_attention_refuses_heads_that_do_not_fit():
    """Six features are no four heads."""
    with pytest.raises(ShapeError, match="6 features do not split into 4 heads"):
        bert_attention(TOKENS, READS, 4, EPS)
    with pytest.raises(ShapeError, match="bert_attention: context"):
        bert_attention(TOKENS, LOOKS, HEADS, EPS, PICTURE[0])
