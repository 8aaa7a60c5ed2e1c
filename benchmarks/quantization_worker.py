"""A process that rounds the trained models, lets them learn so, and counts."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from pathlib import Path

import numpy as np

import refvlm
from refvlm import pretrained
from refvlm.checkpoint import Weights
from refvlm.metrics import clip_scores, scene_scores
from refvlm.recipes import rounded
from refvlm.train import running
from refvlm.train.state import State, load_state

from . import identity, runs
from .quantization_cases import LEARNING, MODELS
from .turns import serve

FRESH = 2**31  # added to the seeds of what a CLIP is shown: training's are small
SAVE_EVERY, TOGETHER = 25, 10  # steps


def learn(model, scheme, learning, folder, seed):
    """The losses of a run in its own folder of `folder`, begun or resumed: the means of
    every ten steps."""
    recipe, place = run_of(model, scheme, learning, folder, seed)
    state = running.run(recipe, place, save_every=SAVE_EVERY)
    return runs.means(state.history, "loss", TOGETHER)


def run_of(model, scheme, learning, folder, seed):
    """(recipe, where its run lies): "rounded" in the scheme, or "unrounded", in none,
    with the rate of the scheme that it is compared in."""
    steps, peak = LEARNING[model].steps, LEARNING[model].peak_of(scheme)
    in_run = scheme if learning == "rounded" else None
    recipe = rounded.recipe(model, in_run, steps, peak, seed)
    return recipe, Path(folder) / f"{recipe.name}-{peak:g}-{seed}"


def count(model, scheme, seeds, learning=None, folder=None, seed=None):
    """What the file of a model holds, and heading -> [right, asked] for each seed of
    scenes.

    The model is the published one, or what a run has learnt, written as `quantize`
    writes it. What has been counted of the same numbers and scenes is in `folder`.
    """
    tensors = None
    if learning:
        recipe, place = run_of(model, scheme, learning, folder, seed)
        tensors = load_state(place / running.STATE, recipe.name).tensors
    with tempfile.TemporaryDirectory() as directory:
        place, held = written(model, scheme, tensors, Path(directory))
        opened = refvlm.load(place)
        made = {name: opened.weights[name] for name in sorted(opened.weights)}
        opened.weights = Weights(made)  # once, not for each token anew
        rounds = [counted(model, opened, each, folder) for each in seeds]
    shares = {heading: [each[heading] for each in rounds] for heading in rounds[0]}
    return {**held, "shares": shares}


def counted(model, opened, seed, folder):
    """heading -> [right, asked] for one seed of scenes, perhaps from `folder`."""
    if not folder:
        return COUNT[model](opened, seed)
    asked = f"{model} {MODELS[model]} {seed} {digest(opened.weights)}"
    name = hashlib.sha256(asked.encode()).hexdigest()[:16]
    there = Path(folder) / "counted" / f"{name}.json"
    return runs.kept(there, lambda: COUNT[model](opened, seed))


def written(model, scheme, tensors, directory):
    """(folder, what is in it) of the model with these tensors, or its own: bytes of the
    file, bits of a weight that is rounded, and decibels of signal over noise, of the
    matrix with the least and in the median."""
    recipe = rounded.recipe(model, None)
    whole, few = directory / "float", directory / "few"
    rounded.publish(recipe, State(0, tensors or recipe.initial(), {}, []), whole)
    if scheme is None:
        size = (whole / "model.safetensors").stat().st_size
        return whole, {"bytes": size, "bits": 32.0, "sqnr": None}
    report = pretrained.quantize(whole, few, scheme)
    (worst,) = report.worst(1)
    middle = statistics.median(layer.sqnr for layer in report.layers)
    error = {"least": worst.sqnr, "of": worst.name, "median": middle}
    return few, {"bytes": report.bytes_after, "bits": report.bits, "sqnr": error}


def digest(weights):
    """A name for all numbers of a model."""
    whole = hashlib.sha256()
    for name in weights:
        whole.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())
    return whole.hexdigest()


def spoken(model, seed):
    """Captions true in every fact with no object missing, and questions answered."""
    how = MODELS["fastvlm-tiny"]
    report = scene_scores.score(
        model.answers, "train", how["scenes"], seed, how["questions"]
    )
    return {name: list(report.shares[name]) for name in ("captions", "questions")}


def matched(model, seed):
    """Single objects named among 48 classes, and 100 captions found by their pictures
    and the other way round."""
    how = MODELS["clip-tiny"]
    scores = clip_scores.clip_scores(
        model, how["pictures"], how["rounds"], FRESH + seed
    )
    found = scores["retrieval"]
    return {
        "zero-shot": list(scores["train"]["zero-shot"]),
        "zero-shot, unseen pairs": list(scores["unseen"]["zero-shot"]),
        "image to text": list(found["image to text, first 1"]),
        "text to image": list(found["text to image, first 1"]),
    }


COUNT = {"fastvlm-tiny": spoken, "clip-tiny": matched}


def describe(model):
    """What the model holds, and how much of it is rounded."""
    sizes = {n: a.size for n, a in rounded.recipe(model, None).initial().items()}
    names = rounded.matrices_of(model)
    return {
        "parameters": sum(sizes.values()),
        "quantized": sum(sizes[name] for name in names),
        "matrices": len(names),
    }


if __name__ == "__main__":
    serve(
        {
            "versions": identity.numpy_versions,
            "describe": describe,
            "learn": learn,
            "count": count,
        }
    )
