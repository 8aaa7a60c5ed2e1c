"""The spec of refvlm/objectives/contrastive.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import grad
from refvlm.objectives import contrastive
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
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

lengths = st.lists(st.floats(0.1, 10), min_size=4, max_size=4)


def pairs(seed):
    draw = random_arrays(seed)
    return draw(4, 6), draw(4, 6)


@example
def test_info_nce_of_perfect_pairs():
    """Cosines 1 and 0 at temperature 1: the right one has e/(e + 1)."""
    loss = contrastive.info_nce(np.eye(2), np.eye(2), temperature=1.0)
    assert_close(loss, np.log(1 + np.exp(-1.0)))


@example
def test_info_nce_of_texts_that_are_all_the_same():
    """Three equal texts: no picture can tell them apart, and the choice costs log 3."""
    texts = np.ones((3, 4))
    loss = contrastive.info_nce(random_arrays(1)(3, 4), texts)
    assert abs(loss - math.log(3)) < 1e-12


@example
def test_clip_loss_asks_both_ways():
    """Pictures (1, 0) twice, texts (1, 0) and (0, 1), temperature 1: the first picture
    finds its text with e/(e + 1), the second with 1/(e + 1), each text by a guess."""
    images = np.array([[1.0, 0.0], [1.0, 0.0]])
    loss = contrastive.clip_loss(images, np.eye(2), temperature=1.0)
    first, second = np.log(1 + np.exp(-1.0)), np.log(1 + np.e)
    assert_close(loss, ((first + second) / 2 + np.log(2)) / 2)


@example
def test_itc_loss_among_equals():
    """One right and three wrong answers, all as similar: log 4."""
    loss = contrastive.itc_loss(np.zeros(1), np.zeros((1, 3)))
    assert_close(loss, np.log(4.0))


@example
def test_itm_loss_of_a_coin():
    """A score of 0 says nothing about the pair: log 2, whatever the truth."""
    assert_close(contrastive.itm_loss(np.zeros(2), np.array([1, 0])), np.log(2.0))


@example
def test_logit_scale_starts_at_one_over_seven_hundredths():
    """The first temperature is 0.07, so cosines are multiplied by 14.3."""
    first = contrastive.logit_scale(np.array(contrastive.FIRST_SCALE))
    assert_close(first, np.float64(1 / 0.07))


@example
def test_clamp_logit_scale_ends_at_a_hundred():
    """Below the border nothing happens; beyond it the scale is 100."""
    below, beyond = np.array(2.0), np.array(7.0)
    assert contrastive.clamp_logit_scale(below) == 2.0
    scale = contrastive.logit_scale(contrastive.clamp_logit_scale(beyond))
    assert_close(scale, np.float64(100))


@example
def test_mine_hard_negatives_takes_the_most_similar_mistake():
    """Row 0 is most like column 2, apart from itself."""
    similarities = np.array([[9.0, 1.0, 2.0], [0.0, 9.0, 0.0], [5.0, 4.0, 9.0]])
    mined = contrastive.mine_hard_negatives(similarities)
    np.testing.assert_array_equal(mined, [[2], [0], [0]])


@law
@given(st.integers(0, 50), lengths)
def test_clip_loss_looks_at_directions_only(seed, sizes):
    """Make any embedding longer: nothing changes."""
    images, texts = pairs(seed)
    longer = contrastive.clip_loss(images * np.array(sizes)[:, None], texts)
    assert abs(longer - contrastive.clip_loss(images, texts)) < 1e-10


@law
@given(st.integers(0, 50), lengths, lengths)
def test_info_nce_does_not_count_lengths(seed, sizes, others):
    """A cosine: make queries or candidates longer or shorter, and nothing changes."""
    queries, candidates = pairs(seed)
    loss = contrastive.info_nce(queries, candidates)
    longer = queries * np.array(sizes)[:, None], candidates * np.array(others)[:, None]
    for pair in ((longer[0], candidates), (queries, longer[1]), longer):
        changed = contrastive.info_nce(*pair)
        assert abs(changed - loss) < 1e-10, "divide each embedding by its length first"


@law
@given(st.integers(0, 50))
def test_clip_loss_is_symmetric(seed):
    """Pictures and texts may change places; it is the mean of both ways."""
    images, texts = pairs(seed)
    loss = contrastive.clip_loss(images, texts)
    assert abs(loss - contrastive.clip_loss(texts, images)) < 1e-12
    ways = contrastive.info_nce(images, texts) + contrastive.info_nce(texts, images)
    assert abs(loss - ways / 2) < 1e-12


@law
@given(st.integers(0, 50), st.permutations(range(4)))
def test_clip_loss_does_not_look_at_places(seed, order):
    """Shuffle the pairs and the loss is the same; shuffle one side and it is not."""
    images, texts = pairs(seed)
    order = list(order)
    loss = contrastive.clip_loss(images, texts)
    assert abs(contrastive.clip_loss(images[order], texts[order]) - loss) < 1e-10


@law
def test_info_nce_at_a_high_temperature_is_a_guess():
    """As tau grows, all candidates become alike, and the loss goes to log b."""
    images, texts = pairs(3)
    assert abs(contrastive.info_nce(images, texts, 1e9) - math.log(4)) < 1e-8


@law
def test_info_nce_has_no_floor_for_the_temperature():
    """Once all pairs are right, a lower temperature is always better: hence a clamp."""
    images, texts = np.eye(4), np.eye(4)
    taus = (1.0, 0.1, 0.01)
    losses = [contrastive.info_nce(images, texts, tau) for tau in taus]
    assert losses[0] > losses[1] > losses[2]


@law
@given(st.integers(0, 50))
def test_itc_loss_with_all_others_is_info_nce(seed):
    """Take everything but the diagonal as the wrong answers."""
    images, texts = pairs(seed)
    similarities = ops.cosine_similarity_matrix(images, texts)
    wrong = similarities[~np.eye(4, dtype=bool)].reshape(4, 3)
    loss = contrastive.itc_loss(np.diag(similarities), wrong)
    assert abs(loss - contrastive.info_nce(images, texts)) < 1e-12


@law
@given(tensors((5, 2)))
def test_itm_loss_agrees_between_one_logit_and_two(logits):
    """Only the difference of the two scores matters, and that is the one."""
    matches = np.array([1, 0, 0, 1, 1])
    one = contrastive.itm_loss(logits[:, 1] - logits[:, 0], matches)
    assert abs(contrastive.itm_loss(logits, matches) - one) < 1e-12
    assert contrastive.itm_loss(logits, matches == 1) == contrastive.itm_loss(
        logits, matches
    )


@law
def test_clip_loss_and_others_keep_the_dtype():
    """float16 in, float16 out; and nothing that came in was written to."""
    images, texts = pairs(5)
    check_dtype(contrastive.info_nce, images, texts)
    check_dtype(contrastive.clip_loss, images, texts)
    check_dtype(contrastive.itc_loss, images[:, 0], texts)
    check_dtype(contrastive.itm_loss, images[:, 0], np.array([0, 1, 0, 1]))
    check_dtype(contrastive.logit_scale, np.array(2.0))
    check_dtype(contrastive.clamp_logit_scale, np.array(7.0))


@law
@given(st.integers(0, 50), st.integers(1, 4), st.booleans())
def test_mine_hard_negatives_never_returns_the_right_one(seed, k, sampled):
    """k different columns for each row, and never its own."""
    rng = np.random.default_rng(seed) if sampled else None
    similarities = random_arrays(seed)(5, 5) + 10 * np.eye(5)
    mined = contrastive.mine_hard_negatives(similarities, rng, k)
    assert mined.shape == (5, k)
    for row, columns in enumerate(mined.tolist()):
        assert row not in columns
        assert len(set(columns)) == k


@law
def test_mine_hard_negatives_spares_other_right_answers():
    """Two pictures with the same text: neither is a mistake for the other."""
    similarities = np.ones((3, 3))
    right = np.eye(3, dtype=bool)
    right[0, 1] = right[1, 0] = True
    mined = contrastive.mine_hard_negatives(similarities, right=right)
    np.testing.assert_array_equal(mined[:2], [[2], [2]])


SCORES = np.array([0.0, 1.0, 2.0, 0.5])


def draws(k, rounds):
    """k columns of SCORES but the first, drawn 40 times at once, so many rounds."""
    rng, similarities = np.random.default_rng(0), np.zeros((40, 40))
    similarities[:, :4] = SCORES
    right = np.ones((40, 40), bool)
    right[:, 1:4] = False
    mined = [
        contrastive.mine_hard_negatives(similarities, rng, k, right)
        for _ in range(rounds)
    ]
    return np.concatenate(mined)


@law
def test_mine_hard_negatives_draws_in_proportion_to_the_softmax():
    """20,000 draws of one of three: the shares are their softmax, within 0.02."""
    shares = np.bincount(draws(k=1, rounds=500).ravel(), minlength=4) / 20_000
    assert np.abs(shares[1:] - ops.softmax(SCORES[1:])).max() < 0.02
    assert shares[0] == 0, "the first column was right, and not to be drawn"


@law
def test_mine_hard_negatives_draws_without_putting_back():
    """Of two draws, the second is the softmax over what the first left."""
    p = ops.softmax(SCORES[1:])
    share = (draws(k=2, rounds=500) == [2, 1]).all(axis=1).mean()
    assert abs(share - p[1] * p[0] / (1 - p[1])) < 0.02


@oracle
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_info_nce_equals_torch(compare, temperature):
    """PyTorch's cross_entropy of the normalised products, and its gradients."""

    def theirs(torch):
        def function(images, texts):
            images = torch.nn.functional.normalize(images, dim=-1)
            texts = torch.nn.functional.normalize(texts, dim=-1)
            return torch.nn.functional.cross_entropy(
                images @ texts.T / temperature, torch.arange(4)
            )

        return function

    compare(
        lambda images, texts: contrastive.info_nce(images, texts, temperature),
        theirs,
        *pairs(6),
    )


