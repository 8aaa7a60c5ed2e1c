"""The spec of refvlm/models/decoders.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.models.decoders import DECODERS

from ..spec import assert_close, derivative, example, law, random_arrays
from ..weights import random_weights

SMALL = {  # a tiny one of each, by its config.json
    "gpt2": {"vocab_size": 37, "n_positions": 64, "n_embd": 24, "n_layer": 3}
    | {"n_head": 6},
    "llama": {"vocab_size": 37, "hidden_size": 24, "intermediate_size": 40}
    | {"num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 6}
    | {"max_position_embeddings": 64},
    "qwen2": {"vocab_size": 37, "hidden_size": 24, "intermediate_size": 40}
    | {"num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2}
    | {"max_position_embeddings": 64, "rope_theta": 1e4},
}
IDS = np.random.RandomState(0).randint(0, 37, (3, 9))
MASK = np.arange(9) >= np.array([[0], [3], [5]])  # rows of 9, 6 and 4 tokens

families = pytest.mark.parametrize("name", DECODERS)


def small(name, tied=True):
    """(family, config, weights) of a tiny decoder, every number random."""
    family = DECODERS[name]
    config = family.config.from_json(SMALL[name])
    shapes = family.expected_shapes(config, tied)
    return family, config, Weights(random_weights(shapes, seed=5))


def hidden(name, ids, *args, **options):
    """The final hidden states of ids."""
    family, config, weights = small(name)
    embeddings = ops.embedding(ids, weights[family.embedding])
    return family.forward(
        embeddings, weights.scope(family.scope), config, *args, **options
    )


@example
@pytest.mark.parametrize(
    "name, change, tied, total",
    [
        ("gpt2", {}, True, 124_439_808),
        ("gpt2", {"n_embd": 1024, "n_layer": 24, "n_head": 16}, True, 354_823_168),
        ("llama", {}, False, 6_738_415_616),
        (
            "llama",
            {"hidden_size": 5120, "intermediate_size": 13824}
            | {"num_hidden_layers": 40, "num_attention_heads": 40},
            False,
            13_015_864_320,
        ),
        (
            "qwen2",
            {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24}
            | {"num_attention_heads": 14, "num_key_value_heads": 2},
            True,
            494_032_768,
        ),
    ],
)
def test_expected_shapes_count_the_published_parameters(name, change, tied, total):
    """GPT-2 and its medium, LLaMA of 7B and 13B, Qwen2-0.5B: as they were published."""
    family = DECODERS[name]
    shapes = family.expected_shapes(family.config.from_json(change), tied).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == total


@law
@families
def test_decoders_never_look_ahead(name):
    """Change a token, and nothing before it changes."""
    changed = IDS.copy()
    changed[:, 5] = (changed[:, 5] + 1) % 37
    before, after = hidden(name, IDS), hidden(name, changed)
    np.testing.assert_allclose(after[:, :5], before[:, :5], rtol=0, atol=1e-12)
    assert np.abs(after[:, 5:] - before[:, 5:]).max() > 1e-3


@law
@families
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cuts", [(1,) * 9, (4, 1, 1, 3), (7, 2)])
def test_decoders_with_a_cache_equal_those_without(name, cuts, masked):
    """Token by token or in pieces, padded on the left or not."""
    mask = MASK if masked else np.ones_like(MASK)
    whole = hidden(name, IDS, mask)
    family, config, _ = small(name)
    cache = family.new_cache(config, batch=3, capacity=9, dtype=np.float64)
    pieces, start = [], 0
    for cut in cuts:
        end = start + cut
        pieces.append(hidden(name, IDS[:, start:end], mask[:, :end], cache))
        start = end
    assert cache.length == 9
    assert_close(np.concatenate(pieces, axis=1)[mask], whole[mask], 1e-11)


@law
@families
def test_rows_padded_on_the_left_give_what_they_give_alone(name):
    """A position counts tokens, not padding: learnt positions show it, and rotary ones
    to the last digits."""
    together = hidden(name, IDS, MASK)
    for row, counts in enumerate(MASK):
        alone = hidden(name, IDS[row : row + 1, counts])
        assert_close(together[row : row + 1, counts], alone, 1e-11)


@law
@families
def test_decoders_of_the_last_tokens_are_the_end_of_the_whole(name):
    """Who asks for few states gets those, and each layer is watched."""
    watch = []
    whole = hidden(name, IDS, MASK, watch=watch)
    assert [weights.shape for weights in watch] == [(3, 6, 9, 9)] * 3
    assert_close(hidden(name, IDS, MASK, last=2), whole[:, -2:])


@law
@families
def test_decoders_of_packed_texts_give_what_each_gives_alone(name):
    """Two texts in one row that do not see each other, each from position 0."""
    from refvlm.models.causal import Packing

    owner = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    positions = np.array([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    sees = (owner[:, None] == owner) & np.tri(9, dtype=bool)
    together = hidden(name, IDS[:1], packing=Packing(positions, sees[None]))
    for part in (slice(0, 4), slice(4, 9)):
        assert_close(together[:, part], hidden(name, IDS[:1, part]), 1e-11)


@law
@families
def test_logits_of_a_tied_head_are_products_with_the_embedding(name):
    """And with the head, where there is one."""
    family, _, weights = small(name)
    state = random_arrays(2)(1, 24)
    tied = state @ weights[family.embedding].T
    assert_close(family.logits(state, weights), tied)
    _, _, untied = small(name, tied=False)
    assert_close(family.logits(state, untied), state @ untied[family.head].T)


@derivative
@families
def test_the_gradient_of_a_tied_head_is_the_sum_of_both(name):
    """dE = dE of the look-up + dE of the head: what each would have of its own."""
    family, config, tied = small(name)
    head = {family.head: tied[family.embedding].copy()}

    def loss(weights):
        embeddings = ops.embedding(IDS, weights[family.embedding])
        states = family.forward(embeddings, weights.scope(family.scope), config)
        return ops.cross_entropy(
            family.logits(states[:, :-1], weights).reshape(-1, 37), IDS[:, 1:].ravel()
        )

    _, together = value_and_grad(loss)(tied)
    _, apart = value_and_grad(loss)(tied.add(head))
    looked_up, scored = apart[family.embedding], apart[family.head]
    assert np.abs(looked_up).max() > 1e-3 and np.abs(scored).max() > 1e-3
    assert_close(together[family.embedding], looked_up + scored, 1e-11)
