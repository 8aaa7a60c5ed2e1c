"""The spec of refvlm/train/loop.py."""

from dataclasses import replace

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.training_mode import Training
from refvlm.checkpoint import Weights
from refvlm.train.loop import (
    Stage,
    TrainingError,
    begin,
    gradient,
    stage_of,
    total_steps,
    train,
)

from ..spec import assert_close, contract, example, law
from .toy import SLOPE, Line


def last(states):
    *_, state = states
    return state


@example
def test_train_finds_the_line():
    """Sixty steps bring the loss down a hundredfold and the slope to its value."""
    state = last(train(Line(), begin(Line())))
    losses = [row["loss"] for row in state.history]
    assert losses[-1] < losses[0] / 100
    assert np.abs(state.tensors["slope"] - SLOPE).max() < 0.2
    assert state.step == len(state.history) == 60


@law
def test_train_from_a_seed_gives_the_same_weights():
    """Two runs of one recipe end bit for bit alike, noise and threads included."""
    first, second = (last(train(Line(), begin(Line()))) for _ in range(2))
    for name, array in first.tensors.items():
        assert np.array_equal(array, second.tensors[name])
    assert first.history == second.history


@law
@pytest.mark.parametrize("pause", [1, 29, 30, 31, 59])
def test_train_continues_from_any_state(pause):
    """A run in two pieces is the run in one, also across a change of stage."""
    whole = last(train(Line(), begin(Line())))
    half = last(train(Line(), begin(Line()), stop=pause))
    assert half.step == pause
    joined = last(train(Line(), half))
    assert np.array_equal(whole.tensors["slope"], joined.tensors["slope"])
    assert whole.history == joined.history


class Doubled(Line):
    """Between the stages the slope is doubled."""

    def enter(self, stage, tensors):
        if stage.name == "first":
            return tensors
        return {**tensors, "slope": 2 * tensors["slope"]}


@law
def test_train_begins_a_stage_with_what_the_recipe_makes_of_it():
    """Once, before its first step; and a run in two pieces, cut where the stages meet
    or elsewhere, is the run in one."""
    recipe = Doubled()
    before, after = last(train(Line(), begin(Line()), stop=30)), {}
    for state in train(recipe, begin(recipe)):
        after[state.step] = state
    assert np.array_equal(after[30].tensors["slope"], before.tensors["slope"])
    moved = after[31].tensors["slope"] - 2 * before.tensors["slope"]
    assert np.abs(moved).max() < 2 * recipe.stages[1].rate(0) + 1e-6
    for pause in (1, 29, 30, 31):
        joined = last(train(recipe, after[pause]))
        assert np.array_equal(joined.tensors["slope"], after[60].tensors["slope"])
    assert not np.array_equal(
        after[60].tensors["slope"], last(train(Line(), before)).tensors["slope"]
    )


@law
def test_train_leaves_frozen_tensors_alone():
    """What a stage does not train keeps its very array; the next stage moves it."""
    start = begin(Line())
    first = last(train(Line(), start, stop=30))
    assert first.tensors["offset"] is start.tensors["offset"]
    assert last(train(Line(), first)).tensors["offset"] < 0.5


@law
def test_train_does_not_write_to_earlier_states():
    """Every state that was yielded stays what it was."""
    start = begin(Line())
    states = list(train(Line(), start, stop=3))
    kept = [state.tensors["slope"].copy() for state in states]
    list(train(Line(), states[0], stop=6))
    assert all(
        np.array_equal(state.tensors["slope"], slope)
        for state, slope in zip(states, kept)
    )
    assert not start.tensors["slope"].any() and start.history == []


@law
def test_gradient_of_shards_is_the_gradient_of_the_batch():
    """Each shard gives its share: together they are the whole, to rounding."""
    recipe = Line()
    stage = recipe.stages[1]  # which trains them all
    state = replace(begin(recipe), step=recipe.stages[0].steps)
    batch = recipe.batch(state.step)
    parts, together, _ = gradient(recipe, state, batch)

    def loss(weights, number, shard):
        training = Training(np.random.default_rng([state.step, number]))
        return recipe.loss(weights, shard, training, stage)[0]

    singly = [
        value_and_grad(loss)(Weights(state.tensors), number, shard)
        for number, shard in enumerate(batch)
    ]
    assert_close(np.float64(parts["loss"]), sum(np.float64(v) for v, _ in singly), 1e-6)
    for name in state.tensors:
        assert_close(together[name], singly[0][1][name] + singly[1][1][name], 1e-6)


@law
def test_stage_of_walks_through_the_stages():
    """Steps 0 to 29 are the first stage's, 30 to 59 the second's, from 0 again."""
    recipe = Line()
    assert total_steps(recipe) == 60
    found = [stage_of(recipe, step) for step in (0, 29, 30, 59)]
    assert [(stage.name, step) for stage, step in found] == [
        *(("first", 0), ("first", 29), ("second", 0), ("second", 29)),
    ]


@law
def test_stage_rate_climbs_and_falls():
    """From nothing to the peak at the warm-up's end, then towards the floor."""
    rates = [Stage("only", 100, 1e-3, 10, floor=0.1).rate(step) for step in range(101)]
    assert rates[0] == 0.0 and rates[10] == max(rates) == 1e-3
    assert rates[100] == pytest.approx(1e-4)


@contract
def test_train_stops_at_a_loss_that_is_no_number():
    """A NaN names its step and what to do; the state before it is what was yielded."""
    recipe = Line(bad_step=4)
    steps = []
    with pytest.raises(TrainingError, match="step 4: .*lower learning rate"):
        steps.extend(state.step for state in train(recipe, begin(recipe)))
    assert steps == [1, 2, 3, 4]
    with pytest.raises(ValueError):
        stage_of(recipe, 60)


@contract
def test_train_stops_at_a_loss_that_explodes():
    """A finite loss of a million is no training either."""
    recipe = Line(stages=(Stage("wild", 60, 1e6, 0),))
    with pytest.raises(TrainingError, match="come apart"):
        list(train(recipe, begin(recipe)))