@oracle
def test_clip_loss_equals_transformers(compare):
    """CLIPModel's loss, with a learnt scale; gradients in all three."""

    def theirs(torch):
        import_torchvision()
        from transformers.models.clip.modeling_clip import image_text_contrastive_loss

        def function(images, texts, t):
            images = images / images.norm(dim=-1, keepdim=True)
            texts = texts / texts.norm(dim=-1, keepdim=True)
            return image_text_contrastive_loss(texts @ images.T * t.exp())

        return function

    compare(
        lambda images, texts, t: contrastive.clip_loss(
            images, texts, 1 / contrastive.logit_scale(t)
        ),
        theirs,
        *pairs(7),
        np.array(2.5),
    )


@oracle
def test_itc_loss_equals_torch(compare):
    """PyTorch's cross_entropy of [positive, negatives], and its gradients."""
    draw = random_arrays(8)
    compare(
        contrastive.itc_loss,
        lambda torch: (
            lambda positive, negatives, temperature: torch.nn.functional.cross_entropy(
                torch.cat([positive[:, None], negatives], dim=1) / temperature,
                torch.zeros(4, dtype=torch.long),
            )
        ),
        draw(4),
        draw(4, 3),
        temperature=0.5,
    )


@oracle
@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_itm_loss_equals_torch(compare, shape):
    """Binary cross-entropy for one logit, cross-entropy for two."""
    matches = np.array([1, 0, 0, 1, 1])

    def theirs(torch):
        target = torch.from_numpy(matches)
        if len(shape) == 2:
            return lambda x: torch.nn.functional.cross_entropy(x, target)
        return lambda x: torch.nn.functional.binary_cross_entropy_with_logits(
            x, target.to(x.dtype)
        )

    compare(
        lambda logits: contrastive.itm_loss(logits, matches),
        theirs,
        random_arrays(9)(*shape),
    )


