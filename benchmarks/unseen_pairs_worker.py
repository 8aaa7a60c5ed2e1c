"""A process that lets clip-tiny go on among hard negatives, and counts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import refvlm
from refvlm.metrics import clip_scores
from refvlm.pretrained import shipped_model
from refvlm.recipes import hard_negatives
from refvlm.train import running

from . import identity, unseen_pairs
from .turns import serve

FRESH = 2**31  # added to the seeds of what a CLIP is shown: training's are small
SAVE_EVERY = 50  # steps


def count(arm, seed, folder, seeds):
    """heading -> [right, asked] for each seed of scenes, after the arm's run."""
    if arm is None:
        return shares_of(refvlm.load(shipped_model("clip-tiny")), seeds)
    steps, peak = unseen_pairs.STEPS, unseen_pairs.PEAK
    recipe = hard_negatives.recipe(arm, steps, peak, seed)
    place = Path(folder) / f"{recipe.name}-{steps}-{peak:g}-{seed}"
    state = running.run(recipe, place, save_every=SAVE_EVERY)
    with tempfile.TemporaryDirectory() as directory:
        hard_negatives.publish(recipe, state, Path(directory) / "model")
        return shares_of(refvlm.load(Path(directory) / "model"), seeds)


def shares_of(model, seeds):
    """The rounds side by side."""
    rounds = [matched(model, seed) for seed in seeds]
    return {heading: [each[heading] for each in rounds] for heading in rounds[0]}


def matched(model, seed):
    """Objects named whole and in part, of both splits, and captions found."""
    scores = clip_scores.clip_scores(
        model, unseen_pairs.PICTURES, unseen_pairs.RETRIEVALS, FRESH + seed
    )
    return {
        "known pairs": list(scores["train"]["zero-shot"]),
        "unseen pairs": list(scores["unseen"]["zero-shot"]),
        "unseen pairs, colour": list(scores["unseen"]["colour"]),
        "unseen pairs, shape": list(scores["unseen"]["shape"]),
        "image to text": list(scores["retrieval"]["image to text, first 1"]),
    }


if __name__ == "__main__":
    serve({"versions": identity.numpy_versions, "count": count})
