"""The spec of refvlm/models/clip.py and clip_config.py."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.transformer import layer_norm
from refvlm.checkpoint import MissingTensorError, Weights
from refvlm.models import clip
from refvlm.models.clip_config import CLIPConfig, VisionConfig
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

END = 9
JSON = {
    "model_type": "clip",
    "projection_dim": 5,
    "logit_scale_init_value": 1.5,
    "vision_config": {
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": 11,
        "patch_size": 4,
        "layer_norm_eps": 1e-3,
    },
    "text_config": {
        "hidden_size": 8,
        "intermediate_size": 14,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "vocab_size": 13,
        "max_position_embeddings": 7,
        "layer_norm_eps": 1e-4,
        "bos_token_id": 1,
        "eos_token_id": END,
    },
}
CONFIG = CLIPConfig.from_json(JSON)
TENSORS = random_weights(clip.expected_shapes(CONFIG), seed=6)
TENSORS["logit_scale"] = np.asarray(TENSORS["logit_scale"])
WEIGHTS = Weights(TENSORS)
PIXELS = random_arrays(7)(3, 3, 11, 11)
IDS = np.array([[1, 4, 12, END, 0, 0], [1, END, END, 0, 3, 3], [1, 2, 3, 4, 5, END]])
MASK = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1]])


def with_end(end, activation="quick_gelu"):
    """The same model, with another end token and activation in its config.json."""
    changed = json.loads(json.dumps(JSON))
    changed["text_config"] |= {"eos_token_id": end, "hidden_act": activation}
    changed["vision_config"]["hidden_act"] = activation
    return changed


@example
@pytest.mark.parametrize(
    "patch, width, text, shared, total",
    [(32, 768, 512, 512, 151_277_313), (14, 1024, 768, 768, 427_616_513)],
)
def test_expected_shapes_count_the_published_parameters(
    patch, width, text, shared, total
):
    """The shapes of ViT-B/32 and ViT-L/14 add up to the published sizes."""
    config = CLIPConfig.from_json(
        {
            "projection_dim": shared,
            "vision_config": {
                "hidden_size": width,
                "intermediate_size": 4 * width,
                "num_hidden_layers": 24 if patch == 14 else 12,
                "num_attention_heads": width // 64,
                "patch_size": patch,
            },
            "text_config": {
                "hidden_size": text,
                "intermediate_size": 4 * text,
                "num_attention_heads": text // 64,
            },
        }
    )
    shapes = clip.expected_shapes(config).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == total


@example
def test_vision_shapes_are_those_of_the_tower_alone():
    """What other models lend: the same tensors, without the name of the tower."""
    shapes = clip.vision_shapes(VisionConfig.from_json(JSON["vision_config"]))
    whole = clip.expected_shapes(CONFIG)
    named = {n: s for n, s in whole.items() if n.startswith("vision_model.")}
    assert {f"vision_model.{n}": s for n, s in shapes.items()} == named


@example
def test_similarity_logits_of_two_pictures():
    """Cosines 1 and 0 and a half, times e to the log of 10."""
    out = clip.similarity_logits(
        np.array([[3.0, 0.0], [0.0, 0.1]]),
        np.array([[2.0, 0.0], [1.0, 3**0.5]]),
        np.array(np.log(10.0)),
    )
    np.testing.assert_allclose(out, [[10, 5], [0, 10 * 3**0.5 / 2]], atol=1e-12)


@example
def test_similarity_logits_begin_at_a_temperature_of_7_hundredths():
    """The 2.6592 of CLIP's file is log(1 / 0.07): equal directions score 14.3."""
    out = clip.similarity_logits(np.ones((1, 2)), np.ones((1, 2)), np.array(2.6592))
    assert abs(out[0, 0] - 1 / 0.07) < 1e-3


@example
def test_padded_continues_each_text_by_its_end():
    """The longest text sets the length; the others repeat their last id."""
    np.testing.assert_array_equal(
        clip.padded([[1, 5, 6, 9], [1, 9]]), [[1, 5, 6, 9], [1, 9, 9, 9]]
    )