@oracle
def test_clamp_logit_scale_equals_torch(compare):
    """torch.clamp at log 100."""
    compare(
        contrastive.clamp_logit_scale,
        lambda torch: lambda t: torch.clamp(t, max=math.log(100)),
        np.array([1.0, 4.5, 5.0]),
        gradients=False,
    )


@oracle
def test_mine_hard_negatives_is_as_often_as_torch(compare):
    """The shares of torch.multinomial over 20,000 draws, within 0.03."""

    def theirs(torch):
        weights = torch.from_numpy(np.exp(SCORES) * (np.arange(4) > 0))
        chosen = torch.multinomial(
            weights,
            20_000,
            replacement=True,
            generator=torch.Generator().manual_seed(0),
        )
        return {"shares": np.bincount(chosen.numpy(), minlength=4) / 20_000}

    answers = compare.answers(theirs, SCORES)
    shares = np.bincount(draws(k=1, rounds=500).ravel(), minlength=4) / 20_000
    assert np.abs(shares - answers["shares"]).max() < 0.03


@derivative
def test_info_nce_derivative():
    """In queries and candidates."""
    check_vjp(contrastive.info_nce, *pairs(10), temperature=0.5)


@derivative
def test_clip_loss_derivative():
    """In pictures, texts and temperature, all three learnt."""
    check_vjp(contrastive.clip_loss, *pairs(11), np.array(0.3))


