"""A process that lets the ways to join learn, counts what they get right, and what
they cost."""

from __future__ import annotations

import math
from pathlib import Path
from unittest import mock

import numpy as np

from refvlm import ops, scenes
from refvlm.checkpoint import Weights
from refvlm.metrics import scene_scores
from refvlm.recipes import clip_tiny, one_budget
from refvlm.recipes.packing import Text, pack
from refvlm.train import running
from refvlm.train.state import load_state

from . import identity, runs
from .joining_cases import PEAKS, QUESTIONS, SCENES, STEPS, TOGETHER, WORDS, slug
from .turns import serve

SAVE_EVERY = 100  # steps


def run_of(folder, joint, seed):
    """(recipe, where its run lies)."""
    peak = PEAKS[joint]
    recipe = one_budget.recipe(joint, STEPS, peak, seed)
    return recipe, Path(folder) / f"{slug(joint)}-{peak:g}-{STEPS}-{seed}"


def learn(folder, joint, seed):
    """The curve of a run, in means of some steps, and the seconds of processor time
    that it took, in however many pieces."""
    history, spent = runs.learnt(*run_of(folder, joint, seed), SAVE_EVERY)
    curve = runs.means(history, "loss", TOGETHER)
    return {"losses": curve, "seconds": round(spent, 1)}


def count(folder, joint, seed, seeds):
    """heading -> [right, asked] for each seed of scenes, perhaps from the folder."""
    recipe, place = run_of(folder, joint, seed)
    tensors = load_state(place / running.STATE, recipe.name).tensors
    rounds = [counted(recipe, tensors, place, each) for each in seeds]
    headings = dict.fromkeys(heading for each in rounds for heading in each)
    return {h: [each.get(h, [0, 0]) for each in rounds] for h in headings}


def counted(recipe, tensors, place, seed):
    """heading -> [right, asked] for one seed of scenes."""

    def count():
        report = scene_scores.score(
            one_budget.answering(recipe, tensors),
            *("train", SCENES, seed, QUESTIONS),
            draw=lambda scene: scenes.draw(scene, clip_tiny.SIDE),
        )
        return report.shares

    return runs.kept(place / f"counted-{seed}-{SCENES}-{QUESTIONS}.json", count)


def describe(joint):
    """Parameters, and what a picture and a word cost."""
    recipe = one_budget.recipe(joint)
    decoder, own = (sum(map(math.prod, s.values())) for s in recipe.shapes())
    alone = one_budget.recipe("blind")
    return {
        "peak": PEAKS[joint],
        "parameters": {"decoder": decoder, "joint": own},
        "flops": {
            "picture": flops(recipe, WORDS) - flops(alone, WORDS),
            "token": flops(recipe, WORDS + 1) - flops(recipe, WORDS),
        },
    }


def flops(recipe, words):
    """FLOPs of reading one picture and so many words, as the operators are called:
    2 m k n for each product, and for scores what the mask lets be seen. Tower and head,
    which all joints share, are left out."""
    weights = Weights(recipe.initial())
    seen = np.zeros((1, 1 + clip_tiny.GRID**2, clip_tiny.VISION["hidden_size"]))
    packed = pack(recipe.prefix, [[Text([recipe.end] * words, [])]])
    found = []

    def linear(x, weight, bias=None):
        found.append(2 * math.prod(x.shape) * len(weight))
        return actual["linear"](x, weight, bias)

    def gated(x, gate, up):
        found.append(4 * math.prod(x.shape) * len(gate))
        return actual["gated_linear"](x, gate, up)

    def attention(queries, keys, values, attn_mask=None, is_causal=False, **options):
        pairs = np.ones((*queries.shape[:-1], keys.shape[-2]), bool)
        if attn_mask is not None:
            pairs = pairs & attn_mask
        found.append(4 * queries.shape[-1] * int(pairs.sum()))
        given = {"attn_mask": attn_mask, "is_causal": is_causal, **options}
        return actual["scaled_dot_product_attention"](queries, keys, values, **given)

    counting = dict(
        linear=linear, gated_linear=gated, scaled_dot_product_attention=attention
    )
    actual = {name: getattr(ops, name) for name in counting}
    with mock.patch.multiple(ops, **counting):
        recipe.hidden(seen.astype(np.float32), packed, weights)
    return sum(found)


if __name__ == "__main__":
    serve(
        {
            "versions": identity.numpy_versions,
            "describe": describe,
            "learn": learn,
            "count": count,
        }
    )