@law
def test_clip_looks_at_pictures_and_texts_one_by_one():
    """Neither the other pictures nor the other texts of a batch change a logit."""
    together, _ = clip.clip(PIXELS, IDS, WEIGHTS, CONFIG)
    alone, _ = clip.clip(PIXELS[1:2], IDS[2:], WEIGHTS, CONFIG)
    assert_close(alone[0, 0], together[1, 2])


@law
def test_clip_says_the_same_of_a_picture_and_of_a_text():
    """One matrix, read by rows or by columns."""
    per_image, per_text = clip.clip(PIXELS[:2], IDS, WEIGHTS, CONFIG)
    assert per_image.shape == (2, 3)
    np.testing.assert_array_equal(per_text, per_image.T)


@law
def test_text_features_do_not_see_what_follows_the_end():
    """Any padding will do: the end token has seen only what stands before it."""
    padded = IDS.copy()
    padded[0, 4:] = [7, 11]
    features = clip.text_features(IDS, WEIGHTS, CONFIG)
    assert_close(clip.text_features(padded, WEIGHTS, CONFIG), features)
    assert_close(clip.text_features(IDS[1:2, :2], WEIGHTS, CONFIG), features[1:2])


@law
def test_text_features_depend_on_every_token_before_the_end():
    """Change any one, and the text is another."""
    before = clip.text_features(IDS, WEIGHTS, CONFIG)[2]
    for place in range(5):
        changed = IDS.copy()
        changed[2, place] = 11
        after = clip.text_features(changed, WEIGHTS, CONFIG)[2]
        assert np.abs(after - before).max() > 1e-3


@law
def test_end_positions_of_old_files_are_the_highest_ids():
    """An eos_token_id of 2 is wrong in the first files, where the maximum ends."""
    old = replace(CONFIG.text, eos_token_id=2)
    np.testing.assert_array_equal(clip.end_positions(IDS, old), [2, 1, 5])
    np.testing.assert_array_equal(clip.end_positions(IDS, CONFIG.text), [3, 1, 5])


@law
def test_image_features_know_where_things_are():
    """Move two patches, and the positions tell: a bag of patches would not notice."""
    moved = PIXELS.copy()
    moved[:, :, :4, :4], moved[:, :, 4:8, 4:8] = (
        PIXELS[:, :, 4:8, 4:8],
        PIXELS[:, :, :4, :4],
    )
    before = clip.image_features(PIXELS, WEIGHTS, CONFIG)
    assert np.abs(clip.image_features(moved, WEIGHTS, CONFIG) - before).max() > 1e-2
    blind = Weights(
        TENSORS
        | {
            name: np.zeros_like(array)
            for name, array in TENSORS.items()
            if name == "vision_model.embeddings.position_embedding.weight"
        }
    )
    before = clip.image_features(PIXELS, blind, CONFIG)
    assert_close(clip.image_features(moved, blind, CONFIG), before, 1e-11)


@law
def test_vision_hidden_of_the_last_layer_is_the_tower_without_its_norm():
    """Counted from either end; each block moves the tokens."""
    tower = WEIGHTS.scope("vision_model")

    def hidden(layer):
        return clip.vision_hidden(PIXELS, tower, CONFIG.vision, layer)

    states = [hidden(layer) for layer in range(3)]
    for layer, state in enumerate(states):
        np.testing.assert_array_equal(hidden(layer - 3), state)
    assert min(np.abs(a - b).max() for a, b in pairwise(states)) > 0.1
    normed = layer_norm(states[-1], tower.scope("post_layernorm"), 1e-3)
    np.testing.assert_array_equal(
        clip.vision_tower(PIXELS, tower, CONFIG.vision), normed
    )


