"""A process that rounds the trained models, lets them learn so, and counts."""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

import refvlm
from refvlm import quantize
from refvlm.checkpoint import write_text
from refvlm.metrics import clip_scores, scene_scores
from refvlm.recipes import rounded
from refvlm.train import running
from refvlm.train.state import State, load_state

from . import identity
from .quantization_cases import LEARNING, MODELS
from .turns import serve

FRESH = 2**31  # added to the seeds of what a CLIP is shown: training's are small
SAVE_EVERY = 25  # steps


def learn(model, scheme, learning, folder, seed):
    """The losses of a run in its own folder of `folder`, begun or resumed."""
    recipe, place = run_of(model, scheme, learning, folder, seed)
    state = running.run(recipe, place, save_every=SAVE_EVERY)
    return [round(row["loss"], 5) for row in state.history]


def run_of(model, scheme, learning, folder, seed):
    """(recipe, where its run lies): "rounded" in the scheme, "unrounded" in none."""
    in_run = scheme if learning == "rounded" else None
    how = LEARNING[model]
    peak = how.peaks.get(in_run, how.peak)
    recipe = rounded.recipe(model, in_run, how.steps, peak, seed)
    return recipe, Path(folder) / f"{recipe.name}-{seed}"


def count(model, scheme, seeds, learning=None, folder=None, seed=None):
    """heading -> [right, asked] for each seed of scenes.

    The model is the published one, or what a run has learnt; its matrices are rounded
    then. What has been counted of the same numbers and scenes is kept in `folder`.
    """
    tensors = None
    if learning:
        recipe, place = run_of(model, scheme, learning, folder, seed)
        tensors = load_state(place / running.STATE, recipe.name).tensors
    with tempfile.TemporaryDirectory() as directory:
        opened = written(model, scheme, tensors, directory)
        rounds = [counted(model, opened, each, folder) for each in seeds]
    return {heading: [each[heading] for each in rounds] for heading in rounds[0]}


def counted(model, opened, seed, folder):
    """heading -> [right, asked] for one seed of scenes, perhaps from `folder`."""
    if not folder:
        return COUNT[model](opened, seed)
    asked = f"{model} {MODELS[model]} {seed} {digest(opened.weights)}"
    name = hashlib.sha256(asked.encode()).hexdigest()[:16]
    kept = Path(folder) / "counted" / f"{name}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(COUNT[model](opened, seed)))
    return json.loads(kept.read_text(encoding="utf-8"))


def written(model, scheme, tensors, directory):
    """The model with these tensors, or its own, rounded, as it is loaded."""
    recipe = rounded.recipe(model, scheme)
    state = State(0, tensors or recipe.initial(), {}, [])
    rounded.publish(recipe, state, directory)
    return refvlm.load(directory)


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
    names = linear(model)
    return {
        "parameters": sum(sizes.values()),
        "quantized": sum(sizes[name] for name in names),
        "matrices": len(names),
    }


def size(model, scheme):
    """Bytes of all tensors, and bits of a weight that is rounded, scales included."""
    recipe = rounded.recipe(model, scheme)
    tensors, names = recipe.initial(), linear(model)
    pack = quantize.SCHEMES[scheme].pack if scheme else np.asarray
    packed = sum(pack(tensors[name]).nbytes for name in names)
    others = sum(a.nbytes for name, a in tensors.items() if name not in names)
    count = sum(tensors[name].size for name in names)
    return {"bytes": packed + others, "bits": 8 * packed / count}


def linear(model):
    """The names of the matrices that schemes round."""
    return set(rounded.recipe(model, "int8").matrices)


def error(model, scheme):
    """Decibels of signal over noise: the least matrix, by name, and the median."""
    recipe = rounded.recipe(model, scheme)
    matrices = recipe.initial()
    found = {
        name: quantize.quantization_error(
            matrices[name], recipe.rounding(matrices[name])
        ).sqnr
        for name in recipe.matrices
    }
    least = min(found, key=found.__getitem__)
    return {
        "least": found[least],
        "of": least,
        "median": statistics.median(found.values()),
    }


if __name__ == "__main__":
    serve(
        {
            "versions": identity.numpy_versions,
            "describe": describe,
            "learn": learn,
            "count": count,
            "error": error,
            "size": size,
        }
    )
