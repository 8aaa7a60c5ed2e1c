"""A MicroVLM of published parts: a DeiT that can see, a Qwen2.5 that can speak.

facebook/deit-tiny-patch16-224      transformers' names, or timm's  -> vision_encoder
Qwen/Qwen2.5-0.5B                   with its head, or tied          -> language_model
adapter, memory, scope, alignment   nobody has published: they begin anew

weights = assemble(load(deit), load(qwen), config, new)
weights = assemble(load(deit), load(qwen), config)        # an error that names them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..checkpoint import Weights, expect
from . import vit_names
from .microvlm import ADAPTER, ALIGNMENT, MEMORY, SCOPE, TOWER, expected_shapes
from .microvlm_config import MicroVLMConfig

NEW = (ADAPTER, MEMORY, SCOPE, ALIGNMENT)
SCOPES = ("vit", "deit")  # before the names of a whole classifier
SPEAKER = "language_model"

Shapes = dict[str, tuple[int, ...]]


def tower_part(weights: Weights) -> Weights:
    """A vision transformer of its own file as a MicroVLM's tower; a classifier's heads,
    and a pooler, are left out."""
    for scope in SCOPES:
        if f"{scope}.embeddings.cls_token" in weights:
            weights = weights.rename([(rf"^{scope}\.", "")])
    named = vit_names.canonical(weights, TOWER)
    seeing = f"{TOWER}.embeddings.", f"{TOWER}.encoder.", f"{TOWER}.layernorm."
    return named.rename(lambda name: name if name.startswith(seeing) else None)


def speaker_part(weights: Weights, tied: bool) -> Weights:
    """A Qwen2 of its own file as a MicroVLM's decoder; a head that is tied is the
    embedding, and is left out."""
    bare = "embed_tokens.weight" in weights  # saved without a head: no `model.` either

    def named(name: str) -> str | None:
        if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
            return None
        return f"{SPEAKER}.model.{name}" if bare else f"{SPEAKER}.{name}"

    return weights.rename(named)


def assemble(
    tower: Weights,
    speaker: Weights,
    config: MicroVLMConfig,
    new: Callable[[Shapes], Mapping[str, Any]] | None = None,
) -> Weights:
    """All that a MicroVLM consists of: what was published, and for the rest
    `new(shapes)`, an array for each name. Without it, the rest is named as missing.

    A DeiT that was distilled has a token more: `config.vision.distilled` says so. What
    is missing in a published part is an error in either case, and so is what is not
    known there.
    """
    tied = config.text.tie_word_embeddings
    expected = expected_shapes(config, tied)
    begun = tuple(f"{part}." for part in NEW)
    wanted = {name: s for name, s in expected.items() if name.startswith(begun)}
    parts = tower_part(tower), speaker_part(speaker, tied)
    for part, name in zip(parts, (TOWER, SPEAKER)):
        here = {n: s for n, s in expected.items() if n.startswith(f"{name}.")}
        expect(part, here)
    arrays = {} if new is None else new(wanted)
    origin = f"{tower.origin} and {speaker.origin}"
    tensors = {name: part.tensor(name) for part in parts for name in part}
    weights = Weights.of_tensors(tensors, origin).add(arrays)
    expect(weights, expected)
    return weights
