"""A tokenizer on the disk: files that everybody reads alike."""

import json
import os

import numpy as np
import pytest
import tokenizers
from hypothesis import given

from refvlm import text
from refvlm.checkpoint import CheckpointError

from ..spec import contract, law, oracle
from .bpe.test_learning import TOKENIZER
from .hard_texts import NASTY, unicode_texts

KINDS = ("byte_level", "clip_bpe", "word_piece", "raw_bpe", "unigram")
MESSAGES = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Why?"}]}
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "saved"
    text.save_tokenizer(directory, TOKENIZER)
    return directory


@law
def test_save_tokenizer_says_the_same_every_time(directory, tmp_path):
    """The same tokenizer makes the same bytes, also after it was read again."""
    text.save_tokenizer(tmp_path, text.load_tokenizer(directory))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["tokenizer.json", "tokenizer_config.json"]


@law
def test_save_tokenizer_frames_in_chatml(directory):
    """The template that is saved is the one that `encode_chat` follows."""
    assert text.recognize_template(directory, TOKENIZER) == text.CHATML


@oracle
@given(unicode_texts)
def test_save_tokenizer_is_read_by_the_library(directory, string):
    """`tokenizer.json`, opened by `tokenizers`, gives the same ids."""
    theirs = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    assert theirs.encode(string).ids == TOKENIZER.encode(string)
    again = text.load_tokenizer(directory)
    assert again.encode(string, markers=False) == TOKENIZER.encode(string, False)


@oracle
@pytest.mark.parametrize("opened_by", ["AutoTokenizer", "Qwen2Tokenizer"])
def test_save_tokenizer_is_read_by_transformers(directory, compare, opened_by):
    """AutoTokenizer and Qwen2's class: the same ids and texts, and the same frame."""
    texts = ["", *NASTY, *("".join(NASTY[i::7]) for i in range(7))]

    def ask(torch):
        import transformers

        theirs = getattr(transformers, opened_by).from_pretrained(directory)
        framed = theirs.apply_chat_template(
            MESSAGES, add_generation_prompt=True, tokenize=False
        )
        rows = [theirs(string)["input_ids"] for string in texts]
        decoded = "\0".join(theirs.decode(row) for row in rows)
        return {
            "ids": np.array([i for row in rows for i in row], np.int64),
            "decoded": np.frombuffer(decoded.encode(), np.uint8),
            "framed": np.array(theirs(framed)["input_ids"], np.int64),
            "ends": np.array([theirs.eos_token_id, theirs.pad_token_id], np.int64),
        }

    answers = compare.answers(ask, (texts, opened_by))
    rows = [TOKENIZER.encode(string) for string in texts]
    assert [i for row in rows for i in row] == answers["ids"].tolist()
    decoded = "\0".join(map(TOKENIZER.decode, rows))
    assert decoded.encode() == answers["decoded"].tobytes()
    image = TOKENIZER.token_id("<image>")
    framed = text.encode_chat(TOKENIZER, "Why?", image)
    assert framed == answers["framed"].tolist()
    ends = [TOKENIZER.token_id(name) for name in ("<|im_end|>", "<|endoftext|>")]
    assert ends == answers["ends"].tolist()


@contract
def test_save_tokenizer_leaves_the_old_files_when_it_fails(tmp_path):
    """Where nothing can be written, it says so, and no pieces are left."""
    text.save_tokenizer(tmp_path, TOKENIZER)
    before = (tmp_path / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "tokenizer_config.json").mkdir()
    with pytest.raises(CheckpointError, match="tokenizer_config.json"):
        text.save_tokenizer(tmp_path, TOKENIZER)
    assert (tmp_path / "tokenizer.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["tokenizer.json", "tokenizer_config.json"]


@law
def test_save_tokenizer_names_only_tokens_that_it_has(tmp_path):
    """Without markers there is no end to name, and no frame for a chat."""
    text.save_tokenizer(tmp_path, text.train_byte_level(["red red"], 262, markers=()))
    described = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert not {"eos_token", "pad_token", "chat_template"} & described.keys()


@law
@pytest.mark.parametrize("kind", KINDS)
def test_save_tokenizer_takes_a_vocabulary_of_every_kind(kind, tmp_path):
    """What `learn_` gives is saved and streamed as what `train_` gives is."""
    strings = ["a red cube, a red ball"]
    size = 530 if kind == "clip_bpe" else 290
    learnt = getattr(text, f"learn_{kind}")(strings, size)
    trained = getattr(text, f"train_{kind}")(strings, size)
    for name, made in (("learnt", learnt), ("trained", trained)):
        text.save_tokenizer(tmp_path / name, made)
    files = [tmp_path / name / "tokenizer.json" for name in ("learnt", "trained")]
    assert files[0].read_bytes() == files[1].read_bytes()
    ids = learnt.encode("a red ball")
    assert text.load_tokenizer(tmp_path / "learnt").encode("a red ball") == ids
    stream = text.StreamDecoder(learnt)
    said = "".join([stream.add(token_id) for token_id in ids]) + stream.finish()
    assert said == learnt.decode(ids) == "a red ball"
