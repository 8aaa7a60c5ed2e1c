"""The spec of refvlm/models/decoders.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.generate import decode
from refvlm.models.causal import Packing
from refvlm.models.decoders import DECODERS

from ..oracles import all_double, import_torchvision
from ..spec import assert_close, derivative, example, law, oracle, random_arrays
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


BASE = SMALL["llama"] | {"head_dim": 8, "num_attention_heads": 4}
BASE |= {"num_key_value_heads": 4}
SHORT = BASE | {"max_position_embeddings": 8}
LLAMA3 = {"low_freq_factor": 0.5, "high_freq_factor": 2.0}
CASES = {  # name -> (family, config.json)
    "gpt2": ("gpt2", SMALL["gpt2"] | {"n_inner": 31}),
    "llama": ("llama", BASE),
    "llama of shared heads": ("llama", BASE | {"num_key_value_heads": 2}),
    "llama with biases": ("llama", BASE | {"attention_bias": True}),
    "qwen2": ("qwen2", SMALL["qwen2"]),
} | {
    f"{name} by {rope['rope_type']}{more}": (name, SHORT | {"rope_parameters": rope})
    for name, more, rope in [
        ("llama", "", {"rope_type": "linear", "factor": 6.5, "rope_theta": 500.0}),
        ("llama", "", {"rope_type": "dynamic", "factor": 6.0, "rope_theta": 1e4}),
        ("llama", "", {"rope_type": "llama3", "factor": 8.0, "rope_theta": 50.0}
        | {"original_max_position_embeddings": 8, **LLAMA3}),
        ("llama", "", {"rope_type": "yarn", "factor": 8.0, "rope_theta": 50.0}
        | {"original_max_position_embeddings": 8, "beta_fast": 2.0}),
        ("llama", " and mscales", {"rope_type": "yarn", "factor": 8.0}
        | {"original_max_position_embeddings": 8, "rope_theta": 50.0, "beta_fast": 2.0}
        | {"mscale": 0.75, "mscale_all_dim": 0.5, "truncate": False}),
        ("qwen2", "", {"rope_type": "yarn", "factor": 8.0, "rope_theta": 50.0}
        | {"original_max_position_embeddings": 8, "attention_factor": 1.5}),
        ("qwen2", "", {"rope_type": "dynamic", "factor": 6.0, "rope_theta": 1e4}),
    ]
}  # fmt: skip
PROMPTS = np.random.RandomState(1).randint(0, 37, (3, 12))
COUNTS = np.arange(12) >= np.array([[0], [4], [7]])  # rows of 12, 8 and 5 tokens
NEW = 32


def of_transformers(torch, name, document, weights):
    """A model of transformers with our weights, made under `all_double`."""
    import_torchvision()
    import transformers

    kinds = {"gpt2": "GPT2", "llama": "Llama", "qwen2": "Qwen2"}
    config = getattr(transformers, f"{kinds[name]}Config")(
        **document,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",  # eager makes NaN of a row that sees nothing
    )
    head = {"gpt2": "GPT2LMHeadModel"}.get(name, f"{kinds[name]}ForCausalLM")
    model = getattr(transformers, head)(config).double().eval()
    state = {n: torch.from_numpy(weights[n].copy()) for n in weights}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    return model


def answers_of_transformers(torch, name, document, weights, ids, mask):
    """Its logits, and what it continues greedily with, by a cache and without one."""
    with all_double(torch), torch.no_grad():
        positions = np.maximum(mask.cumsum(1) - 1, 0)
        tokens = [torch.from_numpy(np.array(a, np.int64)) for a in (ids, mask)]
        model = of_transformers(torch, name, document, weights)
        logits = model(
            *(tokens[:1]),
            attention_mask=tokens[1],
            position_ids=torch.from_numpy(positions),
        ).logits
        answers = {"logits": logits.numpy()}
        for use_cache in (True, False):
            model = of_transformers(torch, name, document, weights)  # it remembers
            said = model.generate(
                tokens[0],
                attention_mask=tokens[1],
                max_new_tokens=NEW,
                pad_token_id=0,
                do_sample=False,
                use_cache=use_cache,
            )
            answers[f"cached {use_cache}"] = said[:, ids.shape[1] :].numpy()
    return answers


def continued(family, config, weights, ids, mask, cached):
    """NEW ids, greedily, where no two scores are nearly equal."""
    cache = family.new_cache(config, len(ids), 12 + NEW, np.float64) if cached else None
    seen = ids

    def step(new):
        nonlocal seen
        given = seen = ids if new is None else np.append(seen, new[:, None], axis=1)
        if cached and new is not None:
            given = new[:, None]
        more = np.ones((len(ids), seen.shape[1] - ids.shape[1]), bool)
        states = family.forward(
            ops.embedding(given, weights[family.embedding]),
            weights.scope(family.scope),
            config,
            np.append(mask, more, axis=1),
            cache,
            last=1,
        )
        scores = family.logits(states[:, 0], weights)
        best = np.sort(scores, axis=-1)
        assert (best[:, -1] - best[:, -2]).min() > 1e-6
        return scores

    return np.stack(list(decode(step(None), step, NEW)), axis=1)


@oracle
@pytest.mark.parametrize("case", CASES)
def test_decoders_equal_transformers(compare, case):
    """Logits of prompts padded on the left, and 32 tokens after them, by a cache and
    without one, well beyond the original context of 8.

    transformers stretches a "dynamic" batch by its longest row; ours is stretched row
    by row, as each would be alone, so there it is asked for each row alone.
    """
    name, document = CASES[case]
    family = DECODERS[name]
    config = family.config.from_json(document)
    tied = config.tie_word_embeddings
    weights = Weights(random_weights(family.expected_shapes(config, tied), seed=8))
    rows = [np.s_[i : i + 1, 12 - COUNTS[i].sum() :] for i in range(3)]
    parts = rows if "dynamic" in case else [np.s_[:, :]]

    def ask(torch):
        given = name, document, weights
        return {
            f"{key} {number}": answer
            for number, part in enumerate(parts)
            for key, answer in answers_of_transformers(
                torch, *given, PROMPTS[part], COUNTS[part]
            ).items()
        }

    answers = compare.answers(ask, (case, dict(weights), PROMPTS, COUNTS))
    states = family.forward(
        ops.embedding(PROMPTS, weights[family.embedding]),
        weights.scope(family.scope),
        config,
        COUNTS,
    )
    logits = family.logits(states, weights)
    for number, part in enumerate(parts):
        expected = answers[f"logits {number}"][COUNTS[part]]
        assert expected.std() > 0.3
        assert_close(logits[part][COUNTS[part]], expected, 1e-9)
    for cached in (True, False):
        ours = continued(family, config, weights, PROMPTS, COUNTS, cached)
        for number, part in enumerate(parts):
            said = answers[f"cached {cached} {number}"]
            np.testing.assert_array_equal(ours[part[0]], said)
            assert len(set(said[0])) > 3, "a model that repeats itself tells little"


def loss_of(family, config):
    """How surprised the decoder is by IDS, a function of its weights."""

    def loss(weights):
        embeddings = ops.embedding(IDS, weights[family.embedding])
        states = family.forward(embeddings, weights.scope(family.scope), config)
        logits = family.logits(states[:, :-1], weights)
        return ops.cross_entropy(logits.reshape(-1, 37), IDS[:, 1:].ravel())

    return loss


@derivative
@families
def test_the_gradient_of_a_tied_head_is_the_sum_of_both(name):
    """dE = dE of the look-up + dE of the head: what each would have of its own."""
    family, config, tied = small(name)
    head = {family.head: tied[family.embedding].copy()}
    evaluate = value_and_grad(loss_of(family, config))
    _, together = evaluate(tied)
    _, apart = evaluate(tied.add(head))
    looked_up, scored = apart[family.embedding], apart[family.head]
    assert np.abs(looked_up).max() > 1e-3 and np.abs(scored).max() > 1e-3
    assert_close(together[family.embedding], looked_up + scored, 1e-11)


@derivative
@families
def test_gradients_equal_those_of_transformers(compare, name):
    """Of the embedding, which torch shares with the head as one Parameter, and of every
    vector of the layers."""
    family, config, weights = small(name)
    document = SMALL[name] | {"tie_word_embeddings": True}

    def ask(torch):
        with all_double(torch):
            model = of_transformers(torch, name, document, weights)
            ids = torch.from_numpy(IDS)
            logits = model(ids).logits[:, :-1].reshape(-1, 37)
            torch.nn.functional.cross_entropy(logits, ids[:, 1:].ravel()).backward()
        return {
            key: parameter.grad.numpy()
            for key, parameter in model.named_parameters()
            if parameter.ndim == 1 or key == family.embedding
        }

    answers = compare.answers(ask, (name, dict(weights), IDS), of_one_scale=True)
    assert family.embedding in answers
    _, gradients = value_and_grad(loss_of(family, config))(weights)
    assert set(gradients) == set(weights)
    scale = max(np.abs(answer).max() for answer in answers.values())
    for key, expected in answers.items():
        assert np.abs(gradients[key] - expected).max() < 1e-9 * scale
