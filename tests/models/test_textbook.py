"""The spec of refvlm/models/textbook.py and textbook_config.py."""

import json
from dataclasses import replace

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.kv_cache import ContextError
from refvlm.blocks.transformer import linear
from refvlm.checkpoint import Weights
from refvlm.models import textbook, vit
from refvlm.models.causal import Packing
from refvlm.models.fields import ConfigError
from refvlm.models.textbook_config import TextbookConfig
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

JSON = {
    "model_type": "textbook_vlm",
    "vision_feature_layer": -2,
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": 11,
        "patch_size": 4,
        "layer_norm_eps": 1e-3,
    },
    "text_config": {
        "vocab_size": 19,
        "hidden_size": 8,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 14,
        "max_position_embeddings": 9,
        "layer_norm_eps": 1e-4,
    },
}
CONFIG = TextbookConfig.from_json(JSON)
PIXELS = random_arrays(7)(3, 3, 11, 11)
IDS = np.random.RandomState(0).randint(0, 19, (3, 9))
MASK = np.arange(9) >= np.array([[0], [3], [5]])  # rows of 9, 6 and 4 tokens


def variant(text=(), vision=(), **changes):
    """(config, weights) of a model that differs in some numbers of its config.json."""
    document = {
        **JSON,
        **changes,
        "text_config": JSON["text_config"] | dict(text),
        "vision_config": JSON["vision_config"] | dict(vision),
    }
    config = TextbookConfig.from_json(document)
    shapes = textbook.expected_shapes(config, config.text.tie_word_embeddings)
    return config, Weights(random_weights(shapes, seed=6))


_, WEIGHTS = variant()
KINDS = [
    {"norm_first": norm_first, "cross_attention_frequency": frequency}
    for norm_first in (False, True)
    for frequency in (1, 2)
]
kinds = pytest.mark.parametrize(
    "kind", KINDS, ids=["post", "post, every 2nd", "pre", "pre, every 2nd"]
)


def states(kind, ids, seen, *args, **options):
    """The decoder's final hidden states of ids, looking at `seen`."""
    config, weights = variant(kind)
    words = ops.embedding(ids, weights[textbook.EMBEDDING])
    scope = weights.scope(textbook.DECODER)
    return textbook.decoder(words, scope, config.text, *args, picture=seen, **options)


SEEN = random_arrays(8)(3, 4, 8)


@example
def test_textbook_of_the_source_has_81_million_parameters_and_not_500():
    """By part, as its section 7 prints the model: all eight layers look, or every
    second of them; and what the projection that it leaves out could be spared."""
    source = TextbookConfig()
    assert source.vision.patches == 196 and source.text.context == 512

    def counted(config, *beginnings):
        shapes = textbook.expected_shapes(config, tied=True)
        held = [s for n, s in shapes.items() if n.startswith(beginnings)]
        return sum(int(np.prod(shape)) for shape in held)

    assert counted(source, "vision_model.") == 21_665_664
    assert counted(source, "projection.") == 512 * 384 + 512
    assert counted(source, "decoder.token", "decoder.position") == 50_512 * 512
    assert counted(source, "decoder.layers.") == 8 * (16 * 512**2 + 19 * 512)
    assert counted(source, "lm_head.") == 50_000
    assert counted(source, "") == 81_407_184
    four = replace(source, text=replace(source.text, cross_attention_frequency=2))
    look = 4 * 512**2 + 4 * 512 + 2 * 512
    assert counted(four, "") == 81_407_184 - 4 * look == 77_200_592
    straight = counted(four, "") - counted(four, "projection.") - 4 * 2 * 512 * 128
    assert straight == 76_479_184


@example
def test_textbook_keeps_what_the_source_counts_and_what_it_forgets():
    """8.4 MB of words in half precision, as printed; 3.2 MB of the picture, too."""
    config = TextbookConfig()
    cache = textbook.new_cache(config.text, 1, 512, np.float16)
    assert cache.nbytes == 2 * 8 * 512 * 512 * 2 == 8_388_608
    picture = 2 * 8 * config.vision.patches * 512 * 2
    assert picture == 3_211_264