@law
def test_clip_keeps_float32():
    """float32 weights and pixels give float32 logits, close to those in float64."""
    single = Weights(
        {name: array.astype(np.float32) for name, array in TENSORS.items()}
    )
    logits, _ = clip.clip(PIXELS.astype(np.float32), IDS, single, CONFIG)
    assert logits.dtype == np.float32
    exact, _ = clip.clip(PIXELS, IDS, WEIGHTS, CONFIG)
    assert_close(logits, exact.astype(np.float32), 1e-5)


def reference(torch, described):
    """transformers' CLIPModel with our weights, in float64."""
    import_torchvision()
    from transformers import CLIPConfig, CLIPModel

    # sdpa: a row that sees nothing is zero there, and not a number when eager
    config = CLIPConfig(**json.loads(json.dumps(described)))
    config._attn_implementation = "sdpa"
    model = CLIPModel(config).double()
    model.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in TENSORS.items()})
    return model


@oracle
@pytest.mark.parametrize("end", [END, 2])
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("padded", [True, False])
def test_clip_equals_transformers(compare, end, activation, padded):
    """Features and logits of CLIPModel, by both rules for the end of a text."""
    described, mask = with_end(end, activation), MASK if padded else None

    def ask(torch):
        model = reference(torch, described)
        ids = torch.from_numpy(IDS)
        given = None if mask is None else torch.from_numpy(mask)
        pixels = torch.from_numpy(PIXELS.copy())
        out = model(ids, pixels, attention_mask=given)
        images = model.get_image_features(pixels).pooler_output
        texts = model.get_text_features(ids, given).pooler_output
        return {
            "images": images.detach().numpy(),
            "texts": texts.detach().numpy(),
            "logits": out.logits_per_image.detach().numpy().copy(),
        }

    answers = compare.answers(ask, (TENSORS, PIXELS, IDS, mask, described))
    assert answers["logits"].std() > 0.1
    config = CLIPConfig.from_json(described)
    images = clip.image_features(PIXELS, WEIGHTS, config)
    texts = clip.text_features(IDS, WEIGHTS, config, mask)
    logits, _ = clip.clip(PIXELS, IDS, WEIGHTS, config, mask)
    assert_close(images, answers["images"], 1e-11)
    assert_close(texts, answers["texts"], 1e-11)
    assert_close(logits, answers["logits"], 1e-11)


@oracle
@pytest.mark.parametrize("layer", [0, 1, -2, -1])
def test_vision_hidden_equals_transformers(compare, layer):
    """The hidden states of CLIPVisionModel, of which LLaVA reads the last but one."""

    def ask(torch):
        import_torchvision()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        model = CLIPVisionModel(CLIPVisionConfig(**JSON["vision_config"])).double()
        tower = {
            name: torch.from_numpy(array.copy())
            for name, array in TENSORS.items()
            if name.startswith("vision_model.")
        }
        if not any(name.startswith("vision_model.") for name in model.state_dict()):
            tower = {n.removeprefix("vision_model."): a for n, a in tower.items()}
        model.load_state_dict(tower)
        out = model(torch.from_numpy(PIXELS.copy()), output_hidden_states=True)
        return {"hidden": out.hidden_states[layer].detach().numpy()}

    answers = compare.answers(ask, (TENSORS, PIXELS, JSON, layer))
    expected = answers["hidden"]
    assert expected.std() > 0.1
    tower = WEIGHTS.scope("vision_model")
    assert_close(
        clip.vision_hidden(PIXELS, tower, CONFIG.vision, layer), expected, 1e-12
    )


@derivative
def test_clip_derivative_equals_transformers(compare):
    """The gradient of every weight and of the temperature, through both towers."""

    def ask(torch):
        model = reference(torch, JSON)
        out = model(torch.from_numpy(IDS), torch.from_numpy(PIXELS.copy()))
        (out.logits_per_image**2).sum().backward()
        return {n: p.grad.numpy().copy() for n, p in model.named_parameters()}

    given = TENSORS, PIXELS, IDS, JSON
    answers = compare.answers(ask, given, of_one_scale=True)

    def loss(weights):
        return (clip.clip(PIXELS, IDS, weights, CONFIG)[0] ** 2).sum()

    _, gradients = value_and_grad(loss)(WEIGHTS)
    assert gradients.keys() == answers.keys()
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, expected in answers.items():
        # a key's bias shifts all scores of a query alike: its gradient is zero
        assert np.abs(gradients[name] - expected).max() < 1e-11 * largest, name


