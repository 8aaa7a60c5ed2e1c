"""The spec of refvlm/models/blip2.py."""

import copy
import json

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.models import blip2
from refvlm.models.fields import ConfigError
from refvlm.models.splicing import IMAGE
from refvlm.shapes import ShapeError

from ..oracles import all_double, import_torchvision
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
    "model_type": "blip-2",
    "num_query_tokens": 5,
    "image_token_index": 22,
    "vision_config": {
        "model_type": "blip_2_vision_model",
        "hidden_size": 10,
        "intermediate_size": 14,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 12,
        "patch_size": 4,
    },
    "qformer_config": {
        "model_type": "blip_2_qformer",
        "hidden_size": 12,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 20,
        "encoder_hidden_size": 99,
        "vocab_size": 7,
    },
    "text_config": {
        "model_type": "llama",
        "vocab_size": 23,
        "hidden_size": 16,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
    },
}
KINDS = {"llama": {}, "qwen2": {"model_type": "qwen2"}, "unbiased": {}}
PIXELS = random_arrays(7)(2, 3, 12, 12)
IDS = np.array([[22] * 5 + [1, 7, 3], [22] * 5 + [4, 21, 0]])


def described(kind):
    """The tiny BLIP-2 with a LLaMA, with a Qwen2, or with a tower without biases."""
    config = copy.deepcopy(JSON)
    config["text_config"] |= KINDS[kind]
    if kind == "unbiased":
        config["vision_config"]["qkv_bias"] = False
    return config


def built(kind):
    config = blip2.Blip2Config.from_json(described(kind))
    return config, Weights(random_weights(blip2.expected_shapes(config, False), seed=6))


CONFIG, WEIGHTS = built("llama")


@example
def test_blip2_config_means_what_was_published_where_it_is_silent():
    """A ViT-g of 224 x 224 in patches of 14: 257 tokens, which become 32."""
    silent = JSON | {"vision_config": {}, "qformer_config": {}}
    del silent["num_query_tokens"]
    config = blip2.Blip2Config.from_json(silent)
    assert config.vision.tokens == 257 and config.qformer.num_query_tokens == 32
    assert blip2.image_grid(config, 224, 224) == (1, 32)
    shapes = blip2.expected_shapes(config, True)
    tower = [s for name, s in shapes.items() if name.startswith("vision_model.")]
    assert sum(int(np.prod(shape)) for shape in tower) == 985_952_256


@law
def test_blip2_takes_one_mark_or_as_many_as_queries():
    """-200 for a picture, or its token for each of what it becomes."""
    short = np.concatenate([np.full((2, 1), IMAGE), IDS[:, 5:]], axis=1)
    repeated = blip2.blip2(PIXELS, IDS, WEIGHTS, CONFIG)
    assert_close(blip2.blip2(PIXELS, short, WEIGHTS, CONFIG), repeated)


@law
def test_blip2_without_a_picture_is_its_decoder():
    """A text alone is read as any."""
    scores = blip2.blip2(None, IDS[:, 5:], WEIGHTS, CONFIG)
    assert scores.shape == (2, 3, 23)


@law
def test_encode_image_watches_the_queries():
    """In the layers that look: 10 tokens of the picture, 5 queries."""
    looks = []
    blip2.encode_image(PIXELS, WEIGHTS, CONFIG, watch=looks)
    assert [look.shape for look in looks] == [(2, 3, 5, 10)] * 2


@oracle
@pytest.mark.parametrize("kind", KINDS)
def test_blip2_equals_transformers(compare, kind):
    """Blip2ForConditionalGeneration's scores, and the tokens that its decoder reads."""
    config, weights = built(kind)

    def ask(torch):
        with all_double(torch), torch.no_grad():
            model = reference(torch, described(kind), weights)
            pixels = torch.from_numpy(PIXELS.copy())
            return {
                "tokens": model.get_image_features(pixels).pooler_output.numpy(),
                "scores": model(pixels, torch.from_numpy(IDS)).logits.numpy(),
            }

    given = {name: weights[name] for name in weights}, PIXELS, IDS, described(kind)
    answers = compare.answers(ask, given)
    assert min(answer.std() for answer in answers.values()) > 0.3
    tokens = blip2.encode_image(PIXELS, weights, config)
    assert_close(tokens, answers["tokens"], 1e-11)
    assert_close(blip2.blip2(PIXELS, IDS, weights, config), answers["scores"], 1e-11)


def reference(torch, described, weights):
    """transformers' model with our weights, made under `all_double`."""
    import_torchvision()
    from transformers import Blip2Config, Blip2ForConditionalGeneration

    config = Blip2Config(**json.loads(json.dumps(described)))
    config._attn_implementation = "eager"
    model = Blip2ForConditionalGeneration(config).double().eval()
    held = {name: torch.from_numpy(weights[name].copy()) for name in weights}
    model.load_state_dict(held)
    return model


@derivative
def test_blip2_learns_by_its_queries(compare):
    """What is trained, with both models frozen: the gradients of the queries, of the
    Q-Former and of the projection."""

    def ask(torch):
        with all_double(torch):
            model = reference(torch, JSON, WEIGHTS)
            pixels, ids = torch.from_numpy(PIXELS.copy()), torch.from_numpy(IDS)
            (model(pixels, ids).logits ** 2).sum().backward()
        return {
            name: parameter.grad.numpy().copy()
            for name, parameter in model.named_parameters()
            if name.startswith(("query_tokens", "qformer", "language_projection"))
        }

    given = {name: WEIGHTS[name] for name in WEIGHTS}, PIXELS, IDS, JSON
    answers = compare.answers(ask, given, of_one_scale=True)

    def loss(weights):
        return (blip2.blip2(PIXELS, IDS, weights, CONFIG) ** 2).sum()

    _, gradients = value_and_grad(loss)(WEIGHTS)
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, expected in answers.items():
        assert np.abs(gradients[name] - expected).max() < 1e-11 * largest, name


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "instructblip"}, "model_type is 'instructblip'"),
        ({"use_decoder_only_language_model": False}, "use_decoder_only_language_model"),
        ({"num_query_tokens": 0}, "num_query_tokens must be a whole number"),
        ({"image_token_index": None}, "image_token_index must be a whole number"),
        ({"qformer_config": None}, "qformer_config must be an object"),
        ({"vision_config": {"patch_size": 300}}, "patches of 300 pixels do not fit"),
        (
            {"vision_config": {"model_type": "blip_vision_model"}},
            "model_type is 'blip_",
        ),
        (
            {"text_config": {"model_type": "opt"}},
            "model_type is 'opt', but only 'llama",
        ),
        ({"text_config": {}}, "model_type is None, but only"),
    ],
)
def test_blip2_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        blip2.Blip2Config.from_json(JSON | change)


@contract
def test_blip2_refuses_what_does_not_fit():
    """Another size of picture; more or fewer places than queries."""
    with pytest.raises(ShapeError, match="this tower sees 12 x 12: resize it"):
        blip2.image_grid(CONFIG, 12, 11)
    with pytest.raises(ShapeError, match="marks 8 places .* but the pictures make 10"):
        blip2.blip2(PIXELS, IDS[:, 1:], WEIGHTS, CONFIG)
