"""The spec of refvlm/blocks/fusion/prefix.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.blocks.fusion.prefix import pooled_context, prefix_fusion
from refvlm.objectives.language import language_modeling_loss
from refvlm.shapes import ShapeError

from ...spec import assert_close, contract, example, law, oracle, random_arrays

PREFIX, TEXT = random_arrays(1)(2, 3, 4), random_arrays(2)(2, 5, 4)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
LABELS = np.array([[9, 8, 7, 6, 5], [4, 3, -100, -100, -100]])


@example
def test_prefix_fusion_says_three_times_that_a_picture_is_in_front():
    """In the embeddings, the mask and the labels."""
    fused = prefix_fusion(PREFIX, TEXT, MASK, LABELS)
    np.testing.assert_array_equal(fused.embeddings[:, :3], PREFIX)
    np.testing.assert_array_equal(fused.embeddings[:, 3:], TEXT)
    assert fused.attention_mask.astype(int).tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 0, 0, 0],
    ]
    assert fused.labels.tolist()[1] == [-100, -100, -100, 4, 3, -100, -100, -100]
    assert prefix_fusion(PREFIX, TEXT)[1:] == (None, None)


@law
def test_prefix_fusion_asks_the_picture_for_the_first_word_only():
    """The loss over all of it is that of the text's tokens, the first one asked of the
    last token of the picture."""
    fused = prefix_fusion(PREFIX, TEXT, MASK, LABELS)
    logits = random_arrays(3)(2, 8, 11)
    loss = language_modeling_loss(logits, fused.labels)
    spoilt = logits.copy()
    spoilt[:, :2] = 99 * random_arrays(4)(2, 2, 11)
    assert_close(language_modeling_loss(spoilt, fused.labels), loss)
    said = ops.log_softmax(logits)
    wanted = [said[0, 2 + i, LABELS[0, i]] for i in range(5)]
    wanted += [said[1, 2 + i, LABELS[1, i]] for i in range(2)]
    assert_close(loss, -np.mean(wanted))


@law
def test_pooled_context_does_not_know_the_padding():
    """A question means the same beside a longer one; the plain mean, as published, it
    does not."""
    fused = prefix_fusion(PREFIX, TEXT, MASK)
    short = prefix_fusion(PREFIX[1:], TEXT[1:, :2])
    assert_close(pooled_context(fused)[1:], pooled_context(short))
    other = prefix_fusion(PREFIX, np.where(MASK[..., None], TEXT, 50.0), MASK)
    assert_close(pooled_context(other), pooled_context(fused))
    assert np.abs(other.embeddings.mean(1) - fused.embeddings.mean(1)).max() > 1


@oracle
def test_prefix_fusion_equals_torch(compare):
    """torch.cat, and the masked mean of it."""

    def ours(prefix, text):
        return pooled_context(prefix_fusion(prefix, text, MASK))

    def reference(torch):
        def pooled(prefix, text):
            ones = torch.ones(2, 3, dtype=torch.long)
            mask = torch.cat([ones, torch.from_numpy(MASK.copy())], 1)[..., None]
            fused = torch.cat([prefix, text], dim=1)
            return (fused * mask).sum(1) / mask.sum(1)

        return pooled

    compare(ours, reference, PREFIX, TEXT)


@contract
def test_prefix_fusion_refuses_a_mask_that_counts_the_picture():
    """Masks and labels are the text's: the picture's part is added here."""
    with pytest.raises(ShapeError, match="prefix_fusion"):
        prefix_fusion(PREFIX, TEXT, np.ones((2, 8), bool))
    with pytest.raises(ShapeError, match="prefix_fusion"):
        prefix_fusion(PREFIX, TEXT[..., :3])
    with pytest.raises(ValueError, match="a mask keeps nothing"):
        fused = prefix_fusion(PREFIX[:, :0], TEXT, np.zeros((2, 5), bool))
        pooled_context(fused)
