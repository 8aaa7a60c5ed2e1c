"""A process that lets the trained models go on with fewer tokens, and counts."""

from __future__ import annotations

import numpy as np

import refvlm
from refvlm.analysis.fewer_patches import FewerPatches
from refvlm.analysis.fewer_tokens import FewerTokens
from refvlm.checkpoint import Weights
from refvlm.metrics import clip_scores, scene_scores
from refvlm.pretrained import shipped_model

from . import identity
from .fewer_tokens_cases import MODELS
from .turns import serve

FRESH = 2**31  # added to the seeds of what a CLIP is shown: training's are small
OPENED: dict = {}


def count(model, keep, way, otherwise, seeds):
    """heading -> [right, asked] for each seed, which is also that of what is drawn; of
    the headings that every round has."""
    rounds = [COUNT[model](opened(model), keep, way, otherwise, s) for s in seeds]
    shared = [name for name in rounds[0] if all(name in each for each in rounds)]
    return {heading: [each[heading] for each in rounds] for heading in shared}


def opened(model):
    """The published model, its weights made once."""
    if model not in OPENED:
        found = refvlm.load(shipped_model(model))
        found.weights = Weights({name: found.weights[name] for name in found.weights})
        OPENED[model] = found
    return OPENED[model]


def spoken(model, keep, way, otherwise, seed):
    """Captions true in every fact with no object missing, and questions by kind."""
    how = MODELS["fastvlm-tiny"]
    reader = (
        model if way is None else FewerTokens(model, keep, way, seed, not otherwise)
    )
    report = scene_scores.score(
        reader.answers, "train", how["scenes"], seed, how["questions"]
    )
    return {name: list(share) for name, share in report.shares.items()}


def named(model, keep, way, otherwise, seed):
    """Single objects named among 48 classes."""
    count = MODELS["clip-tiny"]["pictures"]
    looks = (
        model if way is None else FewerPatches(model, keep, way, seed, not otherwise)
    )
    things = clip_scores.thing_directions(model)
    rng = np.random.default_rng(FRESH + seed)
    shares = clip_scores.named(looks, things, rng, "train", count)
    return {name: list(share) for name, share in shares.items()}


COUNT = {"fastvlm-tiny": spoken, "clip-tiny": named}


if __name__ == "__main__":
    serve({"versions": identity.numpy_versions, "count": count})
