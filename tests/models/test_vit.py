"""The spec of refvlm/models/vit.py and vit_config.py."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.transformer import linear
from refvlm.checkpoint import MissingTensorError, Weights
from refvlm.models import vit
from refvlm.models.fields import ConfigError
from refvlm.models.vit_config import DEIT_TINY, VIT_B16, VIT_S16, ViTConfig
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
    "model_type": "vit",
    "hidden_size": 12,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 13,
    "patch_size": 4,
    "layer_norm_eps": 1e-3,
    "id2label": {"0": "ring", "1": "star", "2": "cross"},
}
TEACHER = JSON | {"model_type": "deit"}
PIXELS = random_arrays(7)(2, 3, 13, 13)
WIDE = random_arrays(8)(2, 3, 10, 22)
HEADS = {
    "classifier": {"classifier.weight": (3, 12), "classifier.bias": (3,)},
    "pooler": {"pooler.dense.weight": (12, 12), "pooler.dense.bias": (12,)},
}


def made(described, seed=6):
    """(config, tensors of the tower): every parameter random."""
    config = ViTConfig.from_json(described)
    return config, random_weights(vit.expected_shapes(config), seed)


CONFIG, TENSORS = made(JSON)
WEIGHTS = Weights(TENSORS)


def parameters(config, labels=0):
    """How many numbers a model of `labels` classes holds."""
    shapes = vit.expected_shapes(config).values()
    count = sum(int(np.prod(shape)) for shape in shapes)
    return count + labels * (config.hidden_size + 1)


@example
@pytest.mark.parametrize(
    "config, bare, whole",
    [
        (DEIT_TINY, 5_524_416, 5_717_416),
        (VIT_S16, 21_665_664, 22_050_664),
        (VIT_B16, 85_798_656, 86_567_656),
    ],
)
def test_expected_shapes_count_the_published_parameters(config, bare, whole):
    """Without a head, and with one of ImageNet's thousand classes."""
    assert parameters(config) == bare
    assert parameters(config, labels=1000) == whole


@example
def test_vit_of_224_pixels_reads_196_patches():
    """Fourteen by fourteen, a class token, and 768 numbers in a patch."""
    assert VIT_S16.patches == 196
    assert vit.expected_shapes(VIT_S16)[vit.POSITIONS] == (1, 197, 384)
    assert ops.patchify(np.zeros((3, 224, 224)), 16).shape == (196, 768)


@law
def test_vit_looks_at_pictures_one_by_one():
    """The other pictures of a batch change nothing."""
    assert_close(vit.vit(PIXELS[1:], WEIGHTS, CONFIG)[0], see()[1])


def see(config=CONFIG, weights=WEIGHTS):
    return vit.vit(PIXELS, weights, config)


@law
def test_vit_without_positions_is_a_bag_of_patches():
    """Exchange two patches: their tokens are exchanged, and the class token does not
    notice. With positions, it does."""
    moved = PIXELS.copy()
    moved[:, :, :4, :4], moved[:, :, 4:8, 8:12] = (
        PIXELS[:, :, 4:8, 8:12],
        PIXELS[:, :, :4, :4],
    )
    assert np.abs(vit.vit(moved, WEIGHTS, CONFIG)[:, 0] - see()[:, 0]).max() > 1e-2
    blind = Weights(TENSORS | {vit.POSITIONS: np.zeros((1, 10, 12))})
    before, after = see(weights=blind), vit.vit(moved, blind, CONFIG)
    swapped = before.copy()
    swapped[:, [1, 6]] = before[:, [6, 1]]
    assert_close(after, swapped, 1e-11)


@law
def test_vit_hidden_ends_before_the_last_norm():
    """The states are those of `vit_hidden`, counted from either end."""
    tokens = vit.embed(PIXELS, WEIGHTS.scope("embeddings"), CONFIG)
    states = list(vit.states(tokens, WEIGHTS, CONFIG))
    assert len(states) == 3
    for layer, state in enumerate(states):
        for number in (layer, layer - 3):
            found = vit.vit_hidden(PIXELS, WEIGHTS, CONFIG, number)
            np.testing.assert_array_equal(found, state)
    scale, shift = TENSORS["layernorm.weight"], TENSORS["layernorm.bias"]
    normed = ops.layer_norm(states[-1], (12,), scale, shift, 1e-3)
    np.testing.assert_array_equal(see(), normed)


@law
def test_vit_interpolates_to_the_same_grid_unchanged():
    """13 and 14 pixels hold three patches of four: the positions are those learnt."""
    larger = np.pad(PIXELS, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=9.0)
    for antialias in (False, True):
        out = vit.vit(larger, WEIGHTS, CONFIG, True, antialias)
        assert_close(out, see(), 1e-12)


