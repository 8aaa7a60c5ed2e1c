"""The spec of refvlm/pretrained/vlm.py: a checkpoint directory, ready to use."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import checkpoint
from refvlm.blocks.kv_cache import ContextError
from refvlm.models import fastvlm
from refvlm.models.dialects import names_to_apple
from refvlm.text import TokenizerError

from .. import tiny
from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle

PROMPT = [[72, 105, 10, fastvlm.IMAGE, 10, 63]]
PIXELS = tiny.pictures(1).astype(np.float32)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def vlm(directory):
    return refvlm.load(directory)


@law
@pytest.mark.parametrize("name", ["fastvlm-tiny", "llava-tiny", "textbook-tiny"])
def test_features_are_what_the_decoder_is_given(name):
    """Handed over in the place of a picture, they lead to the same scores."""
    model = refvlm.load(name)
    pixels = model.preprocessor(np.full((40, 40, 3), 90, np.uint8))[None]
    ids = model.prompt_ids("Describe the image.")
    seen = model.features(pixels)
    assert np.isfinite(seen).all() and seen.ndim == 3 and seen.std() > 0.01
    whole = model.logits(pixels, ids)
    model.family = replace(model.family, encode_image=lambda *given: seen)
    np.testing.assert_array_equal(model.logits(pixels, ids), whole)


@law
def test_generate_follows_the_largest_logit(vlm):
    """Greedy decoding with a cache is argmax of the full logits, token by token."""
    new = vlm.generate(PIXELS, PROMPT, 6)
    ids = np.array(PROMPT)
    for token in new[0]:
        logits = vlm.logits(PIXELS, ids)[0, -1]
        top, second = np.sort(logits)[:-3:-1]
        assert top - second > 1e-4, "a tie would prove nothing"
        assert logits.argmax() == token
        ids = np.append(ids, [[token]], axis=1)


@law
def test_generate_stops_at_a_stop_id(directory, vlm):
    """A row ends with the first stop id, which is kept."""
    free = vlm.generate(PIXELS, PROMPT, 8)[0]
    config = json.loads((directory / "config.json").read_text())
    stopping = refvlm.pretrained.VLM(
        vlm.config, vlm.weights, directory, stop_ids=[int(free[3])]
    )
    stopped = stopping.generate(PIXELS, PROMPT, 8)[0]
    first = int(np.argmax(free == free[3]))
    np.testing.assert_array_equal(stopped, free[: first + 1])
    assert config["text_config"]["eos_token_id"] in vlm.stop_ids


@law
def test_generate_pads_rows_on_the_left(vlm):
    """A shorter prompt, padded and masked, gets the answer that it gets alone."""
    pixels = np.concatenate([PIXELS, PIXELS[:, :, ::-1]])
    longer = [[72, 105, 33, 10, fastvlm.IMAGE, 10, 63, 63]]
    shorter = np.array([[0, 0, *PROMPT[0]]])
    ids = np.concatenate([longer, shorter])
    mask = np.ones(ids.shape, bool)
    mask[1, :2] = False
    both = vlm.generate(pixels, ids, 6, attention_mask=mask)
    alone = vlm.generate(pixels[1:], PROMPT, 6)
    np.testing.assert_array_equal(both[1, : alone.shape[1]], alone[0])


@law
def test_generate_of_nothing_is_empty(vlm):
    """Asked for no tokens, the answer has a row for each prompt and no columns."""
    assert vlm.generate(PIXELS, PROMPT, 0).shape == (1, 0)


@law
def test_save_writes_what_load_opens(vlm, directory, tmp_path):
    """A model that is saved again under the same names says the same."""
    documents = {
        path.stem: json.loads(path.read_text())
        for path in directory.glob("*.json")
        if path.stem != "tokenizer"
    }
    refvlm.pretrained.save(
        tmp_path / "again",
        dict(_stored(directory)),
        tiny.byte_tokenizer(),
        **documents,
    )
    again = refvlm.load(tmp_path / "again")
    np.testing.assert_array_equal(
        again.logits(PIXELS, PROMPT), vlm.logits(PIXELS, PROMPT)
    )
    np.testing.assert_array_equal(again.prompt_ids("Why?"), vlm.prompt_ids("Why?"))
    assert again.stop_ids == vlm.stop_ids


@law
def test_save_takes_a_vocabulary_as_it_was_learnt(tmp_path):
    """What `learn_` gives is saved as what `train_` gives is."""
    for door in (refvlm.text.learn_byte_level, refvlm.text.train_byte_level):
        made = door(["a red cube"], 270)
        refvlm.pretrained.save(tmp_path / door.__name__, {}, made, config={})
    files = [path.read_bytes() for path in tmp_path.glob("*/tokenizer.json")]
    assert len(files) == 2 and files[0] == files[1]


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_load_reads_every_precision_on_disk(vlm, dtype, tmp_path):
    """float16 on the disk is float32 in use, as near as float16 can be."""
    again = refvlm.load(tiny.write_checkpoint(tmp_path, dtype=dtype))
    logits = again.logits(PIXELS, PROMPT)
    assert logits.dtype == np.float32
    near = 3e-2 if dtype == np.float16 else 1e-6
    assert_close(logits, vlm.logits(PIXELS, PROMPT), near)


@law
def test_load_understands_apples_names(vlm, directory, tmp_path):
    """The same tensors under Apple's names, in shards, give the same logits."""
    tensors = {names_to_apple(name): array for name, array in _stored(directory)}
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        checkpoint.save(tmp_path / file, {name: tensors[name] for name in part})
    index = {name: file for file, part in shards.items() for name in part}
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    again = refvlm.load(tmp_path)
    np.testing.assert_array_equal(
        again.logits(PIXELS, PROMPT), vlm.logits(PIXELS, PROMPT)
    )


