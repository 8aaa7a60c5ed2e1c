"""The spec of refvlm/recipes/joints.py: ways to join, and the laws they differ by."""

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.models import llama
from refvlm.models.causal import Packing
from refvlm.recipes.joints import (
    DECODER,
    EMBEDDING,
    GATES,
    JOINT,
    JOINTS,
    LATENTS,
)

from ..spec import assert_close, law
from ..weights import random_weights

SEEN, PATCHES, WORDS = 10, 6, 5
CONFIG = llama.LlamaConfig(
    vocab_size=17,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=4,
    tie_word_embeddings=True,
)
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(2, 1 + PATCHES, SEEN))
IDS = RNG.integers(0, 17, (2, WORDS))


def weights_of(joint):
    shapes = {f"{DECODER}.{n}": s for n, s in llama.expected_shapes(CONFIG).items()}
    own = {f"{JOINT}.{n}": s for n, s in JOINTS[joint].shapes(SEEN, CONFIG).items()}
    return random_weights({**shapes, **own}, seed=3)


def joined(joint, weights, features=FEATURES, ids=IDS):
    """Final hidden states of the words, (b, WORDS, h)."""
    picture = JOINTS[joint].tokens(PATCHES)
    rows = np.concatenate([np.zeros((len(ids), picture), int), ids], axis=1)
    tokens = rows.shape[1]
    positions = np.broadcast_to(np.arange(tokens), rows.shape)
    sees = np.broadcast_to(np.tri(tokens, dtype=bool), (len(ids), tokens, tokens))
    if JOINTS[joint].both_ways:
        sees = sees.copy()
        sees[:, :picture, :picture] = True
    layout = Packing(positions, sees)
    return JOINTS[joint].forward(features, rows, layout, weights, CONFIG)[:, picture:]


@law
@pytest.mark.parametrize("joint", JOINTS)
def test_words_know_the_picture_unless_blind(joint):
    """Another picture, other states; and none of them depends on words behind it."""
    weights = Weights(weights_of(joint))
    states = joined(joint, weights)
    assert states.shape == (2, WORDS, CONFIG.hidden_size)
    swapped = joined(joint, weights, FEATURES[::-1])
    assert np.allclose(states, swapped) == (joint == "blind")
    changed = IDS.copy()
    changed[:, -1] = (changed[:, -1] + 1) % 17
    assert_close(joined(joint, weights, ids=changed)[:, :-1], states[:, :-1], 1e-12)


@law
@pytest.mark.parametrize("joint", JOINTS)
def test_every_tensor_of_a_joint_learns(joint):
    """None is there for nothing: a change of the states reaches each of them."""
    weights = weights_of(joint)
    pull = np.random.default_rng(4).normal(size=(2, WORDS, CONFIG.hidden_size))

    def loss(weights):
        return (joined(joint, weights) * pull).sum()

    _, gradients = value_and_grad(loss, trainable=list(weights))(Weights(weights))
    still = {name for name, slope in gradients.items() if not np.abs(slope).max() > 0}
    assert not {n for n in still if n != EMBEDDING and not n.endswith("key.bias")}


@law
@pytest.mark.parametrize("joint", ["gates shut", "blind"])
def test_shut_gates_are_blind(joint):
    """At gates of zero, as training begins, the decoder is alone, to the bit."""
    weights = weights_of("gates shut")
    shut = {n: np.zeros_like(a) for n, a in weights.items() if n.endswith(GATES)}
    given = Weights({**weights, **shut})
    np.testing.assert_array_equal(joined(joint, given), joined("blind", given))


@law
def test_open_gates_are_gates_of_infinity():
    """The joint without gates is the gated one, all the way open."""
    weights = weights_of("gates shut")
    wide = {n: np.full_like(a, 50.0) for n, a in weights.items() if n.endswith(GATES)}
    given = Weights({**weights, **wide})
    assert_close(joined("gates open", given), joined("gates shut", given), 1e-12)
    assert not {*JOINTS["gates open"].shapes(SEEN, CONFIG)} & {*wide}


@law
@pytest.mark.parametrize("joint", ["linear", "MLP", "early", "Q-Former", "Perceiver"])
def test_spliced_tokens_are_the_patches_or_the_latents(joint):
    """As many as patches, or a few however many patches there are."""
    few = joint in ("Q-Former", "Perceiver")
    for patches in (6, 64):
        assert JOINTS[joint].tokens(patches) == (LATENTS if few else patches)


@law
@pytest.mark.parametrize("joint", JOINTS)
def test_order_of_patches_matters_to_the_spliced_alone(joint):
    """Where patches have no place of their own, only a row gives them one: the tower's
    positions are what the others know places from."""
    weights = Weights(weights_of(joint))
    order = [0, *np.random.default_rng(5).permutation(PATCHES) + 1]
    same = np.allclose(
        joined(joint, weights), joined(joint, weights, FEATURES[:, order])
    )
    assert same == (joint not in ("linear", "MLP", "early"))
