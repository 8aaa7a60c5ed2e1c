r"""The training loop: draw a batch, go down the gradient, note what happened, repeat.

$$\theta_{t+1} = \mathrm{AdamW}(\theta_t,\ \mathrm{clip}(\nabla L(\theta_t)),\ \eta_t)$$

A recipe says what is learnt from what: where the weights start, the batch of each step,
the loss, and the stages. The loop knows none of that. Everything that a step does
follows from the recipe, the number of the step and the state before it; so a run that
was interrupted goes on from its last state as if nothing had been.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..autodiff import value_and_grad
from ..blocks.training_mode import Training, is_statistic
from ..checkpoint import Weights
from ..parallel import in_parallel
from .clipping import clip_by_global_norm
from .optimizers import AdamW
from .schedules import warmup_cosine
from .siblings import Siblings, siblings
from .state import State

EXPLODED = 1e4  # a loss begins at a few units; no sane one comes near this


class TrainingError(ValueError):
    """A run that cannot go on, and what to do about it."""


@dataclass(frozen=True)
class Stage:
    """So many steps at one setting. `trainable` chooses the tensors by name; the rate
    climbs for `warmup` steps and falls along a cosine to `floor` times its peak."""

    name: str
    steps: int
    peak: float
    warmup: int
    floor: float = 0.0
    trainable: Callable[[str], bool] = lambda name: True

    def rate(self, step: int) -> float:
        """The learning rate of a step of this stage."""
        return warmup_cosine(
            step, self.peak, self.warmup, self.steps, self.peak * self.floor
        )


class Recipe(Protocol):
    """What the loop asks of a recipe; a run is known by its name."""

    name: str
    stages: Sequence[Stage]
    optimizer: AdamW
    max_norm: float
    momentum: float

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step."""

    def batch(self, step: int) -> Sequence[Any]:
        """The batch of a step, a function of the step alone: in shards, always as many,
        that can be pickled."""

    def loss(self, weights: Weights, shard: Any, training: Training, stage: Stage):
        """(loss, parts): this shard's share of the batch's loss, and of its parts."""

    def enter(
        self, stage: Stage, tensors: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The tensors with which a stage begins, made of those that the one before it
        left (for the first stage, the initial ones): as they are, if nothing is said.
        A function of the two alone."""
        return tensors


def begin(recipe: Recipe) -> State:
    """The state before the first step."""
    return State(step=0, tensors=recipe.initial(), moments={}, history=[])


def train(recipe: Recipe, state: State, stop: int | None = None) -> Iterator[State]:
    """Yield the state after each step, up to the end or to step `stop`.

    The batch of the next step is drawn while this one is learnt from.
    """
    last = total_steps(recipe) if stop is None else min(total_steps(recipe), stop)
    if state.step >= last:
        return
    batch = recipe.batch(state.step)
    with (
        side_by_side(recipe, state, batch) as family,
        ThreadPoolExecutor(1, thread_name_prefix="batches") as drawing,
    ):
        while state.step < last:
            coming = None
            if state.step + 1 < last:
                coming = drawing.submit(recipe.batch, state.step + 1)
            state = train_step(recipe, state, batch, family)
            yield state
            if coming is not None:
                batch = coming.result()


def side_by_side(recipe: Recipe, state: State, batch):
    """A context of processes, one for each shard of such a batch, where each finds a
    core: `train_step` is quicker with them than with threads."""
    work = functools.partial(gradient_of_shard, recipe)
    return siblings(work, state.tensors, len(batch))


def train_step(
    recipe: Recipe, state: State, batch, family: Siblings | None = None
) -> State:
    """One step: the gradient, clipped, through the optimiser of the stage."""
    stage, within = stage_of(recipe, state.step)
    if not within:
        state = replace(state, tensors=recipe.enter(stage, state.tensors))
    learnt = learnt_by(stage, state.tensors)
    parts, gradients, statistics = gradient(recipe, state, batch, family)
    gradients, norm = clip_by_global_norm(gradients, recipe.max_norm)
    _check(state.step, parts["loss"], norm)
    parameters = {name: state.tensors[name] for name in learnt}
    moments = state.moments if within else recipe.optimizer.init(parameters)
    rate = stage.rate(within)
    parameters, moments = recipe.optimizer.step(parameters, gradients, moments, rate)
    return State(
        step=state.step + 1,
        tensors={**state.tensors, **statistics, **parameters},
        moments=moments,
        history=[*state.history, {**parts, "rate": rate, "norm": float(norm)}],
    )


def learnt_by(stage: Stage, tensors: Mapping[str, np.ndarray]) -> list[str]:
    """The tensors that a stage moves by the gradient."""
    return [n for n in tensors if stage.trainable(n) and not is_statistic(n)]


def gradient(recipe: Recipe, state: State, batch, family: Siblings | None = None):
    """(parts, gradients, statistics) of a batch: the sums over its shards, which are
    worked on side by side, and the means of the statistics that they gathered."""
    jobs = [(state.step, number, shard) for number, shard in enumerate(batch)]
    if family is None:
        shares = in_parallel(
            lambda job: gradient_of_shard(recipe, state.tensors, *job), jobs
        )
    elif len(jobs) != family.count:
        raise ValueError(
            f"step {state.step}: the batch has {len(jobs)} shards and the first one "
            f"had {family.count}: make each batch of as many"
        )
    else:
        shares = family(state.tensors, jobs)
    noted, gradients = zip(*shares)
    parts, statistics = zip(*noted)
    mean = {n: sum(s[n] for s in statistics) / len(batch) for n in statistics[0]}
    return _sum(parts), _sum(gradients), mean


def gradient_of_shard(recipe: Recipe, tensors, step: int, number: int, shard):
    """((parts, statistics), gradients) of one shard of a step's batch."""
    stage, _ = stage_of(recipe, step)
    rng = np.random.default_rng([step, number])
    training, parts = Training(rng, recipe.momentum), {}

    def loss(weights):
        total, noted = recipe.loss(weights, shard, training, stage)
        parts.update(noted)
        return total

    weights = Weights(tensors, "the weights in training")
    learnt = learnt_by(stage, tensors)
    value, gradients = value_and_grad(loss, trainable=learnt)(weights)
    return ({"loss": float(value), **parts}, training.statistics), gradients


def _sum(shares):
    total = dict(shares[0])
    for share in shares[1:]:
        for name, value in share.items():
            total[name] = total[name] + value
    return total


def _check(step, loss, norm):
    if not (math.isfinite(loss) and math.isfinite(norm)) or loss > EXPLODED:
        raise TrainingError(
            f"step {step}: the loss is {loss:.4g} and the gradient's norm {norm:.4g}: "
            "training has come apart. Resume from the last saved state with a lower "
            "learning rate, a longer warm-up or a smaller clipping norm"
        )


def total_steps(recipe: Recipe) -> int:
    """The steps of all stages."""
    return sum(stage.steps for stage in recipe.stages)


def stage_of(recipe: Recipe, step: int) -> tuple[Stage, int]:
    """The stage that a step belongs to, and its number in it."""
    for stage in recipe.stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    raise ValueError(f"the recipe ends {step + 1} steps before that step")