@law
def test_split_tokens_parts_the_prefix_from_the_patches():
    """One token for the picture, nine for its parts; two where a teacher spoke."""
    first, patches = vit.split_tokens(see(), CONFIG)
    assert first.shape == (2, 1, 12) and patches.shape == (2, 9, 12)
    first, patches = vit.split_tokens(see(), replace(CONFIG, distilled=True))
    assert first.shape == (2, 2, 12) and patches.shape == (2, 8, 12)


@law
def test_vit_keeps_float32():
    """float32 weights and pixels give float32 tokens, close to those in float64."""
    single = Weights(
        {name: array.astype(np.float32) for name, array in TENSORS.items()}
    )
    tokens = vit.vit(PIXELS.astype(np.float32), single, CONFIG)
    assert tokens.dtype == np.float32
    assert_close(tokens, see().astype(np.float32), 1e-5)


def reference(torch, name, tensors, described, directory):
    """transformers' model, which opens the files as they are published."""
    import_torchvision()
    import transformers

    config = described | {"architectures": [name], "dtype": "float64"}
    (directory / "config.json").write_text(json.dumps(config))
    tensors = {n: np.ascontiguousarray(a) for n, a in tensors.items()}
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    model, report = getattr(transformers, name).from_pretrained(
        directory, output_loading_info=True, dtype=torch.float64
    )
    assert not any(report.values()), report
    return model.eval()


def whole(scope, tower, **heads):
    """The tensors of a checkpoint with its heads."""
    return {f"{scope}.{n}": a for n, a in tower.items()} | random_weights(heads, 9)


@oracle
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_vit_equals_transformers(compare, tmp_path, bias, activation):
    """Tokens, hidden states and logits of ViTForImageClassification, on pictures of
    its own size and of another."""
    described = JSON | {"qkv_bias": bias, "hidden_act": activation}
    config, tower = made(described)
    tensors = whole("vit", tower, **HEADS["classifier"])

    def ask(torch):
        model = reference(
            torch, "ViTForImageClassification", tensors, described, tmp_path
        )
        out = model(torch.from_numpy(PIXELS.copy()), output_hidden_states=True)
        wide = model(torch.from_numpy(WIDE.copy()), interpolate_pos_encoding=True)
        return {
            "between": out.hidden_states[1].detach().numpy(),
            "logits": out.logits.detach().numpy(),
            "wide": wide.logits.detach().numpy(),
        }

    answers = compare.answers(ask, (tensors, PIXELS, WIDE, described))
    assert min(answer.std() for answer in answers.values()) > 0.1
    weights = Weights(tensors)
    scope, head = weights.scope("vit"), weights.scope("classifier")

    def logits(pixels, **options):
        return linear(vit.vit(pixels, scope, config, **options)[:, 0], head)

    hidden = vit.vit_hidden(PIXELS, scope, config)
    assert_close(hidden, answers["between"], 1e-12)
    assert_close(logits(PIXELS), answers["logits"], 1e-12)
    assert_close(logits(WIDE, interpolate=True), answers["wide"], 1e-11)


@oracle
def test_pooled_equals_transformers(compare, tmp_path):
    """A ViTModel with its pooler, whose files have no `vit.` before their names."""
    tensors = TENSORS | random_weights(HEADS["pooler"], 9)

    def ask(torch):
        model = reference(torch, "ViTModel", tensors, JSON, tmp_path)
        out = model(torch.from_numpy(PIXELS.copy()))
        return {
            "tokens": out.last_hidden_state.detach().numpy(),
            "pooled": out.pooler_output.detach().numpy(),
        }

    answers = compare.answers(ask, (tensors, PIXELS, JSON))
    assert answers["pooled"].std() > 0.1
    weights = Weights(tensors)
    tokens = vit.vit(PIXELS, weights, CONFIG)
    assert_close(tokens, answers["tokens"], 1e-12)
    assert_close(vit.pooled(tokens, weights), answers["pooled"], 1e-12)


@oracle
@pytest.mark.parametrize("size", ["its own", "another"])
def test_vit_with_a_teacher_equals_transformers(compare, tmp_path, size):
    """The tokens of a distilled DeiT: two before the patches, also where positions are
    interpolated."""
    config, tower = made(TEACHER)
    pixels = PIXELS if size == "its own" else WIDE
    tensors = whole("deit", tower, **HEADS["classifier"])

    def ask(torch):
        model = reference(
            torch, "DeiTForImageClassification", tensors, TEACHER, tmp_path
        )
        out = model.deit(
            torch.from_numpy(pixels.copy()), interpolate_pos_encoding=size != "its own"
        )
        return {"tokens": out.last_hidden_state.detach().numpy()}

    answers = compare.answers(ask, (tensors, pixels, TEACHER))
    assert answers["tokens"].std() > 0.1
    scope = Weights(tensors).scope("deit")
    tokens = vit.vit(pixels, scope, config, interpolate=size != "its own")
    assert_close(tokens, answers["tokens"], 1e-11)


