"""The spec of refvlm/recipes/clip_tiny.py: a short run."""

import numpy as np
import pytest

import refvlm
from refvlm import scenes, text
from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.models import clip
from refvlm.objectives.contrastive import LARGEST_SCALE
from refvlm.recipes import clip_tiny
from refvlm.recipes.clip_tiny import BATCH, CLIPTiny, publish
from refvlm.recipes.seeing import SEEING
from refvlm.text.bpe.learning import train_byte_level
from refvlm.text.chat import END, START
from refvlm.train.loop import begin, train
from refvlm.train.state import State

from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle
from ..weights import random_weights

KEYS = ("input_ids", "attention_mask")


@pytest.fixture(scope="module")
def recipe():
    return clip_tiny.recipe(see=2, match=2)


@law
def test_caption_tokenizer_knows_the_words(recipe):
    """A word of the captions is one token, and its file frames every text."""
    caption = "a large red ring to the left of a small blue star."
    ids = recipe.token_ids(caption)
    assert len(ids) == 2 + len(caption.split()) + 1
    before, after = recipe.tokenizer.frame
    assert [recipe.tokenizer.decode(part) for part in (before, after)] == [START, END]
    assert recipe.tokenizer.decode(ids, markers=False) == caption


@law
def test_batch_depends_on_the_step_alone(recipe):
    """The same step twice is the same batch; another step is another."""
    (first,), (again,), (other,) = recipe.batch(2), recipe.batch(2), recipe.batch(3)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.ids, again.ids)
    assert not np.array_equal(first.pixels, other.pixels)


@law
def test_batch_has_few_colours(recipe):
    """The texts of a batch share their colours, so that shapes have to decide."""
    for step in (2, 3):
        (pairs,) = recipe.batch(step)
        assert len(np.unique(pairs.cells.colour[pairs.cells.colour >= 0])) == 3


@law
def test_every_text_ends_with_the_end_token(recipe):
    """The first end token of a row stands behind its text, whatever the padding."""
    (pairs,) = recipe.batch(2)
    ends = clip.end_positions(pairs.ids, recipe.config.text)
    end = recipe.config.text.eos_token_id
    for row, stop in zip(pairs.ids, ends):
        assert (row[stop:] == end).all() and (row[:stop] != end).all()
    assert pairs.ids.shape[1] <= recipe.config.text.max_position_embeddings


@law
def test_first_stage_trains_the_tower_that_looks(recipe):
    """It has no text, and leaves the words, and the temperature, as they were."""
    (pairs,) = recipe.batch(0)
    assert pairs.ids is None
    states = list(train(recipe, begin(recipe)))
    before, after = begin(recipe).tensors, states[1].tensors
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved and all(n.startswith((clip.VISION, SEEING)) for n in moved)
    last = states[-1].tensors
    still = {name for name in before if np.array_equal(after[name], last[name])}
    assert not {n for n in still if not n.endswith("k_proj.bias")}
    assert {"matching", "scale", "seeing", "seen"} <= states[-1].history[-1].keys()


@law
def test_first_loss_is_that_of_guessing(recipe):
    """Before it has learnt anything, a batch of b is about as hard as b dice."""
    (pairs,) = recipe.batch(2)
    weights = Weights(recipe.initial())
    small = {clip.LOGIT_SCALE: np.zeros((), np.float32)}
    _, parts = recipe.loss(weights.replace(small), pairs, None, recipe.stages[1])
    assert abs(parts["matching"] - np.log(BATCH["match"])) < 0.05


@law
def test_clamped_scale_stays_and_learns_no_more():
    """Below its bound it is the parameter itself; above, the bound, without slope."""

    def slope(value):
        function = lambda t: clip_tiny.clamped(t) * 1.0  # noqa: E731
        return value_and_grad(function)(np.array(value, np.float32))

    assert slope(2.0) == (2.0, 1.0)
    value, gradient = slope(5.0)
    assert value == np.float32(LARGEST_SCALE) and gradient == 0


@law
def test_publish_writes_what_load_opens(recipe, tmp_path):
    """The towers of the run, and none of what only training needed; and its score."""
    *_, state = train(recipe, begin(recipe))
    state.tensors[clip.LOGIT_SCALE] = np.array(9.0, np.float32)
    publish(recipe, state, tmp_path)
    model = refvlm.load(tmp_path)
    assert model.temperature == pytest.approx(0.01)
    name = clip.VISUAL_PROJECTION
    np.testing.assert_array_equal(model.weights[name], state.tensors[name])
    caption = "a large red ring."
    assert model.token_ids(caption) == recipe.token_ids(caption)
    steps = []
    tests = dict(clip_tiny.score(model, 8, 1, lambda *step: steps.append(step)))
    assert {*tests} == {*scenes.SPLITS, "retrieval"} and steps == [(8, 8)] * 2
    assert {share.asked for share in tests["unseen"].values()} == {8}


@oracle
def test_published_directory_equals_transformers(compare, tmp_path):
    """transformers opens what was published, and has the same ids and features."""
    said = ["a large red ring.", "a small blue star above a large pink cross."]
    learnt = train_byte_level(said, 300, clip_tiny.MARKERS).framed(START, END)
    recipe = CLIPTiny(learnt, 1, 1)
    drawn = random_weights(clip.expected_shapes(recipe.config), seed=9)
    tensors = {name: np.asarray(a, np.float32) for name, a in drawn.items()}
    publish(recipe, State(0, tensors, {}, []), tmp_path)

    def ask(torch):
        import_torchvision()
        from transformers import AutoTokenizer, CLIPModel

        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        given = tokenizer(said, padding=True, return_tensors="pt")
        model = CLIPModel.from_pretrained(tmp_path).double()
        found = model.get_text_features(given["input_ids"], given["attention_mask"])
        features = torch.nn.functional.normalize(found.pooler_output, dim=-1)
        ids = [row[seen.bool()] for row, seen in zip(*map(given.get, KEYS))]
        return {
            "first": ids[0].numpy(),
            "second": ids[1].numpy(),
            "features": features.detach().numpy(),
        }

    answers = compare.answers(ask, (said, learnt.to_json(), tensors))
    model = refvlm.load(tmp_path, dtype=np.float64)
    for text_, name in zip(said, ("first", "second")):
        np.testing.assert_array_equal(model.token_ids(text_), answers[name])
    assert_close(model.text_features(said), answers["features"], 1e-11)


@contract
def test_config_json_needs_a_tokenizer_that_frames():
    """Without a start and an end there is no token that stands for the text."""
    plain = train_byte_level(["a red ring."], 270)
    with pytest.raises(text.TokenizerError, match="a start and an end"):
        CLIPTiny(plain, 1, 1)
