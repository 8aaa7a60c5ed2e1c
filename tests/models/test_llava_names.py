"""The spec of refvlm/models/llava_names.py."""

import re

import numpy as np
import pytest

from refvlm.checkpoint import CheckpointError, Weights
from refvlm.models import llava, llava_names

from .. import llavas
from ..spec import contract, example, law

NAMES = list(llavas.built()[1])


def first_names(name):
    """What the first conversions under llava-hf call a tensor."""
    name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
    name = re.sub(r"^model\.language_model\.", "language_model.model.", name)
    name = re.sub(r"^model\.vision_tower\.", "vision_tower.vision_model.", name)
    return name.removeprefix("model.")


def written_names(name):
    """What transformers 5 writes into a file."""
    return first_names(name).replace("vision_tower.vision_model.", "vision_tower.")


def names_between(name):
    """What the models of transformers 4.52 and later 4's call it."""
    return name.replace("model.vision_tower.", "model.vision_tower.vision_model.")


dialects = pytest.mark.parametrize(
    "dialect", [first_names, written_names, names_between]
)


@example
def test_current_name_as_published():
    """One tensor of each part, from the index of llava-hf/llava-1.5-7b-hf."""
    published = {
        "language_model.lm_head.weight": "lm_head.weight",
        "language_model.model.embed_tokens.weight": llava.EMBEDDING,
        "language_model.model.layers.9.self_attn.q_proj.weight": (
            f"{llava.DECODER}.layers.9.self_attn.q_proj.weight"
        ),
        "multi_modal_projector.linear_2.bias": f"{llava.PROJECTOR}.linear_2.bias",
        "vision_tower.vision_model.pre_layrnorm.weight": (
            f"{llava.TOWER}.pre_layrnorm.weight"
        ),
        "vision_tower.vision_model.embeddings.class_embedding": (
            f"{llava.TOWER}.embeddings.class_embedding"
        ),
    }
    for name, ours in published.items():
        assert llava_names.current_name(name) == ours


@law
@dialects
def test_current_name_of_every_dialect_is_the_same(dialect):
    """All tensors of a model come back under their own names."""
    there = [dialect(name) for name in NAMES]
    assert len(set(there)) == len(NAMES) and there != NAMES
    assert [llava_names.current_name(name) for name in there] == NAMES


@law
@dialects
def test_canonical_changes_names_and_nothing_else(dialect):
    """The same arrays; and where nothing changes, the same mapping."""
    _, tensors = llavas.built()
    found = llava_names.canonical(Weights({dialect(n): a for n, a in tensors.items()}))
    assert set(found) == set(tensors)
    assert all(found[name] is array for name, array in tensors.items())
    ours = Weights(tensors)
    assert llava_names.canonical(ours) is ours


@contract
def test_canonical_refuses_a_tensor_that_is_there_twice():
    """Under an old name and under today's: which one counts, nobody can say."""
    twice = {"lm_head.weight": np.zeros(1), "language_model.lm_head.weight": np.ones(1)}
    with pytest.raises(CheckpointError, match="would both be named 'lm_head.weight'"):
        llava_names.canonical(Weights(twice))
