"""The spec of the families of seers.py that are BLIP's: captions, and BLIP-2."""

import copy
import json

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.blocks.kv_cache import ContextError
from refvlm.checkpoint import CheckpointError
from refvlm.models import blip, blip2
from refvlm.models.blip_config import BlipConfig
from refvlm.models.fields import ConfigError
from refvlm.pretrained import save
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from .. import blip_files, test_hostile, tiny
from ..models.test_blip2 import JSON as BLIP2
from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle

CONFIG = blip_files.described("BlipForConditionalGeneration")
TENSORS = blip_files.tensors(blip.captioning_shapes(BlipConfig.from_json(CONFIG)), 4)
# Louder words: of two that are next to alike, rounding would choose.
TENSORS["text_decoder.cls.predictions.transform.LayerNorm.weight"] *= 3
PICTURES = blip_files.PICTURES
PROMPTS = ["a picture of", "", "The red"]
DEC, SEP = blip_files.VOCABULARY.index("[DEC]"), 3


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return blip_files.write(tmp_path_factory.mktemp("captions"), CONFIG, TENSORS)


@pytest.fixture(scope="module")
def model(directory):
    return refvlm.load(directory)


@law
def test_captions_begin_with_what_they_are_given(model):
    """[DEC], and the words of the prompt: no frame, no end."""
    np.testing.assert_array_equal(model.prompt_ids(""), [[DEC]])
    ids = model.prompt_ids("a [SEP] star")
    assert ids[0, 0] == DEC and SEP not in ids
    assert model.family.request == "" and not model.family.answers


@law
def test_captions_end_with_sep_whatever_the_files_say(directory, model):
    """config.json calls the id 2 an end, and transformers' BLIP does not listen."""
    assert model.stop_ids == {SEP}
    checkpoint.write_text(directory / "generation_config.json", '{"eos_token_id": 2}')
    assert refvlm.load(directory).stop_ids == {SEP}
    (directory / "generation_config.json").unlink()


@law
def test_captions_in_batches_are_those_alone(model):
    """Each prompt with the picture beside it; a stream says the same in pieces."""
    said = model.answers(PICTURES, PROMPTS, 6)
    alone = [model.describe(p, prompt, 6) for p, prompt in zip(PICTURES, PROMPTS)]
    assert said == alone and len(set(said)) == 3
    pieces = model.describe_stream(PICTURES[0], PROMPTS[0], 6)
    assert "".join(piece for _, piece in pieces).strip() == said[0]


@law
def test_captions_of_beams_take_their_pictures_along(model):
    """Three beams of each picture, or of one alone: what is written is the same."""
    pixels = model.preprocessor.batch(PICTURES[:2])
    ids = np.concatenate([model.prompt_ids("a picture")] * 2)
    both = model.generate(pixels, ids, 5, num_beams=3)
    for i in range(2):
        alone = model.generate(pixels[i : i + 1], ids[:1], 5, num_beams=3)
        np.testing.assert_array_equal(both[i, : alone.shape[1]], alone[0])


@law
def test_captions_look_at_patches(model):
    """Where the decoder looked is a grid; the class token is no part of it."""
    looked = model.attention(PICTURES[0], "a picture of", [9, 10, SEP])
    assert looked.shape == (3, 3, 3)
    assert (looked > 0).all() and (looked.sum(axis=(1, 2)) < 1).all()


@law
def test_captions_load_the_copies_that_some_files_keep(tmp_path, model):
    """A head that is tied may be there a second time, under its own name."""
    copies = {
        "text_decoder.cls.predictions.decoder.weight": np.ones((1, 1), np.float32),
        "text_decoder.cls.predictions.decoder.bias": np.ones(1, np.float32),
        "text_decoder.bert.embeddings.position_ids": np.arange(40)[None],
    }
    again = refvlm.load(blip_files.write(tmp_path, CONFIG, TENSORS | copies))
    assert again.describe(PICTURES[0], "a", 5) == model.describe(PICTURES[0], "a", 5)


@oracle
def test_captions_equal_transformers(compare, directory):
    """transformers opens the same directory: the same ids, scores, and choices, token
    for token, with and without a prompt, greedy and by beams."""

    def ask(torch):
        import_torchvision()
        from transformers import BertTokenizer, BlipForConditionalGeneration
        from transformers.models.blip.image_processing_pil_blip import (
            BlipImageProcessorPil,
        )

        theirs = BlipForConditionalGeneration.from_pretrained(directory).double()
        tokenizer = BertTokenizer.from_pretrained(directory)
        pixels = BlipImageProcessorPil.from_pretrained(directory)(PICTURES)
        pixels = torch.from_numpy(np.stack(pixels["pixel_values"])).double()
        answers = {}
        for i, prompt in enumerate(PROMPTS):
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            for beams in (1, 3):
                out = theirs.generate(
                    pixels[i : i + 1],
                    ids.clone() if prompt else None,
                    max_new_tokens=7,
                    num_beams=beams,
                )
                answers[f"{prompt or 'nothing'} {beams}"] = out.numpy()
            said = tokenizer.decode(out[0], skip_special_tokens=True)
            answers[f"{prompt or 'nothing'} text"] = np.frombuffer(
                said.encode(), np.uint8
            )
        ids = torch.from_numpy(FIXED)
        answers["scores"] = theirs(pixels, ids).logits.detach().numpy()
        return answers

    given = TENSORS, CONFIG, PICTURES, PROMPTS, FIXED
    answers = compare.answers(ask, given)
    double = refvlm.load(directory, dtype=np.float64)
    pixels = double.preprocessor.batch(PICTURES)
    scores = double.logits(pixels, FIXED)
    assert_close(scores, answers["scores"], 1e-11)
    top = np.sort(scores, axis=-1)
    assert (top[..., -1] - top[..., -2]).min() > 1e-6 and scores.std() > 0.5
    for i, prompt in enumerate(PROMPTS):
        ids, name = double.prompt_ids(prompt), prompt or "nothing"
        for beams in (1, 3):
            new = double.generate(pixels[i : i + 1], ids, 7, num_beams=beams)
            whole = np.concatenate([ids, new], axis=1)
            np.testing.assert_array_equal(whole, answers[f"{name} {beams}"])
        text = double.tokenizer.decode(whole[0].tolist(), markers=False)
        assert text == bytes(answers[f"{name} text"]).decode()


