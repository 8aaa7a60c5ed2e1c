"""The spec of refvlm/recipes/gpt2_tiny.py: a short run."""

import numpy as np
import pytest

import refvlm
from refvlm import scenes
from refvlm.metrics.shares import Share
from refvlm.models import gpt2
from refvlm.recipes import gpt2_tiny
from refvlm.text.bpe.learning import train_byte_level
from refvlm.text.chat import NOTHING
from refvlm.train import running
from refvlm.train.state import State

from ..oracles import all_double, import_torchvision
from ..spec import assert_close, example, law, oracle
from ..weights import random_weights

STEPS = 12


@pytest.fixture(scope="module")
def recipe():
    return gpt2_tiny.recipe(STEPS)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """(directory, last state) of a run from nothing."""
    directory = tmp_path_factory.mktemp("run")
    return directory, running.run(recipe, directory)


@pytest.fixture(scope="module")
def model(recipe, run, tmp_path_factory):
    """What the short run published, opened."""
    directory = tmp_path_factory.mktemp("model")
    gpt2_tiny.publish(recipe, run[1], directory)
    return refvlm.load(directory)


@example
def test_recipe_learns_from_the_first_steps_on(recipe, run):
    """At first it guesses among all tokens; a dozen steps later among fewer."""
    losses = [row["loss"] for row in run[1].history]
    assert abs(losses[0] - np.log(len(recipe.tokenizer))) < 0.1
    assert losses[-1] < losses[0] - 0.5


@example
def test_caption_tokenizer_knows_the_words(recipe):
    """Every word of the world is one token, and so is the mark."""
    said = "from left to right: a large red ring, a small cyan star and a large cross."
    ids = recipe.tokenizer.encode(said)
    assert len(ids) == len(said.split()) + 3
    assert recipe.tokenizer.encode(NOTHING) == [recipe.end]


@law
def test_recipe_resumes_bit_for_bit(run, tmp_path):
    """Stopped and continued from the file, it ends the same."""
    running.run(gpt2_tiny.recipe(STEPS), tmp_path, stop=5)
    resumed = running.run(gpt2_tiny.recipe(STEPS), tmp_path)
    for name, array in run[1].tensors.items():
        assert np.array_equal(array, resumed.tensors[name]), name
    assert resumed.history == run[1].history


@law
def test_initial_weights_are_gpt2s(recipe):
    """What a layer adds begins smaller, by the root of twice the layers."""
    weights = recipe.initial()
    layers = recipe.config.n_layer
    assert weights.keys() == {
        f"transformer.{name}" for name in gpt2.expected_shapes(recipe.config)
    }
    wide = weights["transformer.h.0.mlp.c_fc.weight"].std()
    way_out = weights["transformer.h.0.mlp.c_proj.weight"].std()
    assert wide == pytest.approx(0.02, rel=0.05)
    assert way_out == pytest.approx(0.02 / (2 * layers) ** 0.5, rel=0.05)


@law
def test_batch_follows_from_the_step(recipe):
    """The same step gives the same batch, another step another; in shards of one
    size."""
    first, again, other = recipe.batch(5), recipe.batch(5), recipe.batch(6)
    for shard, same in zip(first, again):
        np.testing.assert_array_equal(shard.ids, same.ids)
    assert not np.array_equal(first[0].ids, other[0].ids)
    rows, tokens = gpt2_tiny.ROWS // gpt2_tiny.SHARDS, gpt2_tiny.TOKENS
    assert {shard.ids.shape for shard in first} == {(rows, tokens)}


