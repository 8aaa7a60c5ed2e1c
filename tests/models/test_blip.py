"""The spec of refvlm/models/blip.py, blip_text.py, blip_tower.py and blip_config.py."""

import json
from functools import partial

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks import tables
from refvlm.blocks.kv_cache import ContextError
from refvlm.checkpoint import MissingTensorError, Weights
from refvlm.models import blip, blip_text, blip_tower
from refvlm.models.blip_config import BlipConfig
from refvlm.models.fields import ConfigError
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
    "model_type": "blip",
    "image_text_hidden_size": 5,
    "vision_config": {
        "model_type": "blip_vision_model",
        "hidden_size": 10,
        "intermediate_size": 14,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 12,
        "patch_size": 4,
        "layer_norm_eps": 1e-3,
    },
    "text_config": {
        "model_type": "blip_text_model",
        "vocab_size": 19,
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "max_position_embeddings": 8,
        "layer_norm_eps": 1e-4,
        "bos_token_id": 17,
        "sep_token_id": 3,
    },
}
CONFIG = BlipConfig.from_json(JSON)
CAPTIONS = Weights(random_weights(blip.captioning_shapes(CONFIG), seed=8))
MATCHES = Weights(random_weights(blip.matching_shapes(CONFIG), seed=9))
draw = random_arrays(7)
PIXELS, WIDE = draw(2, 3, 12, 12), draw(2, 3, 22, 17)
IDS = np.array([[17, 4, 5, 18, 2], [17, 0, 9, 3, 3]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@example
def test_captioning_shapes_count_the_published_parameters():
    """BLIP base: a ViT-B/16 of 384 x 384, and a BERT base that also looks."""
    published = {"text_config": {"num_attention_heads": 12}, "vision_config": {}}
    config = BlipConfig.from_json(published)
    assert config.vision.tokens == 577
    count = partial(_count, config)
    assert count(blip.captioning_shapes) == 223_971_644
    assert count(blip.matching_shapes) == 223_744_258


def _count(config, expected):
    return sum(int(np.prod(shape)) for shape in expected(config).values())


@law
def test_captioner_hides_the_future():
    """A word changes no score before it."""
    changed = IDS.copy()
    changed[:, 3:] = 11
    before = blip.captioner(PIXELS, IDS, CAPTIONS, CONFIG)
    after = blip.captioner(PIXELS, changed, CAPTIONS, CONFIG)
    assert_close(after[:, :3], before[:, :3])
    assert np.abs(after - before)[:, 3:].max() > 0.1


@law
def test_captioner_looks_at_the_picture():
    """Another picture, other words: at every place."""
    scores = blip.captioner(PIXELS, IDS, CAPTIONS, CONFIG)
    others = blip.captioner(PIXELS[::-1], IDS, CAPTIONS, CONFIG)
    assert np.abs(others - scores).max(axis=-1).min() > 1e-3


@law
def test_captioner_with_a_cache_says_the_same():
    """Word by word, each look at the picture by keys that were made once."""
    together = blip.captioner(PIXELS, IDS, CAPTIONS, CONFIG)
    picture = blip.encode_image(PIXELS, CAPTIONS, CONFIG)
    cache = blip_text.new_cache(CONFIG.text, 2, 5, np.float64)
    for start, end in ((0, 2), (2, 3), (3, 4), (4, 5)):
        words = tables.look_up(IDS[:, start:end], CAPTIONS, blip.SPEAKER.embedding)
        scope = CAPTIONS.scope("text_decoder")
        seen = {"picture": picture} if start == 0 else {}
        hidden = blip_text.writer(
            *(words, scope, CONFIG.text, None, cache), last=1, **seen
        )
        scores = blip.SPEAKER.logits(hidden, CAPTIONS)
        assert_close(scores[:, 0], together[:, end - 1])


@law
def test_looking_cache_takes_its_pictures_along():
    """A row that goes on from another goes on with that one's picture."""
    cache = blip_text.new_cache(CONFIG.text, 2, 6, np.float64)
    picture = blip.encode_image(PIXELS, CAPTIONS, CONFIG)

    def read(ids, **given):
        words = tables.look_up(ids, CAPTIONS, blip.SPEAKER.embedding)
        scope = CAPTIONS.scope("text_decoder")
        return blip_text.writer(words, scope, CONFIG.text, None, cache, **given)

    read(IDS, picture=picture)
    cache.reorder([1, 0, 1])
    turned = blip.captioner(
        PIXELS[[1, 0, 1]],
        np.concatenate([IDS[[1, 0, 1]], [[4], [4], [5]]], axis=1),
        *(CAPTIONS, CONFIG),
    )
    hidden = read(np.array([[4], [4], [5]]))
    assert_close(blip.SPEAKER.logits(hidden, CAPTIONS)[:, 0], turned[:, -1])


@law
def test_captioner_stands_where_it_would_without_padding():
    """Padding on the left moves no word: its places count what is none."""
    mask = np.array([[0, 0, 1, 1, 1]]) > 0
    padded = blip.captioner(PIXELS[:1], IDS[:1], CAPTIONS, CONFIG, mask)
    alone = blip.captioner(PIXELS[:1], IDS[:1, 2:], CAPTIONS, CONFIG)
    assert_close(padded[:, 2:], alone)


@law
def test_match_scores_see_the_whole_text():
    """The first token judges, and has seen the last word."""
    picture = blip.encode_image(PIXELS, MATCHES, CONFIG)
    changed = IDS.copy()
    changed[:, -1] = 11
    before = blip.match_scores(picture, IDS, MATCHES, CONFIG)
    after = blip.match_scores(picture, changed, MATCHES, CONFIG)
    assert np.abs(after - before).max() > 1e-3


@law
def test_match_scores_do_not_see_padding():
    """Where the mask is False, any id will do."""
    picture = blip.encode_image(PIXELS, MATCHES, CONFIG)
    changed = np.where(MASK, IDS, 11)
    before = blip.match_scores(picture, IDS, MATCHES, CONFIG, MASK)
    assert_close(blip.match_scores(picture, changed, MATCHES, CONFIG, MASK), before)


@law
def test_match_scores_of_one_picture_serve_all_texts():
    """What is said of it is what would be said with the picture repeated."""
    picture = blip.encode_image(PIXELS[:1], MATCHES, CONFIG)
    once = blip.match_scores(picture, IDS, MATCHES, CONFIG, MASK)
    twice = blip.match_scores(picture[[0, 0]], IDS, MATCHES, CONFIG, MASK)
    assert_close(once, twice)


@law
def test_match_scores_are_no_product_of_two():
    """A table of all pictures with all texts is not of rank d: that is what looking at
    each other adds to comparing."""
    pictures = blip.encode_image(random_arrays(3)(6, 3, 12, 12), MATCHES, CONFIG)
    texts = np.random.RandomState(1).randint(0, 19, (6, 4))
    table = np.array(
        [
            blip.match_scores(pictures[[i] * 6], texts, MATCHES, CONFIG)[:, 1]
            for i in range(6)
        ]
    )
    assert np.linalg.matrix_rank(table, tol=1e-6) == 6
    cosines = (
        blip.image_features(pictures, MATCHES)
        @ blip.text_features(texts, MATCHES, CONFIG).T
    )
    assert np.linalg.matrix_rank(cosines, tol=1e-6) == 5


@law
def test_blip_tower_interpolates_only_what_differs():
    """At its own size the positions are those learnt; at another, their blend."""
    tower = MATCHES.scope("vision_model")
    plain = blip_tower.blip_tower(PIXELS, tower, CONFIG.vision)
    same = blip_tower.blip_tower(PIXELS, tower, CONFIG.vision, interpolate=True)
    np.testing.assert_array_equal(same, plain)
    assert blip_tower.blip_tower(WIDE, tower, CONFIG.vision, True).shape == (2, 21, 10)


@law
def test_blip_tower_tells_of_each_layer():
    """Progress is heard as often as there are layers."""
    heard = []
    tell = lambda done, layers: heard.append((done, layers))  # noqa: E731
    blip.encode_image(PIXELS, MATCHES, CONFIG, tell)
    assert heard == [(1, 2), (2, 2)]


@law
def test_blip_text_watches_where_each_word_looks():
    """One layer after the other, a share of the picture for each word and head."""
    looks = []
    writer = CAPTIONS.scope("text_decoder.bert")
    picture = blip.encode_image(PIXELS, CAPTIONS, CONFIG)
    memory = blip_text.picture_memory(picture, writer, CONFIG.text)
    words = tables.look_up(IDS, writer, blip_text.WORDS)
    blip_text.blip_text(words, writer, CONFIG.text, memory=memory, watch=looks)
    assert [look.shape for look in looks] == [(2, 3, 5, 10)] * 3
    assert_close(looks[2].sum(-1), np.ones((2, 3, 5)))


@law
def test_blip_keeps_float32():
    """float32 in, float32 out, close to what float64 says."""

    def single(weights):
        return Weights({name: weights[name].astype(np.float32) for name in weights})

    scores = blip.captioner(PIXELS.astype(np.float32), IDS, single(CAPTIONS), CONFIG)
    exact = blip.captioner(PIXELS, IDS, CAPTIONS, CONFIG)
    assert scores.dtype == np.float32
    assert_close(scores, exact.astype(np.float32), 1e-5)
    picture = blip.encode_image(PIXELS.astype(np.float32), single(MATCHES), CONFIG)
    scores = blip.match_scores(picture, IDS, single(MATCHES), CONFIG)
    picture = blip.encode_image(PIXELS, MATCHES, CONFIG)
    exact = blip.match_scores(picture, IDS, MATCHES, CONFIG)
    assert_close(scores, exact.astype(np.float32), 1e-5)


def reference(torch, name, weights):
    """transformers' model with our weights, in float64."""
    import_torchvision()
    import transformers

    config = transformers.BlipConfig(**json.loads(json.dumps(JSON)))
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config).double().eval()
    held = {name: torch.from_numpy(weights[name].copy()) for name in weights}
    missing, unexpected = model.load_state_dict(held, strict=False)
    assert not unexpected and all("cls.predictions.decoder" in n for n in missing)
    model.tie_weights()
    return model


@oracle
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_captioner_equals_transformers(compare, padded, wide):
    """BlipForConditionalGeneration's scores; of a larger picture, with its positions
    drawn from those learnt."""
    mask = MASK if padded else None
    pixels = WIDE if wide else PIXELS

    def ask(torch):
        model = reference(torch, "BlipForConditionalGeneration", CAPTIONS)
        out = model(
            torch.from_numpy(pixels.copy()),
            torch.from_numpy(IDS),
            None if mask is None else torch.from_numpy(mask),
            interpolate_pos_encoding=wide,
        )
        return {
            "scores": out.logits.detach().numpy().copy(),
            "picture": out.image_embeds.detach().numpy().copy(),
        }

    given = {name: CAPTIONS[name] for name in CAPTIONS}, pixels, IDS, mask, JSON
    answers = compare.answers(ask, given)
    assert min(answers[name].std() for name in answers) > 0.3
    tower = CAPTIONS.scope("vision_model")
    picture = blip_tower.blip_tower(pixels, tower, CONFIG.vision, wide)
    assert_close(picture, answers["picture"], 1e-11)
    if not wide:
        scores = blip.captioner(pixels, IDS, CAPTIONS, CONFIG, mask)
        counts = np.ones_like(IDS) if mask is None else mask
        kept = counts.astype(bool)
        assert_close(scores[kept], answers["scores"][kept], 1e-11)


@oracle
@pytest.mark.parametrize("padded", [False, True])
def test_match_scores_equal_transformers(compare, padded):
    """BlipForImageTextRetrieval's, and its cosines."""
    mask = MASK if padded else None

    def ask(torch):
        model = reference(torch, "BlipForImageTextRetrieval", MATCHES)
        sees = None if mask is None else torch.from_numpy(mask)
        given = torch.from_numpy(IDS), torch.from_numpy(PIXELS.copy())
        scores = model(*given, attention_mask=sees).itm_score
        cosines = model(*given, use_itm_head=False, attention_mask=sees).itm_score
        return {
            "scores": scores.detach().numpy().copy(),
            "cosines": cosines.detach().numpy().copy(),
        }

    given = {name: MATCHES[name] for name in MATCHES}, PIXELS, IDS, mask, JSON
    answers = compare.answers(ask, given)
    assert answers["scores"].std() > 0.1 and answers["cosines"].std() > 0.01
    picture = blip.encode_image(PIXELS, MATCHES, CONFIG)
    scores = blip.match_scores(picture, IDS, MATCHES, CONFIG, mask)
    assert_close(scores, answers["scores"], 1e-11)
    cosines = (
        blip.image_features(picture, MATCHES)
        @ blip.text_features(IDS, MATCHES, CONFIG, mask).T
    )
    assert_close(cosines, answers["cosines"], 1e-11)


@derivative
def test_captioner_derivative_equals_transformers(compare):
    """The gradient of every weight, through the looks into the tower."""

    def ask(torch):
        model = reference(torch, "BlipForConditionalGeneration", CAPTIONS)
        out = model(torch.from_numpy(PIXELS.copy()), torch.from_numpy(IDS))
        (out.logits**2).sum().backward()
        return {
            name: parameter.grad.numpy().copy()
            for name, parameter in model.named_parameters()
        }

    given = {name: CAPTIONS[name] for name in CAPTIONS}, PIXELS, IDS, JSON
    answers = compare.answers(ask, given, of_one_scale=True)

    def loss(weights):
        return (blip.captioner(PIXELS, IDS, weights, CONFIG) ** 2).sum()

    _, gradients = value_and_grad(loss)(CAPTIONS)
    assert gradients.keys() == answers.keys()
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, expected in answers.items():
        # PyTorch's table does not learn from a look-up of its padding, id 0
        words = name == "text_decoder.bert.embeddings.word_embeddings.weight"
        difference = np.abs(gradients[name] - expected)[1 if words else 0 :]
        assert difference.max() < 1e-11 * largest, name


@contract
@pytest.mark.parametrize(
    "part, change, message",
    [
        ("vision_config", {"model_type": "clip_vision_model"}, "model_type is 'clip_v"),
        ("vision_config", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("vision_config", {"image_size": 3}, "patches of 4 pixels do not fit"),
        ("vision_config", {"image_size": [12, 12]}, "image_size must be a whole numb"),
        ("vision_config", {"num_attention_heads": 3}, "10 features do not split"),
        ("vision_config", {"qkv_bias": False}, "qkv_bias is false"),
        ("text_config", {"is_decoder": False}, "is_decoder is False, but only True"),
        ("text_config", {"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ("text_config", {"num_attention_heads": 5}, "12 features do not split"),
        ("text_config", {"bos_token_id": 19}, "bos_token_id is 19, but the vocabulary"),
        ("text_config", {"sep_token_id": None}, "sep_token_id must be a whole number"),
        ("text_config", {"layer_norm_eps": "0"}, "layer_norm_eps must be a number"),
    ],
)
def test_blip_config_refuses_what_it_cannot_build(part, change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        BlipConfig.from_json(JSON | {part: JSON[part] | change})
    with pytest.raises(ConfigError, match="model_type is 'clip'"):
        BlipConfig.from_json(JSON | {"model_type": "clip"})
    with pytest.raises(ConfigError, match=f"{part} must be an object"):
        BlipConfig.from_json(JSON | {part: None})


@contract
def test_blip_refuses_what_it_was_not_built_for():
    """Pictures of another size, texts too long, pairs that do not pair, a part gone."""
    with pytest.raises(ShapeError, match="this tower sees 12 x 12: resize it"):
        blip.encode_image(WIDE, MATCHES, CONFIG)
    with pytest.raises(ShapeError, match="less than one patch of 4 x 4"):
        tower = MATCHES.scope("vision_model")
        blip_tower.blip_tower(PIXELS[:, :, :3], tower, CONFIG.vision, True)
    with pytest.raises(ShapeError, match="2 pictures for 1 texts: each row of input"):
        blip.captioner(PIXELS, IDS[:1], CAPTIONS, CONFIG)
    picture = blip.encode_image(PIXELS, MATCHES, CONFIG)
    with pytest.raises(ShapeError, match="match_scores: 2 pictures for 1 texts"):
        blip.match_scores(picture, IDS[:1], MATCHES, CONFIG)
    with pytest.raises(ShapeError, match="match_scores: attention_mask"):
        blip.match_scores(picture, IDS, MATCHES, CONFIG, MASK[:, 1:])
    with pytest.raises(ShapeError, match="captioner: attention_mask"):
        blip.captioner(PIXELS, IDS, CAPTIONS, CONFIG, MASK[0])
    long = np.zeros((2, 9), int)
    with pytest.raises(ContextError, match="9 tokens .* context of 8: shorten"):
        blip.text_features(long, MATCHES, CONFIG)
    with pytest.raises(ContextError, match="9 tokens .* context of 8: shorten"):
        blip_text.new_cache(CONFIG.text, 1, 9)
    with pytest.raises(ValueError, match="id 19 is not in a table of 19 rows"):
        blip.text_features(np.full((1, 2), 19), MATCHES, CONFIG)
    with pytest.raises(MissingTensorError, match="itm_head"):
        rest = {name: MATCHES[name] for name in MATCHES if "itm_head" not in name}
        blip.match_scores(picture, IDS, Weights(rest), CONFIG)