def _stored(directory):
    weights = checkpoint.load(directory)
    return ((name, weights[name]) for name in weights)


@law
def test_load_uses_an_untied_head_where_there_is_one(tmp_path):
    """A head of its own is used, whatever the embedding is."""
    config = {**tiny.CONFIG, "tie_word_embeddings": False}
    config["text_config"] = {**config["text_config"], "tie_word_embeddings": False}
    untied = refvlm.load(tiny.write_checkpoint(tmp_path, config, tied=False))
    logits = untied.logits(PIXELS, PROMPT)
    assert fastvlm.HEAD in untied.weights
    doubled = untied.weights.replace({fastvlm.HEAD: 2 * untied.weights[fastvlm.HEAD]})
    twice = fastvlm.head(np.ones((1, 1, 32), np.float32), doubled)
    once = fastvlm.head(np.ones((1, 1, 32), np.float32), untied.weights)
    assert_close(twice, 2 * once)
    assert logits.shape[-1] == 264


@oracle
def test_generate_equals_transformers(compare, directory, vlm):
    """32 greedy tokens, the same ids as transformers' generate from the same folder."""
    ids = np.array([[72, 105, 10, *[tiny.IMAGE_TOKEN] * tiny.IMAGE_TOKENS, 10, 63]])

    def ask(torch):
        import_torchvision()
        from transformers import FastVlmForConditionalGeneration

        model = FastVlmForConditionalGeneration.from_pretrained(directory).eval()
        out = model.generate(
            input_ids=torch.from_numpy(ids),
            pixel_values=torch.from_numpy(PIXELS),
            attention_mask=torch.ones(ids.shape, dtype=torch.long),
            max_new_tokens=32,
            do_sample=False,
            pad_token_id=0,
        )
        return {"ids": out[:, ids.shape[1] :].numpy()}

    answer = compare.answers(ask, (tiny.CONFIG, tiny.random_tensors(), ids, PIXELS))
    np.testing.assert_array_equal(vlm.generate(PIXELS, ids, 32), answer["ids"])