@law
@kinds
def test_textbook_never_looks_ahead(kind):
    """Change a word, and nothing before it changes; the picture is seen by all."""
    changed = IDS.copy()
    changed[:, 5] = (changed[:, 5] + 1) % 19
    before, after = states(kind, IDS, SEEN), states(kind, changed, SEEN)
    np.testing.assert_allclose(after[:, :5], before[:, :5], rtol=0, atol=1e-12)
    assert np.abs(after[:, 5:] - before[:, 5:]).max(-1).min() > 1e-6
    other = states(kind, IDS, SEEN[::-1])
    assert np.abs(other - before)[[0, 2]].max(-1).min() > 1e-3


@law
def test_textbook_answers_change_with_the_picture_alone():
    """Of the same question, about another picture; a row's own only."""
    logits = textbook.textbook(PIXELS, IDS, WEIGHTS, CONFIG)
    changed = PIXELS.copy()
    changed[1] = PIXELS[0]
    after = textbook.textbook(changed, IDS, WEIGHTS, CONFIG)
    assert np.abs(after - logits)[1].max(-1).min() > 1e-3
    assert_close(after[[0, 2]], logits[[0, 2]])


@law
@kinds
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cuts", [(1,) * 9, (4, 1, 1, 3)])
def test_textbook_with_a_cache_equals_without(kind, cuts, masked):
    """Token by token or in pieces, padded on the left or not."""
    mask = MASK if masked else np.ones_like(MASK)
    whole = states(kind, IDS, SEEN, mask)
    config, _ = variant(kind)
    cache = textbook.new_cache(config.text, 3, 9, np.float64)
    pieces, start = [], 0
    for end in np.cumsum(cuts):
        piece = IDS[:, start:end]
        pieces.append(states(kind, piece, SEEN, mask[:, :end], cache))
        start = end
    assert cache.length == 9
    assert_close(np.concatenate(pieces, axis=1)[mask], whole[mask], 1e-11)


@law
def test_textbook_reads_the_picture_once_for_each_answer():
    """Its keys and values are in the cache from the first token on; what is handed in
    later is not looked at."""
    cache = textbook.new_cache(CONFIG.text, 3, 9, np.float64)
    whole = states({}, IDS, SEEN)
    first = states({}, IDS[:, :8], SEEN, cache=cache)
    kept = list(cache.memory)
    rest = states({}, IDS[:, 8:], None, cache=cache)
    assert_close(np.concatenate([first, rest], axis=1), whole, 1e-11)
    assert all(now is then for now, then in zip(cache.memory, kept))


@law
@pytest.mark.parametrize("rows", [[2, 0, 0], [1, 2], [0, 0, 1, 2, 1]])
def test_textbook_beams_take_their_pictures_along(rows):
    """A row that goes on from another's words goes on from its picture, too."""
    cache = textbook.new_cache(CONFIG.text, 3, 9, np.float64)
    states({}, IDS[:, :8], SEEN, cache=cache)
    cache.reorder(rows)
    after = states({}, IDS[rows, 8:], SEEN[rows], cache=cache)
    assert_close(after, states({}, IDS, SEEN)[rows, 8:], 1e-11)


@law
def test_textbook_rows_padded_on_the_left_give_what_they_give_alone():
    """A position counts tokens, not padding; and none sees another's picture."""
    together = textbook.textbook(PIXELS, IDS, WEIGHTS, CONFIG, MASK)
    for i, counts in enumerate(MASK):
        given = PIXELS[i : i + 1], IDS[i : i + 1, counts]
        alone = textbook.textbook(*given, WEIGHTS, CONFIG)
        assert_close(together[i : i + 1, counts], alone, 1e-11)


@law
@kinds
def test_textbook_of_the_last_tokens_is_the_end_of_the_whole(kind):
    """Who asks for few states gets those, and each layer that looks is watched."""
    watch = []
    whole = states(kind, IDS, SEEN, MASK, watch=watch)
    looking = 3 if kind["cross_attention_frequency"] == 1 else 2
    assert [weights.shape for weights in watch] == [(3, 2, 9, 4)] * looking
    assert_close(np.stack(watch).sum(-1), np.ones((looking, 3, 2, 9)))
    assert_close(states(kind, IDS, SEEN, MASK, last=2), whole[:, -2:])


