"""The spec of a LLaVA directory, opened by refvlm/pretrained/seers.py."""

import json
import re

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError
from refvlm.models import llava
from refvlm.models.fields import ConfigError
from refvlm.models.splicing import IMAGE
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from .. import llavas
from ..spec import assert_close, contract, law

PIXELS = llavas.pictures(1).astype(np.float32)
PROMPT = [[1, 70, 105, 10, IMAGE, 10, 63]]
PICTURE = np.random.RandomState(3).randint(0, 256, (14, 23, 3), np.uint8)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return llavas.write_checkpoint(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def vlm(directory):
    return refvlm.load(directory)


@law
def test_load_gives_the_models_own_logits(vlm):
    """What the face computes is what the model's function does."""
    tensors = llavas.built(llavas.worded(), seed=5)[1]
    single = checkpoint.Weights({n: a.astype(np.float32) for n, a in tensors.items()})
    expected = llava.llava(PIXELS, np.array(PROMPT), single, vlm.config)
    assert_close(vlm.logits(PIXELS, PROMPT), expected)


@law
def test_generate_follows_the_largest_logit(vlm):
    """Greedy decoding with a cache is argmax of the full logits, token by token."""
    ids = np.array(PROMPT)
    for token in vlm.generate(PIXELS, PROMPT, 6)[0]:
        logits = vlm.logits(PIXELS, ids)[0, -1]
        top, second = np.sort(logits)[:-3:-1]
        assert top - second > 1e-4, "a tie would prove nothing"
        assert logits.argmax() == token
        ids = np.append(ids, [[token]], axis=1)


@law
def test_generate_takes_several_pictures_in_a_prompt(vlm):
    """Each mark gets its own picture, in order, and each is heard."""
    pixels = llavas.pictures(2).astype(np.float32)
    two = [[1, 70, IMAGE, 10, IMAGE, 63]]
    here, there = vlm.logits(pixels, two), vlm.logits(pixels[::-1], two)
    assert here.shape[1] == 4 + 2 * llavas.PATCHES
    np.testing.assert_allclose(here[:, :2], there[:, :2], atol=1e-5)
    assert np.abs(here - there)[:, 2:].max(axis=(0, 2)).min() > 1e-3
    assert vlm.generate(pixels, two, 3).shape == (1, 3)


@law
def test_prompt_ids_are_vicunas(vlm):
    """USER, the picture, the question, ASSISTANT, behind the token that begins all."""
    ids = vlm.prompt_ids("What is on the table?")[0].tolist()
    assert ids[0] == vlm.tokenizer.token_id("<s>") and ids.count(IMAGE) == 1
    place = ids.index(IMAGE)
    assert vlm.tokenizer.decode(ids[1:place]).strip() == "USER:"
    rest = vlm.tokenizer.decode(ids[place + 1 :])
    assert rest.strip() == "What is on the table? ASSISTANT:"


@law
def test_describe_says_what_answers_and_generate_say(vlm):
    """One model behind every door; and where it looked has the grid of the patches."""
    pixels = vlm.preprocessor(PICTURE)[None]
    ids = vlm.generate(pixels, vlm.prompt_ids("Where?"), 7)[0]
    said = vlm.describe(PICTURE, "Where?", 7)
    assert said == vlm.tokenizer.decode(ids.tolist(), markers=False).strip()
    assert vlm.answers([PICTURE], ["Where?"], 7) == [said]
    looked = vlm.attention(PICTURE, "Where?", ids.tolist())
    assert looked.shape == (len(ids), 2, 2) and (looked > 0).all()


@law
@pytest.mark.parametrize("kind, tokens", [("linear", (2, 2)), ("queries", (1, 7))])
def test_load_opens_our_own_connectors(tmp_path, kind, tokens):
    """Their model types are ours, their directories like the other's."""
    document = llavas.worded(model_type=f"llava_{kind}", query_tokens=7, query_heads=4)
    vlm = refvlm.load(llavas.write_checkpoint(tmp_path, document))
    assert vlm.family.image_grid(vlm.config, 11, 11) == tokens
    assert vlm.logits(PIXELS, PROMPT).shape[1] == 6 + np.prod(tokens)
    assert vlm.attention(PICTURE, "Where?", [9, 8]).shape == (2, *tokens)


@law
def test_load_opens_a_qwen2_that_speaks_for_llava(tmp_path):
    """Another decoder is another text_config, and no other code."""
    text = {**llavas.QWEN2, "vocab_size": len(llavas.words()) + 4}
    vlm = refvlm.load(
        llavas.write_checkpoint(tmp_path, llavas.worded(text_config=text))
    )
    assert "lm_head.weight" not in vlm.weights
    assert vlm.generate(PIXELS, PROMPT, 4).shape == (1, 4)


@law
@pytest.mark.parametrize("old", [True, False])
def test_load_reads_the_names_that_files_have(directory, vlm, tmp_path, old):
    """The first uploads', and those that transformers writes today."""

    def published(name):
        name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
        name = name.replace("model.language_model.", "language_model.model.")
        tower = "vision_tower.vision_model." if old else "vision_tower."
        return name.replace("model.vision_tower.", tower).removeprefix("model.")

    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_text((directory / file).read_text())
    stored = checkpoint.load(directory)
    tensors = {published(name): stored[name] for name in stored}
    tensors["vision_tower.vision_model.embeddings.position_ids"] = np.arange(5)[None]
    checkpoint.save(tmp_path / "model.safetensors", tensors)
    again = refvlm.load(tmp_path)
    expected = vlm.logits(PIXELS, PROMPT)
    np.testing.assert_array_equal(again.logits(PIXELS, PROMPT), expected)


def rewritten(directory, path, document=None, leave=(), more=None, **files):
    """A copy of a directory with another config.json, without some tensors."""
    for file in directory.iterdir():
        if file.name not in files:
            (path / file.name).write_bytes(file.read_bytes())
    if document is not None:
        (path / "config.json").write_text(json.dumps(document))
    stored = checkpoint.load(directory)
    kept = {n: stored[n] for n in stored if not any(part in n for part in leave)}
    checkpoint.save(path / "model.safetensors", {**kept, **(more or {})})
    for name, content in files.items():
        (path / name).write_text(content)
    return path


@contract
@pytest.mark.parametrize(
    "leave, message",
    [
        (["vision_tower"], "missing: 'model.vision_tower.embeddings.class_embedding'"),
        (["multi_modal_projector"], "4 missing: 'model.multi_modal_projector"),
        (["linear_2"], "2 missing"),
        (["language_model", "lm_head"], "missing: 'model.language_model.embed_tokens"),
        (["lm_head"], "1 missing: 'lm_head.weight'"),
    ],
)
def test_load_names_the_part_that_is_missing(directory, tmp_path, leave, message):
    """A tower, a connector or a decoder that is not there is told before any work."""
    with pytest.raises(CheckpointError, match=re.escape(message)):
        refvlm.load(rewritten(directory, tmp_path, leave=leave))


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"vision_config": {"patch_size": 3}}, r"\(10, 12\)|\(12, 3, 3, 3\)"),
        ({"vision_config": {"image_size": 19}}, r"is \(5, 12\) and should be \(17, 12"),
        ({"vision_feature_layer": [-1, -2]}, r"is \(24, 12\) and should be \(24, 24\)"),
        ({"multimodal_projector_bias": False}, "2 unexpected: .*linear_1.bias"),
        ({"model_type": "llava_linear"}, "unexpected: .*linear_1"),
        ({"text_config": {"num_hidden_layers": 3}}, "missing: .*layers.2"),
        ({"text_config": {"model_type": "qwen2"}}, "missing: .*q_proj.bias"),
    ],
)
def test_load_names_what_does_not_fit_the_configuration(
    directory, tmp_path, change, message
):
    """Another patch size, position table, depth or connector than the file holds."""
    text = {**llavas.worded()["text_config"], **change.get("text_config", {})}
    document = llavas.worded(**{**change, "text_config": text})
    with pytest.raises(CheckpointError, match=message):
        refvlm.load(rewritten(directory, tmp_path, document))


