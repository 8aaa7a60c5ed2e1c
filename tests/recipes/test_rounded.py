"""The spec of refvlm/recipes/rounded.py: some steps of each model."""

import numpy as np
import pytest

import refvlm
from refvlm import pretrained, quantize, scenes
from refvlm.autodiff import value_of
from refvlm.blocks.training_mode import is_statistic
from refvlm.checkpoint import Weights
from refvlm.models import clip, fastvlm
from refvlm.recipes import rounded
from refvlm.text.chat import DESCRIBE
from refvlm.train import running
from refvlm.train.loop import begin, train
from refvlm.train.quantization_aware import with_rounded

from ..spec import contract, example, law


@pytest.fixture(scope="module")
def recipe():
    """clip-tiny in three values, which is quick."""
    return rounded.recipe("clip-tiny", "ternary", steps=10, peak=1e-3)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """(directory, last state) of ten steps."""
    directory = tmp_path_factory.mktemp("run")
    return directory, running.run(recipe, directory)


@example
def test_ten_steps_mend_what_rounding_broke(recipe, run):
    """On a batch that no step learnt from, in three values before and after."""
    (pairs,) = rounded.recipe("clip-tiny", "ternary", steps=10, seed=9).batch(0)

    def loss(tensors):
        (stage,) = recipe.stages
        found, _ = recipe.loss(Weights(tensors), pairs, None, stage)
        return float(value_of(found))

    assert loss(run[1].tensors) < 0.6 * loss(recipe.initial())
    assert "matching" in run[1].history[0] and "seeing" not in run[1].history[0]


@law
def test_recipe_begins_with_the_published_weights(recipe):
    """Without a scheme the first loss is what the published model gets wrong."""
    control = rounded.recipe("clip-tiny", None, steps=10)
    published = refvlm.load("clip-tiny")
    (pairs,) = control.batch(0)
    (stage,) = control.stages
    weights = Weights(control.initial())
    assert {n: a.shape for n, a in control.initial().items()} == (
        published.weights.shapes()
    )
    loss, parts = control.loss(weights, pairs, None, stage)
    logits, _ = clip.clip(pairs.pixels, pairs.ids, published.weights, published.config)
    at_images, at_texts = (np.diag(_log_softmax(s)).mean() for s in (logits, logits.T))
    assert float(loss) == pytest.approx(-(at_images + at_texts) / 2, rel=1e-4)
    assert parts["matching"] == float(loss)
    assert recipe.loss(weights, pairs, None, stage)[0] > 2 * loss


def _log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


@law
def test_recipe_rounds_the_linear_layers_alone(recipe):
    """What the command packs: attention of the tower as well, but no embedding, no
    convolution, no vector, and no output head."""
    names = rounded.recipe("fastvlm-tiny", "int4").matrices
    weights = refvlm.load("fastvlm-tiny").weights
    assert all(weights[name].ndim == 2 for name in names)
    assert f"{fastvlm.TOWER}.stages.4.blocks.0.token_mixer.qkv.weight" in names
    assert f"{fastvlm.DECODER}.layers.0.mlp.up_proj.weight" in names
    assert not [name for name in [*names, *recipe.matrices] if "embed" in name]
    assert clip.VISUAL_PROJECTION in recipe.matrices
    assert clip.TEXT_PROJECTION not in recipe.matrices


@law
def test_every_scheme_has_the_same_batches(recipe):
    """The control learns from the scenes that the others do, under the same seed."""
    control = rounded.recipe("clip-tiny", None, steps=10)
    (one,), (same,) = recipe.batch(3), control.batch(3)
    np.testing.assert_array_equal(one.pixels, same.pixels)
    np.testing.assert_array_equal(one.ids, same.ids)
    other = rounded.recipe("clip-tiny", "ternary", steps=10, seed=2)
    assert not np.array_equal(other.batch(3)[0].pixels, one.pixels)


@law
def test_recipe_resumes_bit_for_bit(recipe, run, tmp_path):
    """Stopped and continued from the file, it ends the same."""
    running.run(recipe, tmp_path, stop=4)
    again = rounded.recipe("clip-tiny", "ternary", steps=10, peak=1e-3)
    resumed = running.run(again, tmp_path)
    for name, array in run[1].tensors.items():
        np.testing.assert_array_equal(array, resumed.tensors[name])


@law
def test_folded_tower_learns_too():
    """Of fastvlm-tiny every tensor moves, its filters straight through nothing but
    themselves, and the batch norms that folding left go on gathering statistics."""
    recipe = rounded.recipe("fastvlm-tiny", "ternary", steps=2, peak=1e-3)
    before, (state,) = recipe.initial(), train(recipe, begin(recipe), stop=1)
    still = {n for n in before if np.array_equal(before[n], state.tensors[n])}
    assert not {n for n in still if not n.endswith("k_proj.bias")}
    gathered = {n for n in before if is_statistic(n)}
    assert gathered and not [n for n in before if "large_conv" in n]
    assert all(np.isfinite(array).all() for array in state.tensors.values())


@law
def test_publish_and_quantize_write_the_model_that_was_shown(recipe, run, tmp_path):
    """What is packed comes back as the matrices that the steps computed with."""
    rounded.publish(recipe, run[1], tmp_path / "fine")
    pretrained.quantize(tmp_path / "fine", tmp_path / "few", "ternary")
    fine, model = refvlm.load(tmp_path / "fine"), refvlm.load(tmp_path / "few")
    shown = with_rounded(
        run[1].tensors, recipe.matrices, quantize.SCHEMES["ternary"].rounded
    )
    for name in recipe.matrices:
        np.testing.assert_array_equal(model.weights[name], shown[name])
        np.testing.assert_array_equal(fine.weights[name], run[1].tensors[name])
    assert model.temperature == pytest.approx(refvlm.load("clip-tiny").temperature, 0.1)


@law
def test_publish_writes_a_fastvlm_that_answers(tmp_path):
    """Without a step: in int8 it says about a picture what the published one says."""
    recipe = rounded.recipe("fastvlm-tiny", "int8", steps=1)
    rounded.publish(recipe, begin(recipe), tmp_path / "fine")
    pretrained.quantize(tmp_path / "fine", tmp_path / "few", "int8")
    picture = scenes.draw(scenes.sample(np.random.default_rng(0)))
    said = refvlm.load(tmp_path / "few").describe(picture, DESCRIBE)
    assert said == refvlm.load("fastvlm-tiny").describe(picture, DESCRIBE)


@contract
def test_recipe_refuses_what_it_does_not_know():
    """Both errors say what there is."""
    with pytest.raises(ValueError, match="no model 'gpt2' .*fastvlm-tiny, clip-tiny"):
        rounded.recipe("gpt2", "int4")
    with pytest.raises(ValueError, match="no scheme 'int3': there are .*ternary"):
        rounded.recipe("clip-tiny", "int3")