@derivative
def test_clip_loss_derivative_is_across_the_embedding():
    """The loss sees no length, so its gradient has no part along an embedding."""
    images, texts = pairs(12)
    gradient = grad(contrastive.clip_loss)(images, texts)
    assert np.abs((gradient * images).sum(axis=1)).max() < 1e-12


@derivative
def test_itc_loss_derivative():
    """Up for the right answer, down for the wrong ones, by as much in all."""
    draw = random_arrays(13)
    check_vjp(contrastive.itc_loss, draw(4), draw(4, 3), temperature=0.5)


@derivative
@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_itm_loss_derivative(shape):
    """In one logit and in two."""
    matches = np.array([1, 0, 0, 1, 1])
    check_vjp(
        lambda logits: contrastive.itm_loss(logits, matches), random_arrays(14)(*shape)
    )


@contract
def test_clip_loss_refuses_unequal_batches():
    """Four pictures and three texts are no pairs."""
    for loss in (contrastive.clip_loss, contrastive.info_nce):
        with pytest.raises(ShapeError, match=r"\(4, 6\) against \(3, 6\)"):
            loss(np.ones((4, 6)), np.ones((3, 6)))


@contract
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_clip_loss_refuses_what_is_no_temperature(temperature):
    """0 would divide by nothing, and below it right is wrong."""
    for loss in (contrastive.clip_loss, contrastive.info_nce):
        with pytest.raises(ValueError, match="a number above 0"):
            loss(np.eye(2), np.eye(2), temperature)


@contract
def test_itm_loss_refuses_answers_other_than_yes_and_no():
    """And a matrix of one column, which would broadcast."""
    with pytest.raises(ValueError, match=r"matches \(1\) or does not"):
        contrastive.itm_loss(np.zeros(2), np.array([1, 2]))
    with pytest.raises(ShapeError, match=r"logits are \(2, 1\)"):
        contrastive.itm_loss(np.zeros((2, 1)), np.array([1, 0]))


@contract
def test_itc_loss_refuses_other_shapes():
    """Each right answer has its own row of wrong ones."""
    with pytest.raises(ShapeError, match=r"positive is \(2,\) and negatives \(3, 1\)"):
        contrastive.itc_loss(np.zeros(2), np.zeros((3, 1)))


@contract
def test_mine_hard_negatives_refuses_more_than_there_are():
    """Of three columns, two are wrong."""
    with pytest.raises(ValueError, match="k is 3, but a row has only 2"):
        contrastive.mine_hard_negatives(np.zeros((3, 3)), k=3)
    with pytest.raises(ShapeError):
        contrastive.mine_hard_negatives(np.zeros((3, 4)))