@contract
@pytest.mark.parametrize(
    "tower, change, message",
    [
        ("vision_config", {"image_size": 3}, "patches of 4 pixels do not fit"),
        ("vision_config", {"num_channels": 1}, "num_channels is 1"),
        ("vision_config", {"hidden_act": "silu"}, "hidden_act is 'silu'"),
        ("vision_config", {"patch_size": [4, 4]}, "patch_size must be a whole number"),
        ("vision_config", {"num_attention_heads": 5}, "do not split into 5 heads"),
        ("vision_config", {"model_type": "siglip"}, "model_type is 'siglip'"),
        ("text_config", {"eos_token_id": 13}, "the vocabulary ends at 12"),
        ("text_config", {"vocab_size": "13"}, "vocab_size must be a whole number"),
        ("text_config", {"layer_norm_eps": 0}, "layer_norm_eps must be a number"),
    ],
)
def test_clip_config_refuses_what_it_cannot_build(tower, change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        CLIPConfig.from_json(JSON | {tower: JSON[tower] | change})


@contract
def test_vision_config_alone_is_of_a_clip_tower():
    """Another tower's section is refused by its name."""
    with pytest.raises(ConfigError, match="model_type is 'siglip_vision_model'"):
        VisionConfig.from_json({"model_type": "siglip_vision_model"})


@contract
def test_clip_config_reads_the_second_copy_of_older_files():
    """`text_config_dict`, where there is one, is what transformers goes by."""
    copied = JSON | {
        "text_config_dict": {"eos_token_id": 11},
        "vision_config_dict": None,
    }
    assert CLIPConfig.from_json(copied).text.eos_token_id == 11
    with pytest.raises(ConfigError, match="text_config must be an object"):
        CLIPConfig.from_json({"vision_config": JSON["vision_config"]})
    with pytest.raises(ConfigError, match="model_type is 'siglip'"):
        CLIPConfig.from_json(JSON | {"model_type": "siglip"})


@contract
def test_clip_refuses_what_it_was_not_built_for():
    """Pictures of another size, texts that are too long or have no end, ids beyond."""
    with pytest.raises(ShapeError, match="this tower sees 11 x 11"):
        clip.image_features(PIXELS[:, :, :8], WEIGHTS, CONFIG)
    with pytest.raises(ShapeError, match="a text of 8 tokens does not fit into .* 7"):
        clip.text_features(np.full((1, 8), END), WEIGHTS, CONFIG)
    with pytest.raises(ValueError, match="row 1 of input_ids has no end token, id 9"):
        clip.text_features(np.array([[1, 9], [1, 2]]), WEIGHTS, CONFIG)
    with pytest.raises(ValueError, match="id 13 is not in a table of 13 rows"):
        clip.text_features(np.array([[13, 9]]), WEIGHTS, CONFIG)
    with pytest.raises(MissingTensorError, match="logit_scale"):
        rest = {name: array for name, array in TENSORS.items() if name != "logit_scale"}
        clip.clip(PIXELS, IDS, Weights(rest), CONFIG)


@contract
@pytest.mark.parametrize("layer", [3, -4, 1.0, True, None])
def test_vision_hidden_refuses_a_layer_that_is_not_there(layer):
    """Two blocks have three places before, between and behind them."""
    with pytest.raises(ValueError, match="vision_hidden: layer is .* 0 to 2, or -3"):
        clip.vision_hidden(PIXELS, WEIGHTS.scope("vision_model"), CONFIG.vision, layer)


@contract
def test_padded_refuses_a_text_without_tokens():
    """There is no end to repeat."""
    with pytest.raises(ValueError, match="without a token"):
        clip.padded([[1, 2], []])
