"""The spec of refvlm/models/microvlm_parts.py."""

import re

import numpy as np
import pytest
from safetensors.numpy import load_file

from refvlm.blocks import tables
from refvlm.checkpoint import CheckpointError, Weights
from refvlm.models import microvlm, microvlm_parts
from refvlm.models.microvlm_config import MicroVLMConfig

from .. import microvlms
from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle
from ..weights import random_weights

VISION, TEXT = microvlms.CONFIG["vision_config"], microvlms.CONFIG["text_config"]
PIXELS = microvlms.pictures(2).astype(np.float32)
IDS, _ = microvlms.texts(2)
CONFIG, TENSORS = microvlms.built()
TOWER = {
    name.removeprefix("vision_encoder."): array
    for name, array in TENSORS.items()
    if name.startswith("vision_encoder.")
}
SPEAKER = {
    name.removeprefix("language_model."): array
    for name, array in TENSORS.items()
    if name.startswith("language_model.")
}


def begun(shapes):
    """What nobody has published, at random."""
    return random_weights(shapes, seed=6)


def scoped(scope, tensors):
    return Weights({f"{scope}.{name}": array for name, array in tensors.items()})


@law
def test_tower_part_is_the_same_from_every_layout():
    """A bare model, a classifier's file, and a DeiT's without its teacher."""
    more = random_weights({"classifier.weight": (4, 15), "classifier.bias": (4,)}, 2)
    pooler = random_weights({"pooler.dense.weight": (15, 15)}, 3)
    files = [
        Weights(TOWER),
        Weights(TOWER | pooler),
        scoped("vit", TOWER).add(more),
        scoped("deit", TOWER),
    ]
    for file in files:
        part = microvlm_parts.tower_part(file)
        assert set(part) == {f"vision_encoder.{name}" for name in TOWER}
        for name in TOWER:
            np.testing.assert_array_equal(part[f"vision_encoder.{name}"], TOWER[name])


@law
def test_speaker_part_is_the_same_from_every_layout():
    """With `model.` before its names or without; a tied head is not read twice."""
    head = {"lm_head.weight": SPEAKER["model.embed_tokens.weight"]}
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2)}
    bare = {name.removeprefix("model."): array for name, array in SPEAKER.items()}
    for file in (SPEAKER, SPEAKER | head | old, bare):
        part = microvlm_parts.speaker_part(Weights(file), tied=True)
        assert set(part) == {f"language_model.{name}" for name in SPEAKER}
    own = microvlm_parts.speaker_part(Weights(SPEAKER | head), tied=False)
    assert "language_model.lm_head.weight" in own


@law
def test_assemble_is_the_whole_model():
    """Published parts and what begins anew: the tensors that it computes with."""
    weights = microvlm_parts.assemble(Weights(TOWER), Weights(SPEAKER), CONFIG, begun)
    assert set(weights) == set(TENSORS)
    ids, mask = microvlms.texts(4)
    logits = microvlm.microvlm(microvlms.pictures(4), ids, weights, CONFIG, 2, mask)
    assert logits.shape == (4, 13, 19) and np.isfinite(logits).all()


def saved(model, directory, seed):
    """The tensors of a file that transformers or timm writes, every one random."""
    import torch

    shapes = {n: tuple(t.shape) for n, t in model.state_dict().items()}
    tensors = random_weights(shapes, seed)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in tensors.items()})
    if hasattr(model, "save_pretrained"):
        if hasattr(model, "tie_weights"):
            model.tie_weights()
        model.save_pretrained(directory)
    else:
        from safetensors.torch import save_file

        save_file(model.state_dict(), directory / "model.safetensors")
    return load_file(directory / "model.safetensors")


def build_transformers(name, **changes):
    """A ViT or a DeiT with four classes, or none."""
    import transformers

    numbers = {**VISION, **changes, "num_labels": 4}
    numbers.pop("model_type")
    config = "DeiTConfig" if name.startswith("DeiT") else "ViTConfig"
    return getattr(transformers, name)(getattr(transformers, config)(**numbers))


def build_timm(distilled):
    from timm.layers import set_fused_attn
    from timm.models import deit, vision_transformer

    set_fused_attn(False)
    kinds = vision_transformer.VisionTransformer, deit.VisionTransformerDistilled
    return kinds[distilled](
        img_size=13,
        patch_size=4,
        embed_dim=15,
        depth=2,
        num_heads=3,
        mlp_ratio=20 / 15,
        num_classes=4,
    )