@law
def test_textbook_of_packed_texts_gives_what_each_gives_alone():
    """Two texts about one picture in one row, each from position 0."""
    owner = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    positions = np.array([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    sees = (owner[:, None] == owner) & np.tri(9, dtype=bool)
    packing = Packing(positions, sees[None])
    together = states({}, IDS[:1], SEEN[:1], packing=packing)
    for part in (slice(0, 4), slice(4, 9)):
        assert_close(together[:, part], states({}, IDS[:1, part], SEEN[:1]), 1e-11)


@law
@pytest.mark.parametrize(
    "strategy, chosen, grid",
    [
        ("default", slice(1, None), (2, 2)),
        ("full", slice(None), (1, 5)),
        ("class", slice(0, 1), (1, 1)),
    ],
)
def test_encode_image_shows_the_tokens_that_are_chosen(strategy, chosen, grid):
    """The patches, all tokens, or the class token alone: h_v of the source."""
    config, weights = variant(vision_feature_select_strategy=strategy)
    whole, _ = variant(vision_feature_select_strategy="full")
    seen = textbook.encode_image(PIXELS, weights, config)
    assert_close(seen, textbook.encode_image(PIXELS, weights, whole)[:, chosen])
    assert textbook.image_grid(config, 11, 11) == grid
    assert seen.shape == (3, grid[0] * grid[1], 8)


@law
def test_the_class_token_alone_tells_every_word_the_same():
    """Of one token a softmax has nothing to choose: whatever a word asks, it gets all
    of it. So the source's h_v = z_CLS makes cross-attention a learnt constant of the
    picture, and its queries and keys have no gradient."""
    seen, watch = SEEN[:, :1], []
    states({}, IDS, seen, watch=watch)
    assert all((weights == 1).all() for weights in watch)
    config, weights = variant()
    names = [f"decoder.layers.{i}.multihead_attn.in_proj_weight" for i in range(3)]

    def loss(some):
        words = ops.embedding(IDS, some[textbook.EMBEDDING])
        scope = some.scope(textbook.DECODER)
        return (textbook.decoder(words, scope, config.text, picture=seen) ** 2).sum()

    _, gradients = value_and_grad(loss)(weights)
    for name in names:
        queries_and_keys, values = gradients[name][:16], gradients[name][16:]
        assert np.abs(queries_and_keys).max() < 1e-12 < 1e-3 < np.abs(values).max()


@law
def test_encode_image_takes_the_towers_last_norm_unless_a_layer_is_named():
    """Layer -1 is what the last block gives, and no layer is that, normed."""
    shown = [
        textbook.encode_image(PIXELS, WEIGHTS, replace(CONFIG, vision_feature_layer=i))
        for i in (None, -1, -2, 0)
    ]
    for i, one in enumerate(shown):
        for other in shown[i + 1 :]:
            assert np.abs(one - other).max() > 1e-2


@law
def test_the_tower_may_be_a_vit():
    """Another row of the table: the same blocks under other names, and a bias of the
    patches."""
    config, weights = variant(vision={"model_type": "vit"})
    seen = textbook.encode_image(PIXELS, weights, config)
    assert seen.shape == (3, 4, 8)
    tower = weights.scope(textbook.TOWER)
    patches = vit.vit_hidden(PIXELS, tower, config.vision, -2)[:, 1:]
    assert_close(seen, linear(patches, weights.scope(textbook.PROJECTION)))
    config, weights = variant(vision={"model_type": "vit"}, vision_feature_layer=None)
    patches = vit.vit(PIXELS, weights.scope(textbook.TOWER), config.vision)[:, 1:]
    seen = textbook.encode_image(PIXELS, weights, config)
    assert_close(seen, linear(patches, weights.scope(textbook.PROJECTION)))


@law
def test_textbook_keeps_float32():
    """float32 weights and pixels give float32 logits, close to those in float64."""
    single = Weights({name: WEIGHTS[name].astype(np.float32) for name in WEIGHTS})
    logits = textbook.textbook(PIXELS.astype(np.float32), IDS, single, CONFIG)
    assert logits.dtype == np.float32
    exact = textbook.textbook(PIXELS, IDS, WEIGHTS, CONFIG)
    assert_close(logits, exact.astype(np.float32), 1e-5)


def composed(torch, config, weights):
    """The model out of PyTorch's own layers, in float64: (tower, decode, tensors)."""
    import_torchvision()
    from transformers import CLIPVisionConfig, CLIPVisionModel

    held = {n: torch.from_numpy(weights[n].copy()).requires_grad_() for n in weights}
    text = config.text

    def load(module, prefix):
        state = {
            name.removeprefix(prefix): tensor
            for name, tensor in held.items()
            if name.startswith(prefix)
        }
        assert state.keys() == dict(module.named_parameters()).keys()
        return lambda *a, **k: torch.func.functional_call(module, state, a, k)

    tower = CLIPVisionModel(CLIPVisionConfig(**JSON["vision_config"])).double().eval()
    tower = load(tower, "vision_model.")

    def layer(i):
        kind = torch.nn.TransformerDecoderLayer
        if i % text.cross_attention_frequency:
            kind = torch.nn.TransformerEncoderLayer
        made = kind(
            text.hidden_size,
            text.num_attention_heads,
            text.intermediate_size,
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=text.layer_norm_eps,
            batch_first=True,
            norm_first=text.norm_first,
            dtype=torch.float64,
        )
        return load(made, f"decoder.layers.{i}.")

    def decode(ids, seen):
        tokens = ids.shape[1]
        hidden = held["decoder.token_embedding.weight"][ids]
        hidden = hidden + held["decoder.position_embedding.weight"][:tokens]
        hides = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        for i in range(text.num_hidden_layers):
            if i % text.cross_attention_frequency:
                hidden = layer(i)(hidden, src_mask=hides)
            else:
                hidden = layer(i)(hidden, seen, tgt_mask=hides)
        if text.norm_first:
            last = held["decoder.norm.weight"], held["decoder.norm.bias"]
            hidden = torch.nn.functional.layer_norm(
                hidden, hidden.shape[-1:], *last, text.layer_norm_eps
            )
        head = held.get("lm_head.weight", held["decoder.token_embedding.weight"])
        return hidden @ head.T + held["lm_head.bias"]

    def logits(pixels, ids):
        out = tower(torch.from_numpy(pixels.copy()), output_hidden_states=True)
        seen = out.hidden_states[config.vision_feature_layer][:, 1:]
        seen = torch.nn.functional.linear(
            seen, held["projection.weight"], held["projection.bias"]
        )
        return decode(torch.from_numpy(ids), seen)

    return logits, held


@oracle
@kinds
@pytest.mark.parametrize("tied", [True, False])
def test_textbook_equals_layers_of_torch(compare, kind, tied):
    """torch.nn.TransformerDecoderLayer, and TransformerEncoderLayer where a layer does
    not look, behind transformers' tower of CLIP; every parameter random."""
    config, weights = variant(kind | {"tie_word_embeddings": tied})
    tensors = {name: weights[name] for name in weights}

    def ask(torch):
        logits, _ = composed(torch, config, weights)
        return {"logits": logits(PIXELS, IDS).detach().numpy().copy()}

    answers = compare.answers(ask, (tensors, PIXELS, IDS, kind, tied))
    assert answers["logits"].std() > 0.1
    ours = textbook.textbook(PIXELS, IDS, weights, config)
    assert_close(ours, answers["logits"], 1e-11)


@derivative
@pytest.mark.parametrize("norm_first", [False, True])
def test_textbook_derivative_equals_torch(compare, norm_first):
    """The gradient of every weight that has one, through decoder, picture and tower."""
    kind = {"norm_first": norm_first, "cross_attention_frequency": 2}
    config, weights = variant(kind)
    tensors = {name: weights[name] for name in weights}

    def ask(torch):
        logits, held = composed(torch, config, weights)
        (logits(PIXELS, IDS) ** 2).sum().backward()
        return {n: t.grad.numpy().copy() for n, t in held.items() if t.grad is not None}

    answers = compare.answers(ask, (tensors, PIXELS, IDS, kind), of_one_scale=True)

    def loss(weights):
        return (textbook.textbook(PIXELS, IDS, weights, config) ** 2).sum()

    _, gradients = value_and_grad(loss)(weights)
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, gradient in gradients.items():
        expected = answers.get(name, np.zeros_like(gradient))
        # a key's bias shifts all scores of a query alike: its gradient is zero
        assert np.abs(gradient - expected).max() < 1e-11 * largest, name
    assert set(answers) <= set(gradients)


@law
def test_textbook_config_may_tie_the_head_in_either_place():
    """Files say it beside the sections, or among the decoder's numbers, which win."""
    inside = JSON | {"text_config": JSON["text_config"] | {"tie_word_embeddings": True}}
    for document, tied in ((JSON, False), (inside, True)):
        config = TextbookConfig.from_json({**document, "tie_word_embeddings": False})
        assert config.text.tie_word_embeddings is tied
    assert TextbookConfig.from_json(JSON).text.tie_word_embeddings


@contract
@pytest.mark.parametrize(
    "section, change, message",
    [
        ("vision_config", {"model_type": "timm_wrapper"}, "model_type is 'timm_wrap"),
        ("vision_config", {"patch_size": 0}, "patch_size must be a whole number"),
        ("text_config", {"model_type": "gpt2"}, "model_type is 'gpt2', but only"),
        ("text_config", {"hidden_act": "relu"}, "hidden_act is 'relu', but only"),
        ("text_config", {"hidden_size": 9}, "hidden_size 9 does not split into 2"),
        ("text_config", {"num_hidden_layers": 0}, "num_hidden_layers must be"),
        ("text_config", {"intermediate_size": "14"}, "intermediate_size must be"),
        ("text_config", {"max_position_embeddings": None}, "max_position_embeddings"),
        ("text_config", {"cross_attention_frequency": 4}, "from 1 to 3, not 4"),
        ("text_config", {"norm_first": 1}, "norm_first must be true or false"),
        ("text_config", {"layer_norm_eps": 0}, "layer_norm_eps must be a number"),
        ("text_config", {"tie_word_embeddings": "no"}, "tie_word_embeddings must be"),
        ("text_config", {"vocab_size": -1}, "vocab_size must be a whole number"),
    ],
)
def test_textbook_config_refuses_what_it_cannot_build(section, change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        TextbookConfig.from_json(JSON | {section: JSON[section] | change})


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "fast_vlm"}, "model_type is 'fast_vlm', but only 'textbook"),
        ({"vision_feature_layer": -4}, "vision_feature_layer must be .* from -3 to 2"),
        ({"vision_feature_layer": [-2]}, "vision_feature_layer must be a whole"),
        ({"vision_feature_select_strategy": "cls"}, "strategy is 'cls', but only"),
        ({"text_config": None}, "text_config must be an object"),
        ({"vision_config": []}, "vision_config must be an object"),
    ],
)
def test_textbook_config_refuses_another_model(change, message):
    """What joins the two halves is checked like each of them."""
    with pytest.raises(ConfigError, match=message):
        TextbookConfig.from_json(json.loads(json.dumps({**JSON, **change})))


@contract
def test_textbook_refuses_what_it_was_not_built_for():
    """Too many words, a picture too few, pictures of another size."""
    long = np.zeros((3, 10), np.int64)
    with pytest.raises(ContextError, match="10 tokens .* context of 9: shorten"):
        textbook.textbook(PIXELS, long, WEIGHTS, CONFIG)
    with pytest.raises(ContextError, match="10 tokens .* context of 9: shorten"):
        textbook.new_cache(CONFIG.text, 1, 10)
    with pytest.raises(ShapeError, match="one picture for each text"):
        textbook.textbook(PIXELS[:2], IDS, WEIGHTS, CONFIG)
    with pytest.raises(ShapeError, match="8 x 11, but this tower sees 11 x 11"):
        textbook.image_grid(CONFIG, 8, 11)
    with pytest.raises(ValueError, match="id 19 is not in a table of 19 rows"):
        textbook.textbook(PIXELS[:1], np.array([[19]]), WEIGHTS, CONFIG)