@contract
def test_load_refuses_adapters_in_place_of_weights(directory, tmp_path):
    """LoRA's matrices beside no base are no model."""
    adapters = {
        f"base_model.model.model.language_model.layers.0.q_proj.lora_{side}.weight": (
            np.zeros((2, 24), np.float32)
        )
        for side in "AB"
    }
    path = rewritten(directory, tmp_path, leave=["model", "lm_head"], more=adapters)
    with pytest.raises(CheckpointError, match="2 unexpected: .*lora_A"):
        refvlm.load(path)


@contract
@pytest.mark.parametrize(
    "document, message",
    [
        ({"model_type": "llava_next"}, "is 'llava_next': it cuts .* take a LLaVA-1.5"),
        ({"model_type": "llava_onevision"}, "'llava_onevision': it cuts a picture"),
        ({"model_type": "llava", "mm_vision_tower": "openai/clip"}, "llava-hf/llava-1"),
        ({"model_type": "llava_llama"}, "'llava_llama': .* llava-hf/llava-1.5-7b-hf"),
        (llavas.worded(image_seq_length=5), "image_seq_length is 5, .* 4 tokens"),
    ],
)
def test_load_refuses_other_layouts_by_name(directory, tmp_path, document, message):
    """What is not read is named, with what to take in its place."""
    with pytest.raises(ConfigError, match=message):
        refvlm.load(rewritten(directory, tmp_path, document))