@oracle
@pytest.mark.parametrize("antialias", [False, True])
def test_embed_interpolates_positions_as_torch_does(compare, antialias):
    """Three rows of patches become two and three columns five: what each patch is
    given, with antialias, which only what shrinks can tell, and without."""

    def ask(torch):
        rows = TENSORS[vit.POSITIONS][0, 1:].T.reshape(1, 12, 3, 3)
        places = torch.nn.functional.interpolate(
            torch.from_numpy(rows.copy()),
            size=(2, 5),
            mode="bicubic",
            align_corners=False,
            antialias=antialias,
        )
        return {"places": places.flatten(2)[0].T.numpy().copy()}

    places = compare.answers(ask, (TENSORS, antialias))["places"]
    assert places.std() > 0.03

    def embedded(table):
        weights = Weights(TENSORS | {vit.POSITIONS: table}).scope("embeddings")
        return vit.embed(WIDE, weights, CONFIG, True, antialias)[:, 1:]

    learnt = TENSORS[vit.POSITIONS]
    bare = embedded(np.zeros_like(learnt))
    assert_close(embedded(learnt), bare + places, 1e-12)


@derivative
def test_vit_derivative_equals_transformers(compare, tmp_path):
    """The gradient of every weight, positions and class token included."""

    def ask(torch):
        model = reference(torch, "ViTModel", pooled, JSON, tmp_path)
        out = model(torch.from_numpy(PIXELS.copy())).pooler_output
        (out**2).sum().backward()
        return {name_of(n): p.grad.numpy().copy() for n, p in model.named_parameters()}

    def name_of(name):
        for ours, theirs in vit.BLOCK.items():
            name = name.replace(f".{SHORT.get(ours, theirs)}.", f".{theirs}.")
        return name.replace("layers.", "encoder.layer.")

    pooled = TENSORS | random_weights(HEADS["pooler"], 9)
    answers = compare.answers(ask, (pooled, PIXELS, JSON), of_one_scale=True)

    def loss(weights):
        return (vit.pooled(vit.vit(PIXELS, weights, CONFIG), weights) ** 2).sum()

    _, gradients = value_and_grad(loss)(Weights(pooled))
    assert gradients.keys() == answers.keys()
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, expected in answers.items():
        assert np.abs(gradients[name] - expected).max() < 1e-11 * largest, name


# What transformers calls a block's parts in memory, where it is not as in the files.
SHORT = {
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.out_proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "siglip"}, "model_type is 'siglip'"),
        ({"patch_size": 14}, "patches of 14 pixels do not fit into pictures of 13"),
        ({"patch_size": [4, 4]}, "patch_size must be a whole number"),
        ({"num_channels": 1}, "num_channels is 1"),
        ({"num_attention_heads": 5}, "12 features do not split into 5 heads"),
        ({"hidden_act": "silu"}, "hidden_act is 'silu'"),
        ({"qkv_bias": 1}, "qkv_bias must be true or false"),
        ({"pooler_act": "relu"}, "pooler_act is 'relu'"),
        ({"pooler_output_size": 8}, "pooler_output_size is 8"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be a number"),
    ],
)
def test_vit_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        ViTConfig.from_json(JSON | change)


@contract
def test_vit_refuses_what_it_was_not_built_for():
    """Pictures of another size, layers that are not there, a tensor that lacks."""
    with pytest.raises(ShapeError, match=r"positions were learnt on 13 x 13: resize"):
        vit.vit(WIDE, WEIGHTS, CONFIG)
    with pytest.raises(ShapeError, match=r"a patch of 4 x 4 does not fit"):
        vit.vit(PIXELS[:, :, :3], WEIGHTS, CONFIG, interpolate=True)
    with pytest.raises(ValueError, match="vit_hidden: layer is 3"):
        vit.vit_hidden(PIXELS, WEIGHTS, CONFIG, 3)
    with pytest.raises(MissingTensorError, match="attention.attention.key.weight"):
        name = "encoder.layer.1.attention.attention.key.weight"
        rest = {n: a for n, a in TENSORS.items() if n != name}
        vit.vit(PIXELS, Weights(rest), CONFIG)
