"""The spec of refvlm/models/fastvlm.py."""

import json

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.training_mode import is_statistic
from refvlm.checkpoint import Weights
from refvlm.models import fastvlm
from refvlm.models.fields import ConfigError
from refvlm.shapes import ShapeError

from .. import tiny
from ..oracles import import_torchvision, in_double
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)

CONFIG = fastvlm.FastVLMConfig.from_json(tiny.CONFIG)
IMAGE = fastvlm.IMAGE


@pytest.fixture(scope="module")
def weights():
    return Weights(tiny.random_tensors())


@pytest.fixture(scope="module")
def pixels():
    return tiny.pictures(2)


def text_with(image_ids, seed=0):
    """Two rows of nine ids with the image after the third, as (2, 9 + n)."""
    words = np.random.RandomState(seed).randint(0, 256, (2, 9))
    middle = np.tile(image_ids, (2, 1)).astype(np.int64)
    return np.concatenate([words[:, :3], middle, words[:, 3:]], axis=1)


REPEATED = text_with([tiny.IMAGE_TOKEN] * tiny.IMAGE_TOKENS)
SENTINEL = text_with([IMAGE])


@example
def test_make_room_stretches_one_mark():
    """One -200 for a picture of three tokens becomes three, and so does its mask."""
    ids, mask = fastvlm.make_room(
        np.array([[7, IMAGE, 8]]), 3, np.array([[True, True, False]])
    )
    np.testing.assert_array_equal(ids, [[7, IMAGE, IMAGE, IMAGE, 8]])
    np.testing.assert_array_equal(mask, [[True, True, True, True, False]])


@example
@pytest.mark.parametrize(
    "hidden, heads, groups, layers, ffn, total",
    [
        (896, 14, 2, 24, 4864, 494_032_768 + 3_557_120),
        (1536, 12, 2, 28, 8960, 1_543_714_304 + 7_080_960),
        (3584, 28, 4, 28, 18944, 7_615_616_512 + 23_862_272),
    ],
)
def test_expected_shapes_count_the_published_parameters(
    hidden, heads, groups, layers, ffn, total
):
    """Decoder and projector of 0.5B, 1.5B and 7B add up to the published counts."""
    config = {
        "model_type": "llava_qwen2",
        "mm_vision_tower": "mobileclip_l_1024",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "num_hidden_layers": layers,
        "vocab_size": 152064 if hidden == 3584 else 151936,
        "tie_word_embeddings": hidden != 3584,
    }
    tied = config["tie_word_embeddings"]
    shapes = fastvlm.expected_shapes(fastvlm.FastVLMConfig.from_json(config), tied)
    counted = sum(
        int(np.prod(shape))
        for name, shape in shapes.items()
        if not name.startswith(fastvlm.TOWER)
    )
    assert counted == total


@example
def test_image_grid_rounds_up():
    """128 x 128 is 2 x 2 tokens; one pixel more begins a third row."""
    assert fastvlm.image_grid(CONFIG, 128, 128) == (2, 2)
    assert fastvlm.image_grid(CONFIG, 129, 128) == (3, 2)
    assert fastvlm.image_grid(CONFIG, 1, 1) == (1, 1)


@law
def test_embed_puts_the_image_where_it_is_marked(weights):
    """Text embeddings stand outside the marks, image tokens in order inside them."""
    image = random_arrays(4)(2, tiny.IMAGE_TOKENS, 32)
    embedded = fastvlm.embed(REPEATED, image, weights, CONFIG)
    np.testing.assert_array_equal(embedded[:, 3 : 3 + tiny.IMAGE_TOKENS], image)
    table = weights[fastvlm.EMBEDDING]
    np.testing.assert_array_equal(embedded[:, :3], table[REPEATED[:, :3]])
    np.testing.assert_array_equal(embedded[:, -6:], table[REPEATED[:, -6:]])


@law
def test_fastvlm_both_marks_mean_the_same(weights, pixels):
    """Apple's one -200 and Hugging Face's repeated token give the same logits."""
    one = fastvlm.fastvlm(pixels, SENTINEL, weights, CONFIG)
    many = fastvlm.fastvlm(pixels, REPEATED, weights, CONFIG)
    np.testing.assert_array_equal(one, many)


@law
def test_fastvlm_answer_depends_on_the_picture(weights, pixels):
    """Another picture changes every logit after it and none before it."""
    here = fastvlm.fastvlm(pixels, SENTINEL, weights, CONFIG)
    there = fastvlm.fastvlm(pixels[::-1], SENTINEL, weights, CONFIG)
    np.testing.assert_allclose(here[:, :3], there[:, :3], atol=1e-12)
    assert np.abs(here[:, 3:] - there[:, 3:]).max(axis=(0, 2)).min() > 1e-3