@contract
def test_logits_refuse_pictures_and_marks_that_do_not_fit(vlm):
    """A picture of another size, and marks that disagree with the tower."""
    with pytest.raises(ShapeError, match="11 x 11"):
        vlm.logits(PIXELS[:, :, :8], PROMPT)
    image = vlm.config.image_token_id
    with pytest.raises(ShapeError, match="marks 3 places .* make 4"):
        vlm.logits(PIXELS, [[1, image, image, image, 9]])
    with pytest.raises(ShapeError, match="no picture"):
        vlm.logits(None, PROMPT)


@contract
@pytest.mark.parametrize(
    "template, message",
    [
        ("{% macro a() %}{% endmacro %}", "macro"),
        ("{{ messages | tojson }}", "tojson"),
        ("{{ messages[0]['content'][1]['text'] }}", "0 places for a picture"),
        ("{{ documents[0] }}<image>", "asks for documents"),
    ],
)
def test_describe_refuses_a_template_that_it_does_not_understand(
    directory, tmp_path, template, message
):
    """It is refused before anything is computed, and never guessed."""
    said = json.dumps({"chat_template": template})
    path = rewritten(directory, tmp_path, **{"chat_template.json": said})
    with pytest.raises(TokenizerError, match=f"chat template .*{message}"):
        refvlm.load(path).describe(PICTURE)


@contract
def test_describe_without_any_template_says_what_is_missing(directory, tmp_path):
    """LLaVA's tokenizer knows no ChatML, so there is nothing to go by."""
    path = rewritten(directory, tmp_path)
    (path / "chat_template.json").unlink()
    with pytest.raises(TokenizerError, match="no chat template"):
        refvlm.load(path).describe(PICTURE)


@law
def test_attention_takes_the_images_token_for_a_word(vlm):
    """Said in an answer it shows no picture, and what was said before it stays."""
    token = vlm.config.image_token_id
    plain = vlm.attention(PICTURE, "Why?", [5, 6, 7])
    marked = vlm.attention(PICTURE, "Why?", np.array([5, 6, token]))
    assert marked.shape == plain.shape and marked[2].sum() > 0
    assert_close(marked, plain)


@contract
@pytest.mark.parametrize(
    "answer", [[3.7], "ab", [[1, 2]], [[1], [2, 3]], iter([1, 2]), [True], 5, None]
)
def test_attention_refuses_an_answer_that_is_no_ids(vlm, answer):
    """A number is not cut to a whole one in silence."""
    with pytest.raises(ValueError, match="attention: answer is a list of ids"):
        vlm.attention(PICTURE, "Why?", answer)
    with pytest.raises(ValueError, match="answer has the id -1, but the vocabulary"):
        vlm.attention(PICTURE, "Why?", [-1])
