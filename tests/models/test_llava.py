"""The spec of refvlm/models/llava.py."""

import json

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.models import llava
from refvlm.models.llava_config import LlavaConfig
from refvlm.models.splicing import IMAGE, splice
from refvlm.shapes import ShapeError

from .. import llavas
from ..oracles import all_double, import_torchvision
from ..spec import assert_close, contract, derivative, example, law, oracle

CONFIG, TENSORS = llavas.built()
WEIGHTS = Weights(TENSORS)
PIXELS = llavas.pictures(2)
IDS, MASK = llavas.prompts(llavas.PATCHES)
MARKED = np.concatenate([IDS[:, :4], [[IMAGE]] * 2, IDS[:, 8:]], axis=1)


@example
@pytest.mark.parametrize(
    "hidden, layers, heads, ffn, vicuna",
    [
        (4096, 32, 32, 11008, 6_738_415_616),
        (5120, 40, 40, 13824, 13_015_864_320),
    ],
)
def test_expected_shapes_count_the_published_parameters(
    hidden, layers, heads, ffn, vicuna
):
    """LLaVA-1.5 of 7B and 13B: CLIP's ViT-L/14 for 336 pixels, two matrices, and a
    Vicuna with 64 rows more at either end."""
    config = LlavaConfig.from_json(
        {
            "model_type": "llava",
            "vision_config": {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "image_size": 336,
                "patch_size": 14,
            },
            "text_config": {
                "vocab_size": 32064,
                "hidden_size": hidden,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "intermediate_size": ffn,
            },
        }
    )
    shapes = llava.expected_shapes(config, tied=False)
    counted = sum(int(np.prod(shape)) for shape in shapes.values())
    projector = (1024 + 1) * hidden + (hidden + 1) * hidden
    assert counted == 303_507_456 + projector + vicuna + 2 * 64 * hidden
    assert llava.image_grid(config, 336, 336) == (24, 24)


@law
def test_llava_both_marks_mean_the_same():
    """One -200 for each picture, or the image token for each of its tokens."""
    one = llava.llava(PIXELS, MARKED, WEIGHTS, CONFIG)
    many = llava.llava(PIXELS, IDS, WEIGHTS, CONFIG)
    np.testing.assert_array_equal(one, many)


@law
def test_llava_answer_depends_on_the_picture():
    """Another picture changes every logit after it and none before it."""
    here = llava.llava(PIXELS, IDS, WEIGHTS, CONFIG)
    there = llava.llava(PIXELS[::-1], IDS, WEIGHTS, CONFIG)
    np.testing.assert_allclose(here[:, :4], there[:, :4], atol=1e-12)
    assert np.abs(here[:, 4:] - there[:, 4:]).max(axis=(0, 2)).min() > 1e-3


@law
def test_features_of_the_last_layer_but_one_do_not_ask_the_last_block():
    """What is not looked at is not computed, nor has it a gradient."""
    names = [name for name in WEIGHTS if ".encoder.layers.2." in name]
    without = Weights({name: a for name, a in TENSORS.items() if name not in names})
    assert len(names) == 16
    np.testing.assert_array_equal(
        llava.features(PIXELS, without, CONFIG),
        llava.features(PIXELS, WEIGHTS, CONFIG),
    )


@law
def test_features_are_full_with_the_class_token_in_front():
    """ "default" is "full" without its first token."""
    full = LlavaConfig.from_json(llavas.changed(vision_feature_select_strategy="full"))
    whole = llava.features(PIXELS, WEIGHTS, full)
    patches = llava.features(PIXELS, WEIGHTS, CONFIG)
    assert whole.shape == (2, 5, 12)
    np.testing.assert_array_equal(whole[:, 1:], patches)
    assert llava.image_grid(full, 11, 11) == (1, 5)


@law
def test_encode_image_reports_its_progress_block_by_block():
    """The bar ends where the tower is left, one block before its end."""
    seen = []
    llava.encode_image(PIXELS, WEIGHTS, CONFIG, lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]


@law
@pytest.mark.parametrize("kind, tokens", [("linear", 4), ("queries", 7)])
def test_llava_speaks_through_every_connector(kind, tokens):
    """Whatever number of tokens a picture becomes, the answer depends on it."""
    document = llavas.changed(model_type=f"llava_{kind}", query_tokens=7, query_heads=3)
    config, tensors = llavas.built(document)
    weights = Weights(tensors)
    image = llava.encode_image(PIXELS, weights, config)
    assert image.shape == (2, tokens, 24)
    ids, _ = llavas.prompts(tokens)
    here = llava.llava(PIXELS, ids, weights, config)
    there = llava.llava(PIXELS[::-1], MARKED, weights, config)
    assert here.shape == there.shape == (2, 6 + tokens, 37)
    assert np.abs(here - there)[:, 4:].max(axis=(0, 2)).min() > 1e-4
    assert np.prod(llava.image_grid(config, 11, 11)) == tokens


CASES = {  # what differs from llavas.CONFIG
    "as published": {},
    "full": {"vision_feature_select_strategy": "full"},
    "the last layer": {"vision_feature_layer": -1},
    "counted from the front": {"vision_feature_layer": 1},
    "two layers": {"vision_feature_layer": [-2, -4]},
    "two layers, full": {
        "vision_feature_layer": [-1, -2],
        "vision_feature_select_strategy": "full",
    },
    "gelu_new": {"projector_hidden_act": "gelu_new"},
    "quick_gelu": {"projector_hidden_act": "quick_gelu"},
    "a tower of gelu": {
        "projector_hidden_act": "gelu_pytorch_tanh",
        "vision_config": {"hidden_act": "gelu"},
    },
    "without biases": {"multimodal_projector_bias": False},
    "qwen2": {"text_config": llavas.QWEN2},
}