FIXED = np.array([[DEC, 5, 6, 8, 10], [DEC, 9, 40, 5, 3], [DEC, 7, 7, 20, 15]])


def write_blip2(directory, config=None):
    """A BLIP-2 with the words and markers of the tiny FastVLM."""
    config = copy.deepcopy(BLIP2) if config is None else config
    config["text_config"] |= {"vocab_size": 264, "max_position_embeddings": 64}
    config["image_token_index"] = tiny.IMAGE_TOKEN
    shapes = blip2.expected_shapes(blip2.Blip2Config.from_json(config), False)
    save(
        directory,
        blip_files.tensors(shapes, 5),
        tiny.byte_tokenizer(),
        config=config,
        preprocessor_config=blip_files.PREPROCESSOR,
    )
    return directory


@law
def test_blip2_directory_speaks(tmp_path):
    """The picture goes first, and what is asked is a text like any."""
    model = refvlm.load(write_blip2(tmp_path))
    ids = model.prompt_ids("Question: what? Answer:")
    assert ids[0, 0] == -200 and (ids[0, 1:] >= 0).all()
    said = model.describe(PICTURES[0], "Question: what? Answer:", 5)
    assert said == model.answers(PICTURES[:1], ["Question: what? Answer:"], 5)[0]
    pixels = model.preprocessor(PICTURES[0])[None]
    repeated = np.concatenate([[[tiny.IMAGE_TOKEN] * 5], ids[:, 1:]], axis=1)
    assert_close(model.logits(pixels, repeated), model.logits(pixels, ids))
    assert model.attention(PICTURES[0], "what?", [5, 6]).shape == (2, 1, 5)


@contract
def test_load_names_every_tensor_of_a_captioner_that_does_not_fit(tmp_path):
    """A missing part and an unexpected one are said at once."""
    wrong = {name: a for name, a in TENSORS.items() if "vision_model" not in name}
    with pytest.raises(CheckpointError, match="vision_model.* missing|missing.*vision"):
        refvlm.load(blip_files.write(tmp_path, CONFIG, wrong))


@contract
def test_captions_refuse_what_they_cannot_be_about(model):
    """No picture, several for one row, another size, a prompt beyond the context."""
    pixels, ids = model.preprocessor.batch(PICTURES[:1]), model.prompt_ids("a")
    with pytest.raises(ShapeError, match="pixel_values is None"):
        model.generate(None, ids, 3)
    with pytest.raises(ShapeError, match="2 pictures, but input_ids 1 rows"):
        model.generate(np.repeat(pixels, 2, axis=0), ids, 3)
    with pytest.raises(ShapeError, match="this tower sees 12 x 12: resize it"):
        model.generate(pixels[:, :, 1:], ids, 3)
    with pytest.raises(ShapeError, match=r"attention_mask is int64 \(1, 3\), but"):
        model.generate(pixels, ids, 3, np.ones((1, 3), int))
    with pytest.raises(ContextError, match="context of 40: shorten"):
        model.describe(PICTURES[0], "a " * 39, 5)
    with pytest.raises(ContextError, match="context of 40"):
        model.describe(PICTURES[0], "a" * 9999, 5)


@contract
def test_hostile_directories_give_one_error_or_an_answer(tmp_path):
    """A hundred damaged directories of a model that captions."""
    blip_files.write(tmp_path, CONFIG, TENSORS)
    layouts = [{path.name: path.read_bytes() for path in tmp_path.iterdir()}]
    assert test_hostile.works(tmp_path)
    working = test_hostile.fuzz(tmp_path, layouts, 100)
    assert 5 < working < 60, "the mutants are all alike, so this proves nothing"


@contract
def test_captions_need_a_start(tmp_path):
    """A tokenizer without [DEC] is another model's."""
    folder = blip_files.write(tmp_path, CONFIG, TENSORS)
    described = json.loads(
        (folder / "tokenizer.json").read_text().replace("[DEC]", "¿")
    )
    (folder / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(TokenizerError, match=r"has no token '\[DEC\]'"):
        refvlm.load(folder).describe(PICTURES[0], max_new_tokens=3)


@contract
@pytest.mark.parametrize("kind", ["opt", "t5", "gpt2"])
def test_load_refuses_other_speakers_by_name(tmp_path, kind):
    """What was published with an OPT or a T5 is told apart before it is read."""
    config = copy.deepcopy(BLIP2)
    config["text_config"] = {"model_type": kind}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"model_type is '{kind}', but only 'llama'"):
        refvlm.load(tmp_path)