@law
def test_fastvlm_rows_of_a_batch_do_not_meet(weights, pixels):
    """A batch of two is two batches of one."""
    both = fastvlm.fastvlm(pixels, SENTINEL, weights, CONFIG)
    for row in range(2):
        alone = fastvlm.fastvlm(
            pixels[row : row + 1], SENTINEL[row : row + 1], weights, CONFIG
        )
        assert_close(both[row : row + 1], alone, 1e-11)


def transformers_model(torch, weights):
    """transformers' FastVLM with our weights, in float64."""
    import_torchvision()
    from transformers import FastVlmConfig, FastVlmForConditionalGeneration

    config = FastVlmConfig.from_dict(json.loads(json.dumps(tiny.CONFIG)))
    model = FastVlmForConditionalGeneration(config).double().eval()
    state = {name: torch.from_numpy(weights[name].copy()) for name in weights}
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(
        name == fastvlm.HEAD or name.endswith("num_batches_tracked")
        for name in missing.missing_keys
    ), missing.missing_keys
    model.tie_weights()
    text = CONFIG.text
    in_double(torch, model.model.language_model, text.rope_theta, text.head_dim)
    return model


@oracle
@pytest.mark.parametrize("padding", [0, 2])
def test_fastvlm_equals_transformers(compare, weights, pixels, padding):
    """Logits of the whole model, batch of two, padded or not, in both precisions."""
    mask = np.ones(REPEATED.shape, bool)
    mask[0, :padding] = False

    def ask(torch):
        model = transformers_model(torch, weights)
        logits = model(
            input_ids=torch.from_numpy(REPEATED),
            pixel_values=torch.from_numpy(pixels),
            attention_mask=torch.from_numpy(mask.astype(np.int64)),
        ).logits
        return {"logits": logits.detach().numpy()}

    inputs = (tiny.CONFIG, dict(weights), pixels, REPEATED, mask)
    answer = compare.answers(ask, inputs)["logits"]
    assert answer[mask].std() > 0.1
    ours = fastvlm.fastvlm(pixels, REPEATED, weights, CONFIG, mask)
    assert_close(ours[mask], answer[mask], 1e-9)
    single = Weights({name: weights[name].astype(np.float32) for name in weights})
    ours = fastvlm.fastvlm(pixels.astype(np.float32), REPEATED, single, CONFIG, mask)
    assert_close(ours[mask], answer[mask].astype(np.float32), 1e-4)


@derivative
def test_fastvlm_derivative_reaches_every_weight(weights, pixels):
    """One loss sends a gradient to the tower, the projector and the decoder, and it is
    the slope: a step along it changes the loss as foretold."""

    def loss(weights):
        logits = fastvlm.fastvlm(pixels[:1], SENTINEL[:1], weights, CONFIG)
        return (logits * logits).mean()

    trainable = [name for name in weights if not is_statistic(name)]
    _, gradients = value_and_grad(loss, trainable=trainable)(weights)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    rng = np.random.RandomState(0)
    direction = {
        name: rng.standard_normal(gradient.shape) * np.abs(weights[name]).mean()
        for name, gradient in gradients.items()
    }
    step = 1e-5

    def moved(sign):
        changes = {n: weights[n] + sign * step * d for n, d in direction.items()}
        return loss(weights.replace(changes))

    slope = (moved(1) - moved(-1)) / (2 * step)
    foretold = sum((gradients[name] * d).sum() for name, d in direction.items())
    assert abs(slope - foretold) <= 1e-6 * abs(foretold)


@contract
def test_embed_refuses_marks_that_do_not_match_the_picture(weights):
    """Three marks for a picture of four tokens: the message counts both."""
    ids = text_with([tiny.IMAGE_TOKEN] * 3)[:1]
    with pytest.raises(ShapeError, match="3 places .* make 4"):
        fastvlm.embed(ids, np.zeros((1, 4, 32)), weights, CONFIG)
    with pytest.raises(ShapeError, match="3 places .* make 0"):
        fastvlm.embed(ids, None, weights, CONFIG)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "llava"}, "model_type is 'llava'"),
        ({"text_config": None}, "text_config must be an object"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act is 'relu'"),
        ({"vision_feature_layer": -2}, "vision_feature_layer is -2"),
        ({"image_token_index": -1}, "image_token_index must be a whole number"),
    ],
)
def test_fastvlm_config_refuses_what_it_cannot_build(change, message):
    """Another architecture under the same file name is an error, not an answer."""
    with pytest.raises(ConfigError, match=message):
        fastvlm.FastVLMConfig.from_json({**tiny.CONFIG, **change})
