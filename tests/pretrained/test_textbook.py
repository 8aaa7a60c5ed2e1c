"""The spec of the textbook model's directory, opened by refvlm/pretrained/vlm.py."""

import json

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.blocks.kv_cache import ContextError
from refvlm.cli import main
from refvlm.generate import decode
from refvlm.models import textbook
from refvlm.models.fields import ConfigError
from refvlm.models.textbook_config import TextbookConfig
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from .. import test_hostile, tiny
from ..spec import assert_close, contract, law, random_arrays
from ..weights import random_weights

SIDE = 16
CONFIG = {
    "model_type": "textbook_vlm",
    "vision_feature_layer": -2,
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": SIDE,
        "patch_size": 4,
    },
    "text_config": {
        "model_type": "textbook_decoder",
        "vocab_size": 264,
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 96,
        "cross_attention_frequency": 2,
        "eos_token_id": tiny.END,
    },
}
PREPROCESSOR = tiny.PREPROCESSOR | {
    "size": {"shortest_edge": SIDE},
    "crop_size": {"height": SIDE, "width": SIDE},
}
PROMPT = [[72, 105, 10, 63]]
PIXELS = (random_arrays(3)(2, 3, SIDE, SIDE) / 3).astype(np.float32)
PICTURE = np.random.RandomState(1).randint(0, 256, (20, 24, 3), np.uint8)


def write(directory, config=CONFIG, **changes):
    """A directory of random weights; `changes` take the place of some tensors."""
    described = TextbookConfig.from_json(config)
    tied = described.text.tie_word_embeddings
    tensors = random_weights(textbook.expected_shapes(described, tied), seed=4)
    tensors = {n: a.astype(np.float32) for n, a in (tensors | changes).items()}
    refvlm.pretrained.save(
        directory,
        tensors,
        tiny.byte_tokenizer(),
        config=config,
        preprocessor_config=PREPROCESSOR,
        tokenizer_config={"chat_template": tiny.CHATML},
    )
    return directory


def with_text(**changes):
    return CONFIG | {"text_config": CONFIG["text_config"] | changes}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write(tmp_path_factory.mktemp("textbook"))


@pytest.fixture(scope="module")
def vlm(directory):
    return refvlm.load(directory)


@law
def test_logits_of_a_directory_are_the_models(vlm):
    """What was written is what is computed with, and the head's bias is added."""
    ids = np.array(PROMPT * 2)
    expected = textbook.textbook(PIXELS, ids, vlm.weights, vlm.config)
    assert_close(vlm.logits(PIXELS, ids), expected)
    assert expected.shape == (2, 4, 264)


@law
def test_generate_follows_the_largest_logit(vlm):
    """Greedy decoding with a cache is argmax of the full logits, token by token."""
    new = vlm.generate(PIXELS[:1], PROMPT, 6)
    ids = np.array(PROMPT)
    for token in new[0]:
        logits = vlm.logits(PIXELS[:1], ids)[0, -1]
        top, second = np.sort(logits)[:-3:-1]
        assert top - second > 1e-4, "a tie would prove nothing"
        assert logits.argmax() == token
        ids = np.append(ids, [[token]], axis=1)


@law
def test_generate_pads_rows_on_the_left(vlm):
    """A shorter prompt about another picture gets the answer that it gets alone."""
    ids = np.array([[72, 105, 33, 10, 63, 63], [0, 0, *PROMPT[0]]])
    mask = np.array([[True] * 6, [False, False, *[True] * 4]])
    both = vlm.generate(PIXELS, ids, 6, attention_mask=mask)
    alone = vlm.generate(PIXELS[1:], PROMPT, 6)
    np.testing.assert_array_equal(both[1, : alone.shape[1]], alone[0])


@law
def test_generate_with_beams_keeps_each_row_to_its_picture(vlm):
    """Beams move between rows of the cache; the pictures go with them."""
    together = vlm.generate(PIXELS, PROMPT * 2, 5, num_beams=3)
    for i in (0, 1):
        alone = vlm.generate(PIXELS[i : i + 1], PROMPT, 5, num_beams=3)
        np.testing.assert_array_equal(together[i, : alone.shape[1]], alone[0])


@law
def test_generate_looks_at_the_picture_once(vlm, monkeypatch):
    """However long the answer: one look of each layer that looks."""
    looked = []
    look = textbook.look
    monkeypatch.setattr(
        textbook, "look", lambda *given: looked.append(1) or look(*given)
    )
    assert vlm.generate(PIXELS[:1], PROMPT, 6).shape == (1, 6)
    assert len(looked) == 2


@law
def test_reading_may_be_continued_by_a_rule_of_ones_own(vlm):
    """The second likeliest word each time, or the one that generate takes."""
    reading = vlm.reading(PIXELS[:1], PROMPT, 5)
    ids = decode(reading.logits, reading.step, 5, vlm.stop_ids)
    expected = vlm.generate(PIXELS[:1], PROMPT, 5)
    np.testing.assert_array_equal(np.stack(list(ids), axis=1), expected)