@oracle
@pytest.mark.parametrize("height, width", [(100, 70), (65, 192), (33, 1)])
def test_logits_of_odd_sizes_equal_transformers(compare, directory, vlm, height, width):
    """A side that is no multiple of 64 rounds up to the next token, as there."""
    pixels = np.tile(PIXELS, (1, 1, 1, 2))[:, :, :height, :width].copy()
    tokens = -(-height // 64) * -(-width // 64)
    ids = np.array([[72, *[tiny.IMAGE_TOKEN] * tokens, 63]])

    def ask(torch):
        import_torchvision()
        from transformers import FastVlmForConditionalGeneration

        model = FastVlmForConditionalGeneration.from_pretrained(directory).eval()
        with torch.no_grad():
            answer = model(
                input_ids=torch.from_numpy(ids),
                pixel_values=torch.from_numpy(pixels),
                attention_mask=torch.ones(ids.shape, dtype=torch.long),
            )
        return {"logits": answer.logits.numpy()}

    inputs = (tiny.CONFIG, tiny.random_tensors(), ids, pixels)
    answer = compare.answers(ask, inputs, tolerance=1e-4)
    assert_close(vlm.logits(pixels, ids), answer["logits"], 1e-4)


@oracle
def test_generate_of_several_pictures_equals_transformers(compare, directory, vlm):
    """Two pictures in one prompt and one in the next: the same logits and ids."""
    pixels = tiny.pictures(3).astype(np.float32)
    picture = [tiny.IMAGE_TOKEN] * tiny.IMAGE_TOKENS
    ids = np.array([[72, *picture, 33, *picture, 63], [0] * 5 + [72, *picture, 63]])
    mask = (ids != 0).astype(np.int64)

    def ask(torch):
        import_torchvision()
        from transformers import FastVlmForConditionalGeneration

        model = FastVlmForConditionalGeneration.from_pretrained(directory).eval()
        given = {
            "input_ids": torch.from_numpy(ids),
            "pixel_values": torch.from_numpy(pixels),
            "attention_mask": torch.from_numpy(mask),
        }
        with torch.no_grad():
            logits = model(**given).logits
        out = model.generate(
            **given,
            max_new_tokens=8,
            do_sample=False,
            pad_token_id=tiny.END,
            return_dict_in_generate=True,
            output_logits=True,
        )
        best = torch.stack(out.logits).topk(2).values
        return {
            "logits": logits.numpy()[mask == 1],
            "ids": out.sequences[:, ids.shape[1] :].numpy(),
            "margin": (best[..., 0] - best[..., 1]).min().numpy()[None],
        }

    inputs = (tiny.CONFIG, tiny.random_tensors(), ids, pixels)
    answer = compare.answers(ask, inputs, tolerance=1e-3)
    assert answer["margin"] > 1e-3, "a tie would prove nothing"
    logits = vlm.logits(pixels, ids, mask)[mask == 1]
    assert_close(logits, answer["logits"], 1e-4)
    np.testing.assert_array_equal(
        vlm.generate(pixels, ids, 8, attention_mask=mask), answer["ids"]
    )


@law
def test_describe_streams_what_it_returns(vlm, tmp_path):
    """The pieces of the stream, joined, are the text."""
    path = tmp_path / "grey.png"
    Image.new("L", (50, 70), 90).save(path)
    pieces = vlm.describe_stream(path, "What?", max_new_tokens=9)
    assert "".join(text for _, text in pieces).strip() == vlm.describe(
        path, "What?", max_new_tokens=9
    )


@contract
def test_load_names_every_misfit(directory, tmp_path):
    """A missing, an unexpected and a misshaped tensor are named in one message."""
    tensors = dict(_stored(directory))
    del tensors["model.language_model.norm.weight"]
    tensors["model.language_model.nonsense"] = np.zeros(1, np.float32)
    tensors["model.multi_modal_projector.linear_1.bias"] = np.zeros(5, np.float32)
    checkpoint.save(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    with pytest.raises(checkpoint.CheckpointError) as error:
        refvlm.load(tmp_path)
    for name in ("language_model.norm.weight", "nonsense", "linear_1.bias"):
        assert name in str(error.value)


@contract
def test_generate_refuses_to_outgrow_the_context(vlm):
    """Prompt, picture and answer together are held against the context."""
    with pytest.raises(ValueError, match="context of 512"):
        vlm.generate(PIXELS, PROMPT, 600)


@contract
@pytest.mark.parametrize("new", [-1, 1.5, 2.0, "3", None, True])
def test_generate_wants_a_whole_number_of_tokens(vlm, new):
    """A sign or a fraction that slipped in is an error, not an empty answer."""
    said = f"generate: max_new_tokens must be a whole number of at least 0, not {new!r}"
    with pytest.raises(ValueError, match=said):
        vlm.generate(PIXELS, PROMPT, new)


@law
def test_generate_may_say_the_image_token(tmp_path):
    """A model's own image token, once said, is a word like any other.

    A head is made that says it first, and its embedding is what comes next.
    """
    config = {**tiny.CONFIG, "tie_word_embeddings": False}
    config["text_config"] = {**config["text_config"], "tie_word_embeddings": False}
    free = refvlm.load(tiny.write_checkpoint(tmp_path, config, tied=False))
    first = int(free.generate(PIXELS, PROMPT, 1)[0, 0])
    head = free.weights[fastvlm.HEAD].copy()
    head[[first, tiny.IMAGE_TOKEN]] = head[[tiny.IMAGE_TOKEN, first]]
    weights = free.weights.replace({fastvlm.HEAD: head})
    said = refvlm.pretrained.VLM(free.config, weights).generate(PIXELS, PROMPT, 3)
    assert said[0, 0] == tiny.IMAGE_TOKEN and said.shape == (1, 3)


@contract
def test_generate_refuses_padding_on_the_right(vlm):
    """An answer follows the last token, which must not be one that does not count."""
    with pytest.raises(ValueError, match="pad shorter prompts on the left"):
        vlm.generate(PIXELS, PROMPT, 2, attention_mask=[[1, 1, 1, 1, 1, 0]])
    assert vlm.logits(PIXELS, PROMPT, [[1, 1, 1, 1, 1, 0]]).shape == (1, 9, 264)


@contract
def test_logits_refuse_to_outgrow_the_context(vlm):
    """Beyond the positions that it has learnt, a model's scores mean nothing."""
    assert vlm.logits(None, [[1] * 512]).shape == (1, 512, 264)
    with pytest.raises(ContextError, match="513 tokens .* context of 512"):
        vlm.logits(None, [[1] * 513])


@contract
@pytest.mark.parametrize(
    "prompt, message",
    [
        (3, "a prompt is a text, not int"),
        (b"why", "a prompt is a text, not bytes"),
        ("\udcff", "not valid Unicode"),
        ("a" * 10_000_000, "10,000,000 characters is too long"),
        ("a" * 500, "context of 512"),
    ],
)
def test_describe_refuses_prompts_before_it_looks(vlm, monkeypatch, prompt, message):
    """What cannot be asked is refused before the picture is encoded."""
    monkeypatch.setattr(fastvlm, "encode_image", None)
    with pytest.raises(ValueError, match=message):
        vlm.describe(np.zeros((9, 9, 3), np.uint8), prompt)


@law
@pytest.mark.parametrize("prompt", ["", "a\0b", "<image><|im_end|>", "\x1b[2J"])
def test_describe_takes_any_text_as_a_prompt(vlm, prompt):
    """Empty, with a NUL or with the names of markers, a question is plain text."""
    ids = vlm.prompt_ids(prompt)
    assert (ids == fastvlm.IMAGE).sum() == 1
    assert (ids == tiny.IMAGE_TOKEN).sum() == 0
    assert isinstance(vlm.describe(np.zeros((9, 9, 3), np.uint8), prompt, 2), str)


@contract
@pytest.mark.parametrize("stop", [10**30, -1, True, "2", [1, None], 1.0])
def test_load_refuses_stops_that_are_no_ids(directory, tmp_path, stop):
    """An eos_token_id that NumPy could not hold is refused with the directory."""
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": stop}))
    with pytest.raises(checkpoint.CheckpointError, match="eos_token_id is"):
        refvlm.load(tmp_path)


@contract
def test_describe_refuses_a_tokenizer_of_another_checkpoint(directory, tmp_path):
    """Ids beyond the vocabulary are the tokenizer's fault, and it is named."""
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    words = json.loads((tmp_path / "tokenizer.json").read_text())
    words["model"]["vocab"]["u"] = 300
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(TokenizerError, match="makes the id 300, .* ends at 263"):
        refvlm.load(tmp_path).describe(np.zeros((9, 9, 3), np.uint8))


@contract
def test_vlm_holds_all_tokens_against_the_context(directory):
    """Prompt, picture and answer count, and the picture is not looked at before."""
    vlm = refvlm.load(directory)
    vlm.family = replace(vlm.family, encode_image=None)
    prompt = [[1] * 200 + [fastvlm.IMAGE]]
    vlm.stream(PIXELS[:1], prompt, 308)
    with pytest.raises(ContextError, match="513 tokens .* context of 512"):
        vlm.stream(PIXELS[:1], prompt, 309)
    with pytest.raises(ContextError, match="context of 512"):
        vlm.logits(None, np.ones((1, 300_000), int))


@contract
def test_features_refuse_what_is_no_picture(vlm):
    """The same words as for scores."""
    with pytest.raises(ValueError, match="as bytes do"):
        vlm.features(255 * PIXELS)
    with pytest.raises(ValueError, match="must be \\(pictures, 3"):
        vlm.features(PIXELS[0])
    broken = refvlm.pretrained.VLM(vlm.config, vlm.weights, vlm.directory)
    name = "model.multi_modal_projector.linear_2.bias"
    endless = np.full_like(vlm.weights[name], np.inf)
    broken.weights = vlm.weights.replace({name: endless})
    with pytest.raises(checkpoint.CheckpointError, match="features .* not finite"):
        broken.features(PIXELS)
