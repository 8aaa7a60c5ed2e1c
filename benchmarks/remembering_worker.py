"""A process that lets wirings of a memory learn, and counts what they recall."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from refvlm import scenes
from refvlm.recipes.perfect_eye import counting, learning, wirings
from refvlm.train import running
from refvlm.train.state import load_state

from . import identity, runs
from .remembering_cases import (
    DISTURBANCES,
    EPISODES,
    LENGTH,
    LENGTHS,
    PEAKS,
    SHOWN,
    STEPS,
    TOGETHER,
    WIRINGS,
    slug,
)
from .turns import serve

SAVE_EVERY = 400  # steps


def run_of(folder, wiring, seed):
    """(recipe, where its run lies)."""
    peak, steps = PEAKS[wiring], STEPS[wiring]
    recipe = learning.recipe(WIRINGS[wiring], steps, peak, seed)
    return recipe, Path(folder) / f"{slug(wiring)}-{peak:g}-{steps}-{seed}"


def learn(folder, wiring, seed):
    """The curves of a run, in means of some steps, and the seconds of processor time
    that it took, in however many pieces."""
    history, spent = runs.learnt(*run_of(folder, wiring, seed), SAVE_EVERY)
    noted = sorted(history[0].keys() - {"rate", "norm"})
    curves = {name: runs.means(history, name, TOGETHER, 4) for name in noted}
    return {"curves": curves, "seconds": round(spent, 2)}


def count(folder, wiring, seed, seeds):
    """heading -> [right, asked] for each seed of scenes, perhaps from the folder."""
    recipe, place = run_of(folder, wiring, seed)
    tensors = load_state(place / running.STATE, recipe.name).tensors
    rounds = [counted(recipe, tensors, place, each) for each in seeds]
    return {heading: [each[heading] for each in rounds] for heading in rounds[0]}


def counted(recipe, tensors, place, seed):
    """heading -> [right, asked] for one seed of scenes."""
    there = place / f"counted-{seed}-{EPISODES}.json"
    return runs.kept(there, lambda: shares_of(recipe, tensors, seed))


def shares_of(recipe, tensors, seed):
    """By kind of question; with what is not the episode's memory; of more pictures; of
    codes that are disturbed; and how well the variance tells what was never written."""

    def counts(length=LENGTH, **options):
        return counting.count(recipe, tensors, length, seed, EPISODES, **options)

    only = {name: {name: 1.0} for name in ("content", "order alone")}
    found = counts()
    found["order alone"] = counts(kinds=only["order alone"])["all"]
    for memory in ("shuffled", "none"):
        for kind, share in counts(memory=memory).items():
            found[f"{kind}, {memory}"] = share
    found["all, unseen"] = counts(split="unseen")["all"]
    for length in LENGTHS:
        found[f"content of {length}"] = counts(length, kinds=only["content"])["all"]
    for disturbance in DISTURBANCES:
        share = counts(disturbance=disturbance)["all"]
        found[f"all, disturbed by {disturbance:g}"] = share
    if recipe.wiring.keeps == "memory":
        known = counting.never_written(recipe, tensors, LENGTH, seed, EPISODES)
        found["never written"] = known
    return found


def describe(wiring):
    """Parameters, what is kept of an episode, in numbers, and its fields."""
    fields = WIRINGS[wiring]
    K, C = fields.slots, fields.width
    kept = {
        "memory": K * C + K * K,
        "cache": LENGTH * fields.codes * C,
        "last": C,
    }
    shapes = wirings.expected_shapes(fields)
    return {
        "peak": PEAKS[wiring],
        "steps": STEPS[wiring],
        "parameters": sum(map(math.prod, shapes.values())),
        "kept": kept[fields.keeps],
        "fields": fields._asdict(),
    }


def show(folder, wiring, seed, scenes_seed):
    """Where the questions of one episode look, in a trained run."""
    recipe, place = run_of(folder, wiring, seed)
    tensors = load_state(place / running.STATE, recipe.name).tensors
    return counting.shown(recipe, tensors, SHOWN[wiring], scenes_seed)


def guess(seed):
    """kind -> the share of who has seen no picture, of many questions."""
    rng = np.random.default_rng(seed)
    kinds = learning.KINDS | {"order alone": 1.0}
    pool = learning.pool("train", seed)
    asked = learning.episodes(pool, rng, 6000, LENGTH, kinds)
    questions = [question for _, some in asked for question in some]
    return scenes.chance(questions[:8000], questions[8000:])


if __name__ == "__main__":
    serve(
        {
            "versions": identity.numpy_versions,
            "describe": describe,
            "learn": learn,
            "count": count,
            "show": show,
            "guess": guess,
        }
    )
