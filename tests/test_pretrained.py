"""The spec of refvlm/pretrained.py: a checkpoint directory, ready to use."""

import json

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import checkpoint
from refvlm.models import fastvlm
from refvlm.models.dialects import names_to_apple

from . import tiny
from .oracles import import_torchvision
from .spec import assert_close, contract, law, oracle

PROMPT = [[72, 105, 10, fastvlm.IMAGE, 10, 63]]
PIXELS = tiny.pictures(1).astype(np.float32)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def vlm(directory):
    return refvlm.load(directory)


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
@pytest.mark.parametrize(
    "ids, message",
    [
        ([1, 2], r"\(batch, tokens\)"),
        ([[0.5]], "whole numbers"),
        ([[264]], "vocabulary is 0 to 263"),
        ([[-1]], "has -1"),
        ([[]], r"\(batch, tokens\)"),
    ],
)
def test_logits_refuses_ids_outside_the_vocabulary(vlm, ids, message):
    """NumPy would read row -1 as the last; here it is an error."""
    with pytest.raises(ValueError, match=message):
        vlm.logits(None, ids)


@contract
def test_generate_refuses_to_outgrow_the_context(vlm):
    """Prompt, picture and answer together are held against the context."""
    with pytest.raises(ValueError, match="context of 512"):
        vlm.generate(PIXELS, PROMPT, 600)


@contract
def test_generate_refuses_a_negative_number_of_tokens(vlm):
    """A sign that slipped in is an error, not an empty answer."""
    with pytest.raises(ValueError, match="max_new_tokens is -1"):
        vlm.generate(PIXELS, PROMPT, -1)
