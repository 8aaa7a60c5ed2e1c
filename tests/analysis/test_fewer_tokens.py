"""The spec of refvlm/analysis/fewer_tokens.py."""

import numpy as np
import pytest

import refvlm
from refvlm import scenes
from refvlm.analysis import fewer_tokens
from refvlm.analysis.fewer_tokens import WAYS, FewerTokens
from refvlm.models import fastvlm, qwen2, splicing
from refvlm.pretrained import shipped_model
from refvlm.text.chat import DESCRIBE

from ..spec import assert_close, contract, example, law, random_arrays

PICTURES = [scenes.draw(scenes.sample(np.random.default_rng(i))) for i in range(3)]
PROMPTS = [DESCRIBE, "how many objects are there?", DESCRIBE]


@pytest.fixture(scope="module")
def vlm():
    return refvlm.load(shipped_model("fastvlm-tiny"))


def some_prompt(vlm, rows=2):
    """The ids of a prompt for each row, and random tokens for its picture."""
    ids = np.repeat(vlm.prompt_ids(PROMPTS[1]), rows, axis=0)
    draw = random_arrays(1)
    return ids, draw(rows, 16, vlm.config.text.hidden_size).astype(np.float32)


@example
def test_representatives_are_the_tokens_nearest_to_their_means():
    """Of 0, 1 and 5 the mean is 2, and 1 is the nearest."""
    x, groups = np.array([[[0.0], [1.0], [9.0], [5.0]]]), np.array([[0, 0, 1, 0]])
    means = np.array([[[2.0], [9.0]]])
    places = fewer_tokens.representatives(x, means, groups)
    np.testing.assert_array_equal(places, [[1, 2]])


@law
@pytest.mark.parametrize("way", WAYS)
def test_fewer_tokens_that_keep_all_say_what_the_model_says(vlm, way):
    """Sixteen of sixteen, each at its place: the same words."""
    said = FewerTokens(vlm, 16, way).answers(PICTURES, PROMPTS)
    assert said == vlm.answers(PICTURES, PROMPTS)


@law
@pytest.mark.parametrize("way", WAYS)
def test_fewer_tokens_are_as_many_as_were_asked_for(vlm, way):
    """Their places climb, and lie in the picture."""
    ids, shown = some_prompt(vlm)
    tokens, places = FewerTokens(vlm, 5, way, seed=3).thinned(shown, ids)
    assert tokens.shape == (2, 5, shown.shape[2]) and tokens.dtype == shown.dtype
    assert places.shape == (2, 5) and places.min() >= 0 and places.max() < 16
    if way in ("random", "norm", "attention"):
        assert (np.diff(places) > 0).all()
        rows = np.arange(2)[:, None]
        np.testing.assert_array_equal(tokens, shown[rows, places])


@law
def test_a_reader_of_everything_is_the_decoder(vlm):
    """Logits behind the prompt, and behind one more token, as the model has them."""
    ids, shown = some_prompt(vlm)
    reader = fewer_tokens.Reader(vlm, new_tokens=2)
    places = np.broadcast_to(np.arange(16), (2, 16))
    scores = reader.read(ids, shown, places, 16)
    more = np.array([7, 9])
    behind = reader.step(more)
    room, _ = splicing.make_room(np.append(ids, more[:, None], axis=1), 16)
    hidden = qwen2.qwen2(
        fastvlm.embed(room, shown, vlm.weights, vlm.config),
        vlm.weights.scope(fastvlm.DECODER),
        vlm.config.text,
    )
    whole = fastvlm.head(hidden, vlm.weights)
    assert_close(scores, whole[:, -2], 1e-5)
    assert_close(behind, whole[:, -1], 1e-5)


@law
def test_a_token_that_is_kept_keeps_its_position(vlm):
    """Dropping tokens is hiding them: with the others hidden from everybody by a mask,
    the whole prompt gives the same scores; with the gaps closed it does not."""
    ids, shown = some_prompt(vlm, rows=1)
    places = np.array([[1, 2, 7, 13]])
    mark = int(np.flatnonzero(ids[0] == splicing.IMAGE)[0])
    tokens = shown[:, places[0]]
    scores = fewer_tokens.Reader(vlm).read(ids, tokens, places, 16)
    room, _ = splicing.make_room(ids, 16)
    total = room.shape[1]
    gone = mark + np.setdiff1d(np.arange(16), places)
    sees = np.tri(total, dtype=bool)[None]
    sees[:, :, gone] = False
    sees[:, gone, gone] = True
    hidden = qwen2.qwen2(
        fastvlm.embed(room, shown, vlm.weights, vlm.config),
        vlm.weights.scope(fastvlm.DECODER),
        vlm.config.text,
        packing=qwen2.Packing(np.arange(total), sees),
    )
    assert_close(scores, fastvlm.head(hidden, vlm.weights)[:, -1], 1e-5)
    closed = fewer_tokens.Reader(vlm).read(ids, tokens, places)
    assert np.abs(closed - scores).max() > 0.1


@law
def test_looked_at_finds_a_token_that_stands_out(vlm):
    """Weights of an attention: above 0, and below 1 together."""
    ids, shown = some_prompt(vlm)
    scores = fewer_tokens.looked_at(vlm, shown, ids)
    assert scores.shape == (2, 16) and (scores > 0).all()
    assert (scores.sum(axis=1) < 1).all() and scores.std(axis=1).min() > 0


@contract
def test_fewer_tokens_refuse_what_they_cannot_keep(vlm):
    """A way that is none, and more tokens than there are."""
    with pytest.raises(ValueError, match="way is 'best', not one of"):
        FewerTokens(vlm, 4, "best")
    for wrong in (0, 17):
        with pytest.raises(ValueError, match="FewerTokens: keep"):
            FewerTokens(vlm, wrong, "norm").answers(PICTURES[:1], PROMPTS[:1])
