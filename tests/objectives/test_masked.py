"""The spec of refvlm/objectives/masked.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm.objectives import masked
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)

MASK, VOCABULARY = 50, 60
texts = hnp.arrays(np.int64, (3, 8), elements=st.integers(0, 49))
LABELS = np.array([[-100, 3, -100], [0, -100, 4]])


def generator(seed=0):
    return np.random.default_rng(seed)


def fates(seen, ids, chosen):
    """Of the chosen tokens, the shares that are masked, replaced, and left."""
    masked = (seen == MASK)[chosen].mean()
    same = (seen == ids)[chosen].mean()
    return np.array([masked, 1 - masked - same, same])


@example
def test_mask_tokens_chooses_all_or_none():
    """Probability 1 asks for every token, probability 0 for none."""
    ids = np.arange(20)
    _, labels = masked.mask_tokens(ids, generator(), MASK, VOCABULARY, probability=1.0)
    np.testing.assert_array_equal(labels, ids)
    seen, labels = masked.mask_tokens(
        ids, generator(), MASK, VOCABULARY, probability=0.0
    )
    np.testing.assert_array_equal(seen, ids)
    assert (labels == -100).all()


@example
def test_masked_language_modeling_loss_does_not_shift():
    """A model that knows the covered token pays nothing for it, where it stands."""
    sure = 1000.0 * np.eye(4)[[[0, 3, 1]]]
    loss = masked.masked_language_modeling_loss(sure, np.array([[-100, 3, -100]]))
    assert loss == 0


@law
@given(texts, st.integers(0, 100))
def test_mask_tokens_changes_only_what_it_asks_for(ids, seed):
    """Where nothing is asked, the text is as it was; where it is, the label is true."""
    before = ids.copy()
    seen, labels = masked.mask_tokens(ids, generator(seed), MASK, VOCABULARY, 0.5)
    asked = labels != -100
    np.testing.assert_array_equal(seen[~asked], ids[~asked])
    np.testing.assert_array_equal(labels[asked], ids[asked])
    np.testing.assert_array_equal(ids, before, "the text was written to")
    assert seen.dtype == labels.dtype == ids.dtype


@law
@given(texts, st.integers(0, 100))
def test_mask_tokens_leaves_special_tokens_alone(ids, seed):
    """Frames, padding and pictures are not words to be guessed."""
    special = (0, 1, 2)
    _, labels = masked.mask_tokens(ids, generator(seed), MASK, VOCABULARY, 1.0, special)
    np.testing.assert_array_equal(labels == -100, np.isin(ids, special))


@law
def test_mask_tokens_chooses_fifteen_in_a_hundred():
    """Of 100,000 tokens, 15,000 within five standard deviations (113 each)."""
    _, labels = masked.mask_tokens(
        np.zeros(100_000, int), generator(), MASK, VOCABULARY
    )
    assert abs((labels != -100).sum() - 15_000) < 5 * 113


@law
def test_mask_tokens_follows_the_rule_of_eighty_ten_ten():
    """Masked, replaced, left. Of the replacements, one in 60 is the token itself, and
    one in 60 the mask."""
    ids = np.full(100_000, 7)
    seen, labels = masked.mask_tokens(ids, generator(1), MASK, VOCABULARY, 1.0)
    hidden, replaced, same = fates(seen, ids, labels != -100)
    # Five standard deviations of such a share are 0.0063 and 0.0047.
    assert abs(hidden - (0.8 + 0.1 / 60)) < 0.0063
    assert abs(replaced - 0.1 * 58 / 60) < 0.0047
    assert abs(same - (0.1 + 0.1 / 60)) < 0.0047


@law
def test_mask_tokens_replaces_by_any_token_alike():
    """The replacements are uniform over the vocabulary: 60 kinds, about 166 each."""
    ids = np.full(100_000, 60)  # no token of the vocabulary
    seen, _ = masked.mask_tokens(ids, generator(2), 61, VOCABULARY, 1.0)
    counts = np.bincount(seen[seen < 60], minlength=60)
    assert abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())


@oracle
def test_mask_tokens_is_as_often_as_transformers(compare):
    """The shares of DataCollatorForLanguageModeling over 60,000 tokens, within 0.01."""
    ids = np.random.RandomState(3).randint(0, 50, size=60_000)

    def theirs(torch):
        import_torchvision()
        from tokenizers import Tokenizer, models
        from transformers import (
            DataCollatorForLanguageModeling,
            PreTrainedTokenizerFast,
        )

        words = {f"w{i}": i for i in range(VOCABULARY)}
        words = {("[MASK]" if i == MASK else w): i for w, i in words.items()}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(models.WordLevel(words)), mask_token="[MASK]"
        )
        collator = DataCollatorForLanguageModeling(tokenizer, seed=0)
        collator.generator = torch.Generator().manual_seed(0)
        seen, labels = collator.torch_mask_tokens(
            torch.from_numpy(ids.copy())[None],
            special_tokens_mask=torch.zeros(1, len(ids), dtype=torch.bool),
        )
        seen, labels = seen[0].numpy(), labels[0].numpy()
        chosen = labels != -100
        return {"rate": chosen.mean(), "fates": fates(seen, ids, chosen)}

    answers = compare.answers(
        lambda torch: {k: np.asarray(v) for k, v in theirs(torch).items()}, ids
    )
    seen, labels = masked.mask_tokens(ids, generator(4), MASK, VOCABULARY)
    chosen = labels != -100
    assert abs(chosen.mean() - answers["rate"]) < 0.01
    assert abs(fates(seen, ids, chosen) - answers["fates"]).max() < 0.02


@oracle
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_masked_language_modeling_loss_equals_torch(compare, reduction):
    """PyTorch's cross-entropy over the masked positions, and its gradient."""
    compare(
        masked.masked_language_modeling_loss,
        lambda torch: (
            lambda logits, labels, reduction: torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), labels, reduction=reduction
            )
        ),
        random_arrays(5)(2, 3, 5),
        LABELS,
        reduction=reduction,
    )


@derivative
def test_masked_language_modeling_loss_derivative():
    """In the logits of the masked positions; the others get nothing."""
    check_vjp(masked.masked_language_modeling_loss, random_arrays(6)(2, 3, 5), LABELS)


@contract
def test_mask_tokens_refuses_what_is_no_probability():
    """15 is meant as 15 %, and would choose everything."""
    with pytest.raises(ValueError, match="15 is not a probability"):
        masked.mask_tokens(np.arange(4), generator(), MASK, VOCABULARY, 15)


@contract
def test_masked_language_modeling_loss_refuses_other_shapes():
    """Labels and logits stand side by side."""
    with pytest.raises(ShapeError, match=r"\(2, 3, 5\) and labels \(2, 4\)"):
        masked.masked_language_modeling_loss(np.zeros((2, 3, 5)), np.zeros((2, 4), int))


@contract
@pytest.mark.parametrize("ids, mask_id", [(np.uint16, 9), (np.int8, 300)])
def test_mask_tokens_refuses_ids_too_narrow_for_its_labels(ids, mask_id):
    """-100 in uint16 would be the token 65436."""
    with pytest.raises(ValueError, match="give ids as np.int64"):
        masked.mask_tokens(
            np.arange(4, dtype=ids), np.random.default_rng(0), mask_id, 10
        )