@law
def test_describe_and_answers_say_the_same(vlm):
    """Of a picture of any size; a prompt has no place for it among its ids."""
    said = vlm.describe(PICTURE, "Why?", 5)
    assert vlm.answers([PICTURE], ["Why?"], 5) == [said]
    assert (vlm.prompt_ids("Why?") >= 0).all()
    assert tiny.IMAGE_TOKEN not in vlm.prompt_ids("Why?")


@law
def test_attention_is_where_the_words_looked(vlm):
    """The mean over the layers that look, a grid for each word, each summing to 1."""
    looked = vlm.attention(PICTURE, "Why?", [65, 66, 67])
    assert looked.shape == (3, 4, 4)
    np.testing.assert_allclose(looked.sum((1, 2)), 1, rtol=1e-5)


@law
def test_the_tower_may_be_a_vit(tmp_path):
    """Another row of the table, by its own names."""
    vision = CONFIG["vision_config"] | {"model_type": "vit"}
    vlm = refvlm.load(write(tmp_path, CONFIG | {"vision_config": vision}))
    assert "vision_model.embeddings.cls_token" in vlm.weights
    assert vlm.generate(PIXELS[:1], PROMPT, 3).shape == (1, 3)


@law
def test_an_untied_head_is_used_where_there_is_one(tmp_path, vlm):
    """Its own matrix, and the same bias."""
    head = random_arrays(9)(264, 16)
    config = with_text(tie_word_embeddings=False)
    untied = refvlm.load(write(tmp_path, config, **{"lm_head.weight": head}))
    states = random_arrays(2)(1, 16).astype(np.float32)
    bias = vlm.weights["lm_head.bias"]
    got = untied.family.decoder.logits(states, untied.weights)
    assert_close(got, states @ head.astype(np.float32).T + bias)
    got = vlm.family.decoder.logits(states, vlm.weights)
    assert_close(got, states @ vlm.weights[textbook.EMBEDDING].T + bias)


@law
def test_commands_open_the_directory(directory, capsys, tmp_path):
    """describe, ask and shapes, as for any other family."""
    from PIL import Image

    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    given = ["--model", str(directory), "--max-new-tokens", "4", "--json"]
    assert main(["describe", str(tmp_path / "picture.png"), *given]) == 0
    said = json.loads(capsys.readouterr().out)
    vlm = refvlm.load(directory)
    assert said["text"] == vlm.describe(tmp_path / "picture.png", max_new_tokens=4)
    assert main(["shapes", str(directory)]) == 0
    config = TextbookConfig.from_json(CONFIG)
    shapes = textbook.expected_shapes(config, tied=True).values()
    total = sum(int(np.prod(shape)) for shape in shapes)
    assert f"{total:,}" in capsys.readouterr().out.splitlines()[-1]


@contract
def test_logits_refuse_what_does_not_go_together(vlm):
    """No picture, a place for one among the ids, two for one text, another size."""
    with pytest.raises(ShapeError, match="answers about a picture"):
        vlm.logits(None, PROMPT)
    with pytest.raises(ValueError, match="input_ids has -200, but the vocabulary"):
        vlm.logits(PIXELS[:1], [[72, -200]])
    with pytest.raises(ShapeError, match="2 pictures, but input_ids 1 rows"):
        vlm.logits(PIXELS, PROMPT)
    with pytest.raises(ShapeError, match="12 x 16, but this tower sees 16 x 16"):
        vlm.logits(PIXELS[:, :, :12], PROMPT * 2)
    with pytest.raises(ContextError, match="97 tokens .* context of 96"):
        vlm.generate(PIXELS[:1], PROMPT, 93)


@contract
def test_load_names_every_misfit(directory, tmp_path):
    """Missing, left over and of another shape, before anything is computed."""
    config = with_text(intermediate_size=25)
    (tmp_path / "model.safetensors").write_bytes(
        (directory / "model.safetensors").read_bytes()
    )
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(checkpoint.CheckpointError, match=r"layers.0.linear1.weight"):
        refvlm.load(tmp_path)
    fewer = with_text(cross_attention_frequency=1)
    (tmp_path / "config.json").write_text(json.dumps(fewer))
    with pytest.raises(checkpoint.CheckpointError, match=r"layers.1.multihead_attn"):
        refvlm.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "textbook_vlm"}')
    with pytest.raises(ConfigError, match="config.json: vision_config must be"):
        refvlm.load(tmp_path)


@contract
def test_hostile_directories_give_one_error_or_an_answer(tmp_path):
    """A hundred damaged directories of this family, with either tower."""
    vit = CONFIG["vision_config"] | {"model_type": "vit"}
    layouts = []
    for config in (CONFIG, CONFIG | {"vision_config": vit}):
        write(tmp_path, config)
        layouts.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})
        assert test_hostile.works(tmp_path)
    working = test_hostile.fuzz(tmp_path, layouts, 100)
    assert 5 < working < 60, "the mutants are all alike, so this proves nothing"


@contract
def test_load_refuses_a_frame_that_it_does_not_know(tmp_path):
    """A question needs the frame that the model learnt."""
    write(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": "[INST] {{ x }} [/INST]"}))
    with pytest.raises(TokenizerError, match="not ChatML"):
        refvlm.load(tmp_path).describe(PICTURE)