TOWERS = {  # how it is built, whether a teacher's token is there, and its norms' eps
    "facebook/deit-tiny": ("ViTForImageClassification", False, 1e-3),
    "facebook/deit-tiny-distilled": (
        "DeiTForImageClassificationWithTeacher",
        True,
        1e-3,
    ),
    "without heads": ("DeiTModel", True, 1e-3),
    "timm's deit_tiny": (None, False, 1e-6),
    "timm's deit_tiny_distilled": (None, True, 1e-6),
}


@oracle
@pytest.mark.parametrize("case", TOWERS)
def test_tower_part_sees_what_its_own_library_sees(compare, tmp_path, case):
    """A file as the library writes it, and its tokens of two pictures."""
    name, distilled, eps = TOWERS[case]

    def ask(torch):
        import_torchvision()
        model = build_timm(distilled) if name is None else build_transformers(name)
        model = model.eval()
        file = saved(model, tmp_path, seed=8)
        pixels = torch.from_numpy(PIXELS.copy())
        with torch.no_grad():
            if name is None:
                tokens = model.forward_features(pixels)
            else:
                inner = getattr(model, "vit", getattr(model, "deit", model))
                tokens = inner(pixels).last_hidden_state
        return {**{f"file.{n}": a for n, a in file.items()}, "tokens": tokens.numpy()}

    answers = compare.answers(ask, (case, PIXELS), tolerance=1e-5)
    tokens = answers.pop("tokens")
    assert tokens.std() > 0.3
    file = Weights({n.removeprefix("file."): a for n, a in answers.items()})
    kind = "deit" if distilled else "vit"
    vision = {"model_type": kind, "layer_norm_eps": eps}
    config = MicroVLMConfig.from_json(microvlms.changed(vision_config=vision))
    weights = microvlm_parts.assemble(file, Weights(SPEAKER), config, begun)
    own, patches = microvlm.see(PIXELS, weights, config)
    assert_close(own, tokens[:, 0], 1e-5)
    assert_close(patches, tokens[:, 1 + distilled :], 1e-5)


@oracle
@pytest.mark.parametrize("tied", [True, False])
def test_speaker_part_says_what_transformers_says(compare, tmp_path, tied):
    """The logits of a text, by a Qwen2 as transformers writes it, tied and not."""

    def ask(torch):
        import_torchvision()
        from transformers import Qwen2Config, Qwen2ForCausalLM

        numbers = {**TEXT, "tie_word_embeddings": tied}
        model = Qwen2ForCausalLM(Qwen2Config(**numbers)).eval()
        file = saved(model, tmp_path, seed=9)
        with torch.no_grad():
            logits = model(torch.from_numpy(IDS)).logits
        return {**{f"file.{n}": a for n, a in file.items()}, "logits": logits.numpy()}

    answers = compare.answers(ask, (TEXT, IDS, tied), tolerance=1e-5)
    logits = answers.pop("logits")
    assert logits.std() > 0.3
    assert ("file.lm_head.weight" in answers) is not tied
    file = Weights({n.removeprefix("file."): a for n, a in answers.items()})
    document = microvlms.changed(text_config={"tie_word_embeddings": tied})
    config = MicroVLMConfig.from_json(document)
    weights = microvlm_parts.assemble(Weights(TOWER), file, config, begun)
    text = tables.look_up(IDS, weights, microvlm.EMBEDDING)
    decoder = weights.scope(microvlm.DECODER)
    hidden = microvlm.SPEAKER.forward(text, decoder, config.text)
    assert_close(microvlm.SPEAKER.logits(hidden, weights), logits, 1e-5)


@contract
def test_assemble_names_what_is_missing_and_what_is_not_known():
    """The parts that nobody has published, when none are begun; a tower with a token
    too many; a decoder of another size; a tensor of a published part."""
    parts = Weights(TOWER), Weights(SPEAKER)
    with pytest.raises(CheckpointError, match=r"\d+ missing: .*multimodal_adapter"):
        microvlm_parts.assemble(*parts, CONFIG)
    token = "embeddings.distillation_token"
    taught = parts[0].add({token: np.ones((1, 1, 15))})
    with pytest.raises(CheckpointError, match=f"unexpected: .*{re.escape(token)}"):
        microvlm_parts.assemble(taught, parts[1], CONFIG, begun)
    narrow = {"norm.weight": np.ones(5)}
    narrow = parts[1].replace({f"model.{n}": a for n, a in narrow.items()})
    with pytest.raises(CheckpointError, match=r"norm.weight. is \(5,\) and should be"):
        microvlm_parts.assemble(parts[0], narrow, CONFIG, begun)
    lost = {n: a for n, a in TOWER.items() if n != "layernorm.bias"}
    with pytest.raises(CheckpointError, match="1 missing: .*layernorm.bias"):
        microvlm_parts.assemble(Weights(lost), parts[1], CONFIG, begun)