@law
def test_batch_is_a_stream_of_true_sentences_about_pairs_of_training(recipe):
    """Between two marks stands a sentence of the grammar, and no held-out pair; every
    other row begins with a mark."""
    rows = [row for shard in recipe.batch(3) for row in shard.ids.tolist()]
    assert [row[0] == recipe.end for row in rows] == [True, False] * (len(rows) // 2)
    for row in rows:
        said = recipe.tokenizer.decode(row).split(NOTHING)
        for sentence in filter(None, said[:-1]):  # the last one is cut
            assert gpt2_tiny.understood(sentence), sentence
            assert not gpt2_tiny.names_held_out(sentence)


@law
def test_loss_of_the_shards_is_that_of_the_batch(recipe):
    """Each shard brings its share; together they are the mean over all tokens."""
    weights = refvlm.checkpoint.Weights(recipe.initial())
    losses = [
        sum(
            float(recipe.loss(weights, shard, None, recipe.stages[0])[0])
            for shard in recipe.batch(0, shards)
        )
        for shards in (1, 2, 4)
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


@law
def test_publish_writes_what_load_opens(recipe, run, model):
    """Every tensor of the run, and the tokenizer; an answer ends with the mark."""
    for name, array in run[1].tensors.items():
        np.testing.assert_array_equal(model.weights[name], array)
    assert model.stop_ids == {recipe.end}
    said = "a large red ring."
    assert model.tokenizer.encode(said) == recipe.tokenizer.encode(said)
    assert isinstance(model.complete("a large red", 3), str)


@law
def test_score_counts_what_it_is_asked(model, monkeypatch):
    """So many sentences of each kind, and the same for the same seed."""
    monkeypatch.setattr(gpt2_tiny, "LONGEST", 8)
    told = []
    tests = dict(gpt2_tiny.score(model, 5, 1, lambda *step: told.append(step)))
    assert [*tests] == [
        *scenes.SPLITS,
        *(f"sampled at temperature {heat:g}" for heat in gpt2_tiny.TEMPERATURES),
    ]
    assert told[-1] == (5, 5)
    for split in scenes.SPLITS:
        surprise, likeliest = tests[split].values()
        assert surprise.tokens == likeliest.asked > 5 * 10
        assert 3 < surprise.nats / surprise.tokens < 6
    assert tests["sampled at temperature 1"]["sentences of the world"] == Share(0, 5)
    again = dict(gpt2_tiny.score(model, 5, 1, lambda *step: None))
    assert again == tests


@law
def test_limits_come_with_a_spread(model, monkeypatch):
    """Five rounds of each beginning."""
    monkeypatch.setattr(gpt2_tiny, "LONGEST", 8)
    tests = dict(gpt2_tiny.limits(model, 5, 1, lambda *step: None))
    assert tests.keys() == gpt2_tiny.BEGINNINGS.keys()
    for shares in tests.values():
        assert [share.asked for share in shares["sentences of the world"]] == [1] * 5


@law
def test_beginnings_are_what_training_never_said():
    """Held-out pairs, and lists that go on with a comma behind four."""
    rng = np.random.default_rng(0)
    pair, four, six = (begin(rng) for begin in gpt2_tiny.BEGINNINGS.values())
    assert gpt2_tiny.names_held_out(pair) and gpt2_tiny.understood(pair)
    assert (four.count(", a "), six.count(", a ")) == (3, 5)
    assert not gpt2_tiny.names_held_out(four + six)


@law
def test_sentences_of_one_prompt_do_not_ask_what_stands_beside_it(model):
    """A longer prompt in the batch pads the shorter, which changes nothing: nearly
    greedy, at a temperature at which no draw decides."""
    short, long = "a large red", "from left to right: a large red ring, a small"
    rng = np.random.default_rng(0)
    together = gpt2_tiny.sentences(model, [short, long], 1e-3, rng)
    for prompt, said in zip((short, long), together):
        (alone,) = gpt2_tiny.sentences(model, [prompt], 1e-3, rng)
        assert said == alone and said.startswith(prompt)


@oracle
def test_published_directory_equals_transformers(compare, tmp_path):
    """transformers opens what was published, and has the same ids and logits."""
    said = ["a large red ring.", "a small blue star above a large pink cross."]
    recipe = gpt2_tiny.GPT2Tiny(train_byte_level(said, 300, (NOTHING,)), 1)
    shapes = {
        f"transformer.{n}": s for n, s in gpt2.expected_shapes(recipe.config).items()
    }
    drawn = random_weights(shapes, seed=9)
    tensors = {name: np.asarray(a, np.float32) for name, a in drawn.items()}
    gpt2_tiny.publish(recipe, State(0, tensors, {}, []), tmp_path)

    def ask(torch):
        import_torchvision()
        from transformers import AutoTokenizer, GPT2LMHeadModel

        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        ids = tokenizer(said[1], return_tensors="pt")["input_ids"]
        model = GPT2LMHeadModel.from_pretrained(tmp_path).double()
        with all_double(torch), torch.no_grad():
            new = model.generate(ids, max_new_tokens=8, do_sample=False)
            logits = model(ids).logits
        return {
            "ids": ids.numpy(),
            "logits": logits.numpy(),
            "new": new[:, ids.shape[1] :].numpy(),
        }

    answers = compare.answers(ask, (said, recipe.tokenizer.to_json(), tensors))
    model = refvlm.load(tmp_path, dtype=np.float64)
    ids = np.array([model.prompt_ids(said[1])])
    np.testing.assert_array_equal(ids, answers["ids"])
    assert_close(model.logits(ids), answers["logits"], 1e-11)
    np.testing.assert_array_equal(model.generate(ids, 8), answers["new"])
