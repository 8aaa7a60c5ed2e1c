"""The spec of refvlm/metrics/zero_shot.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.metrics import zero_shot
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, oracle, random_arrays, tensors

TEMPLATES = ["a {}.", "there is a {}.", "{}, large"]
CLASSES = ["red ring", "blue star"]


def encode(texts):
    """Features that depend on the text alone, of very different lengths."""
    rows = [random_arrays(sum(map(ord, text)))(4) for text in texts]
    return np.array([row * (1 + 10 * i) for i, row in enumerate(rows)])


@example
def test_zero_shot_classifier_averages_directions_not_lengths():
    """A prompt whose feature is long has no more say than a short one."""
    features = {"a cat": [100.0, 0.0], "the cat": [0.0, 1.0]}

    def encode(texts):
        return np.array([features[text] for text in texts])

    found = zero_shot.zero_shot_classifier(["a {}", "the {}"], ["cat"], encode)
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5]])


@example
def test_zero_shot_of_two_classes():
    """Cosines 1 and 0 at scale log 3: odds of three to one."""
    found = zero_shot.zero_shot(np.array([[5.0, 0.0]]), np.eye(2), scale=np.log(3))
    np.testing.assert_allclose(found, [[0.75, 0.25]])


@example
def test_retrieval_ranks_count_who_comes_before():
    """Of the first row one candidate beats the right one; of the second, none does."""
    similarities = np.array([[0.5, 0.9, 0.1], [0.1, 0.9, 0.5]])
    np.testing.assert_array_equal(zero_shot.retrieval_ranks(similarities), [1, 0])
    assert zero_shot.recall_at_k(similarities, 1) == 0.5
    assert zero_shot.recall_at_k(similarities, 2) == 1.0


@law
def test_zero_shot_classifier_asks_every_template_of_every_class():
    """The prompts are the templates with the class in its place, and no others."""
    asked = []

    def listen(texts):
        asked.extend(texts)
        return encode(texts)

    zero_shot.zero_shot_classifier(TEMPLATES, CLASSES, listen)
    assert sorted(asked) == sorted(
        template.format(name) for template in TEMPLATES for name in CLASSES
    )


@law
def test_zero_shot_classifier_of_one_template_is_its_direction():
    """A mean of one is that one: only its length is lost."""
    found = zero_shot.zero_shot_classifier(["a {}."], CLASSES, encode)
    expected = encode(["a red ring.", "a blue star."])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_close(found, expected)


@law
@given(tensors((3, 4), 0.5, 5), st.floats(0.1, 100))
def test_zero_shot_knows_no_lengths(features, factor):
    """Pictures and classes count by their directions alone."""
    classes = np.abs(random_arrays(1)(5, 4)) + 0.1
    found = zero_shot.zero_shot(features, classes, 10)
    assert (
        np.abs(zero_shot.zero_shot(features * factor, classes * 3, 10) - found).max()
        < 1e-9
    )
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12


@law
@given(st.floats(0.5, 100))
def test_zero_shot_names_the_same_class_at_any_temperature(scale):
    """The temperature says how sure the answer is, not what it is."""
    draw = random_arrays(2)
    pictures, classes = draw(6, 4), draw(5, 4)
    cosines = np.einsum("id,cd->ic", pictures, classes)
    cosines /= np.linalg.norm(classes, axis=1)
    found = zero_shot.zero_shot(pictures, classes, scale)
    np.testing.assert_array_equal(found.argmax(axis=1), cosines.argmax(axis=1))


@law
@given(tensors((4, 6)), st.permutations(range(6)))
def test_retrieval_ranks_do_not_depend_on_the_order_of_candidates(scores, order):
    """Shuffle the candidates, and say where the right ones are now: nothing changes."""
    where = np.argsort(order)[:4]
    shuffled = zero_shot.retrieval_ranks(scores[:, order], where)
    np.testing.assert_array_equal(shuffled, zero_shot.retrieval_ranks(scores))


@law
def test_retrieval_ranks_give_nothing_to_a_model_that_cannot_tell():
    """All candidates equally near: the right one comes last, and not first."""
    np.testing.assert_array_equal(zero_shot.retrieval_ranks(np.ones((3, 5))), [4, 4, 4])


@law
@given(tensors((5, 5)))
def test_recall_at_k_grows_to_one(scores):
    """Who may take more candidates finds no less, and everything at last."""
    found = [zero_shot.recall_at_k(scores, k) for k in range(1, 6)]
    assert found == sorted(found) and found[-1] == 1


@oracle
def test_zero_shot_equals_torch(compare):
    """Norm, mean over templates, norm, scaled product, softmax."""
    draw = random_arrays(3)
    texts, pictures = draw(2, 3, 4, scale=3.0), draw(5, 4)

    def ask(torch):
        words, seen = torch.from_numpy(texts), torch.from_numpy(pictures)
        words = words / words.norm(dim=-1, keepdim=True)
        classes = words.mean(dim=1)
        classes = classes / classes.norm(dim=-1, keepdim=True)
        seen = seen / seen.norm(dim=-1, keepdim=True)
        return {"likely": (20.0 * seen @ classes.T).softmax(dim=-1).numpy()}

    expected = compare.answers(ask, (texts, pictures))["likely"]

    def encode(prompts):
        places = {f"{c}{t}": texts[c, t] for c in range(2) for t in range(3)}
        return np.array([places[prompt] for prompt in prompts])

    classes = zero_shot.zero_shot_classifier(["{}0", "{}1", "{}2"], ["0", "1"], encode)
    assert_close(zero_shot.zero_shot(pictures, classes, 20.0), expected)


@contract
def test_zero_shot_classifier_needs_a_place_for_the_class():
    """A template without {} would say the same of every class."""
    with pytest.raises(ValueError, match="must hold {} once"):
        zero_shot.zero_shot_classifier(["a photo"], CLASSES, encode)
    with pytest.raises(ValueError, match="a template and a class"):
        zero_shot.zero_shot_classifier([], CLASSES, encode)


@contract
def test_zero_shot_needs_one_space():
    """Features of different widths are not in one space."""
    with pytest.raises(ShapeError, match="class_features"):
        zero_shot.zero_shot(np.ones((2, 3)), np.ones((4, 5)))


@contract
def test_retrieval_ranks_refuse_what_has_no_answer():
    """More questions than candidates, a match that is none, numbers that are none."""
    with pytest.raises(ValueError, match="say which is right"):
        zero_shot.retrieval_ranks(np.ones((3, 2)))
    with pytest.raises(ValueError, match="from 0 to 1"):
        zero_shot.retrieval_ranks(np.ones((1, 2)), np.array([2]))
    with pytest.raises(ValueError, match="must be finite"):
        zero_shot.retrieval_ranks(np.array([[np.nan]]))
    with pytest.raises(ValueError, match="k must be a whole number"):
        zero_shot.recall_at_k(np.ones((1, 1)), 0)