def import_llava():
    """transformers' LLaVA; not under `all_double`, which its modules would keep."""
    import_torchvision()
    from transformers import LlavaForConditionalGeneration
    from transformers.models.clip import modeling_clip
    from transformers.models.llama import modeling_llama
    from transformers.models.qwen2 import modeling_qwen2

    assert modeling_clip and modeling_llama and modeling_qwen2
    return LlavaForConditionalGeneration


def transformers_model(torch, document, tensors):
    """transformers' LLaVA with our weights; to be asked under `all_double`."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig.from_dict(json.loads(json.dumps(document)))
    config._attn_implementation = "sdpa"
    model = LlavaForConditionalGeneration(config).double().eval()
    state = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    model.tie_weights()
    return model


def greedily(new_tokens, pixels, ids, weights, config, mask):
    """New ids, each the likeliest by far. They are looked up, where a prompt's are
    spliced: a model of random weights says the image token, too."""
    decoder, said = llava.SPEAKER, []
    image = llava.encode_image(pixels, weights, config)
    embeddings = splice(ids, image, weights, llava.EMBEDDING, llavas.IMAGE_TOKEN)
    for _ in range(new_tokens):
        hidden = decoder.forward(
            embeddings, weights.scope(llava.DECODER), config.text, mask, last=1
        )
        scores = decoder.logits(hidden[:, -1], weights)
        best = np.sort(scores, axis=-1)
        assert (best[:, -1] - best[:, -2]).min() > 1e-6
        said.append(scores.argmax(-1))
        new = weights[llava.EMBEDDING][said[-1]][:, None]
        embeddings = np.concatenate([embeddings, new], axis=1)
        mask = np.pad(mask, ((0, 0), (0, 1)), constant_values=1)
    return np.stack(said, axis=1)


@oracle
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_llava_equals_transformers(compare, case, count):
    """Logits of two rows, one padded on the left, with one picture each or two; and
    what is said greedily after them, where no two scores are nearly equal."""
    document = llavas.changed(**CASES[case])
    tied = document["text_config"]["tie_word_embeddings"]
    config, tensors = llavas.built(document, tied)
    ids, mask = llavas.prompts(config.image_tokens, count)
    pixels = llavas.pictures(2 * count)

    def ask(torch):
        import_llava()
        with all_double(torch), torch.no_grad():
            model = transformers_model(torch, document, tensors)
            given = {
                "input_ids": torch.from_numpy(ids),
                "pixel_values": torch.from_numpy(pixels),
                "attention_mask": torch.from_numpy(mask),
            }
            places = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0))
            logits = model(**given, position_ids=places).logits
            said = model.generate(
                **given, max_new_tokens=5, do_sample=False, eos_token_id=None
            )
        return {"logits": logits.numpy(), "said": said[:, ids.shape[1] :].numpy()}

    inputs = (document, tensors, pixels, ids, mask)
    answers = compare.answers(ask, inputs, tolerance=1e-9)
    weights, seen = Weights(tensors), mask.astype(bool)
    logits = llava.llava(pixels, ids, weights, config, mask)
    assert answers["logits"][seen].std() > 0.3
    assert_close(logits[seen], answers["logits"][seen], 1e-12)
    spoken = greedily(5, pixels, ids, weights, config, mask)
    np.testing.assert_array_equal(spoken, answers["said"])

    single = Weights({name: a.astype(np.float32) for name, a in tensors.items()})
    ours = llava.llava(pixels.astype(np.float32), ids, single, config, mask)
    assert_close(ours[seen], answers["logits"][seen].astype(np.float32), 1e-5)


@derivative
def test_llava_derivative_equals_transformers(compare):
    """The gradient of every weight, and none of the block that is not looked at."""

    def ask(torch):
        import_llava()
        with all_double(torch):
            model = transformers_model(torch, llavas.CONFIG, TENSORS)
            logits = model(
                input_ids=torch.from_numpy(IDS),
                pixel_values=torch.from_numpy(PIXELS),
            ).logits
            (logits**2).mean().backward()
            return {
                name: parameter.grad.numpy().copy()
                for name, parameter in model.named_parameters()
                if parameter.grad is not None
            }

    inputs = (llavas.CONFIG, TENSORS, PIXELS, IDS)
    answers = compare.answers(ask, inputs, of_one_scale=True)

    def loss(weights):
        return (llava.llava(PIXELS, IDS, weights, CONFIG) ** 2).mean()

    _, gradients = value_and_grad(loss)(WEIGHTS)
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, gradient in gradients.items():
        expected = answers.get(name, np.zeros_like(gradient))
        assert np.abs(gradient - expected).max() < 1e-11 * largest, name
    silent = {n for n, gradient in gradients.items() if not np.abs(gradient).any()}
    assert silent == {
        n for n in WEIGHTS if ".encoder.layers.2." in n or ".post_layernorm." in n
    }


@contract
def test_image_grid_refuses_a_picture_of_another_size():
    """The position table is of one grid: it is not stretched in silence."""
    with pytest.raises(ShapeError, match="7 x 11 pixels, but .* for 11 x 11"):
        llava.image_grid(CONFIG, 11, 7)


@contract
def test_llava_refuses_pictures_and_marks_that_do_not_fit():
    """Another size than the tower's, and more places than a picture has tokens."""
    with pytest.raises(ShapeError, match="this tower sees 11 x 11"):
        llava.llava(PIXELS[:, :, :8], IDS, WEIGHTS, CONFIG)
    with pytest.raises(ShapeError, match="8 places .* make 4"):
        llava.llava(PIXELS[:1], IDS, WEIGHTS, CONFIG)
