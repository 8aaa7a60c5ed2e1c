"""Families of tokenizers: the same two files, and other ids."""

import json
import unicodedata

import numpy as np
import pytest

from refvlm.text import TokenizerError, load_tokenizer
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.families import FAMILIES, MODELS

from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle
from .hard_texts import NASTY
from .test_tokenizer import nasty_texts
from .vocabulary import CLIP_MARKERS, learn, learn_clip, write_family


def known(text):
    """Whether Unicode 3.2 knows each character: what a new one is, libraries of
    different years see differently."""
    return "Cn" not in map(unicodedata.ucd_3_2_0.category, text)


TEXTS = [
    *filter(known, [*NASTY, *nasty_texts(600, seed=4)]),
    *("A Photo of a CAT", "it's  \t THE\n\n table", "İstanbul ǅ ß ẞ Σας", "2026 ² ½"),
    *("<|endoftext|>", "a <|startoftext|> b", "<|ENDOFTEXT|>", "</w> a</w>", "''s'S"),
]


def files(name):
    """A family's vocabulary and merges; GPT-2 has its one marker among the tokens."""
    if name == "CLIPTokenizer":
        return learn_clip()
    vocabulary, merges = learn()
    return {**vocabulary, "<|endoftext|>": len(vocabulary)}, merges


@example
def test_family_of_clip_marks_where_words_end(tmp_path):
    """Capitals and spaces are lost, and the last piece of a word says so."""
    vocabulary, merges = learn_clip()
    directory = write_family(tmp_path, "CLIPTokenizer", vocabulary, merges)
    tokenizer = load_tokenizer(directory)
    ids = tokenizer.encode("The TABLE  it's")
    named = {number: token for token, number in vocabulary.items()}
    assert [named[i] for i in ids[:2]] == ["the</w>", "table</w>"]
    assert tokenizer.decode(ids) == "the table it 's"
    assert tokenizer.frame == tuple([vocabulary[name]] for name in CLIP_MARKERS)


@law
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("fast", ["", "Fast"])
def test_family_is_that_of_the_class_that_is_named(tmp_path, name, fast):
    """The three cut the same text in three ways; older files add Fast to the name."""
    directory = write_family(tmp_path / name, name + fast, *files(name))
    cut = load_tokenizer(directory).encode("It's 2026 \n the  TABLE")
    for other in set(FAMILIES) - {name}:
        there = write_family(tmp_path / other, other, *files(other))
        assert load_tokenizer(there).encode("It's 2026 \n the  TABLE") != cut


UNSAID = pytest.mark.parametrize(
    "unsaid", [None, "PreTrainedTokenizerFast", "TokenizersBackend"]
)


@law
@UNSAID
def test_family_of_clip_is_known_by_its_word_ends(tmp_path, unsaid):
    """Where nothing is said, the vocabulary shows whether it is CLIP's."""
    name = "CLIPTokenizer"
    said = load_tokenizer(write_family(tmp_path / name, name, *files(name)))
    guessed = load_tokenizer(write_family(tmp_path / "x", unsaid, *files(name)))
    for text in TEXTS:
        assert guessed.encode(text) == said.encode(text)


def write_unsaid(directory, unsaid, name, **model):
    """A folder whose tokenizer_config.json names no class, with a config.json."""
    write_family(directory, unsaid, *files(name), model_max_length=1024)
    (directory / "config.json").write_text(json.dumps(model))
    return directory


@law
@UNSAID
@pytest.mark.parametrize("kind", [k for k, name in MODELS.items() if name in FAMILIES])
def test_family_is_that_of_the_model_where_no_class_is_named(tmp_path, unsaid, kind):
    """config.json says what model it is; Apple's FastVLM and GPT-2 have the same
    files."""
    name = MODELS[kind]
    said = load_tokenizer(write_family(tmp_path / "said", name, *files(name)))
    unsaid = write_unsaid(tmp_path / "unsaid", unsaid, name, model_type=kind)
    ours = load_tokenizer(unsaid)
    (unsaid / "tokenizer_config.json").unlink()
    fewer = load_tokenizer(unsaid)
    for text in TEXTS:
        assert ours.encode(text) == fewer.encode(text) == said.encode(text)


@law
def test_family_is_that_of_the_class_before_the_model(tmp_path):
    """A class that is named is believed: in tokenizer_config.json, then in config.json,
    where older folders have it, then the type of the model."""
    text = "It's 2026 \n the  TABLE"
    cut = {
        name: load_tokenizer(write_family(tmp_path / name, name, *files(name)))
        for name in ("GPT2Tokenizer", "Qwen2Tokenizer")
    }
    older = write_unsaid(
        tmp_path / "older",
        None,
        "GPT2Tokenizer",
        model_type="qwen2",
        tokenizer_class="GPT2TokenizerFast",
    )
    assert load_tokenizer(older).encode(text) == cut["GPT2Tokenizer"].encode(text)
    named = write_unsaid(
        tmp_path / "named", "Qwen2TokenizerFast", "Qwen2Tokenizer", model_type="gpt2"
    )
    assert load_tokenizer(named).encode(text) == cut["Qwen2Tokenizer"].encode(text)


@oracle
@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "clip"])
@pytest.mark.parametrize("config", [None, {"model_max_length": 1024}], ids=str)
def test_family_without_a_class_equals_transformers(tmp_path, compare, kind, config):
    """AutoTokenizer, too, goes by the type of the model."""
    name = MODELS[kind]
    directory = write_unsaid(tmp_path, None, name, model_type=kind)
    (directory / "tokenizer_config.json").unlink()
    if config is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(config))

    def ask(torch):
        import_torchvision()
        import transformers

        theirs = transformers.AutoTokenizer.from_pretrained(directory)
        return {"ids": np.concatenate([theirs(text).input_ids for text in ASKED])}

    answers = compare.answers(ask, (ASKED, kind, config, files(name)))
    ours = load_tokenizer(directory)
    before, after = ours.frame
    rows = [[*before, *ours.encode(text), *after] for text in ASKED]
    assert [i for row in rows for i in row] == answers["ids"].tolist()


ASKED = ["times 1234 times", "e\u0301 don't  x\n\n y", "#Hello <|endoftext|>", "TABLE"]


@oracle
@pytest.mark.parametrize("name", FAMILIES)
def test_family_equals_transformers(tmp_path, compare, name):
    """On any Unicode text, with and without markers in it, the ids and the text are
    those of the class in transformers."""
    directory = write_family(tmp_path, name, *files(name))

    def ask(torch):
        import transformers

        theirs = getattr(transformers, name).from_pretrained(directory)
        ids = [theirs(text).input_ids for text in TEXTS]
        decoded = "\0".join(theirs.decode(row, True) for row in ids)
        return {
            "ids": np.array([i for row in ids for i in row], np.int64),
            "lengths": np.array([len(row) for row in ids], np.int64),
            "decoded": np.frombuffer(decoded.encode(), np.uint8),
        }

    expected = compare.answers(ask, (TEXTS, files(name)))
    ours = load_tokenizer(directory)
    before, after = ours.frame
    ids = [[*before, *ours.encode(text), *after] for text in TEXTS]
    assert [len(row) for row in ids] == expected["lengths"].tolist()
    assert [i for row in ids for i in row] == expected["ids"].tolist()
    # transformers strips CLIP's text at either end, of more than the last word's end.
    strip = str.strip if name == "CLIPTokenizer" else str
    decoded = "\0".join(strip(ours.decode(row, markers=False)) for row in ids)
    assert decoded.encode() == expected["decoded"].tobytes()


@law
@pytest.mark.parametrize("name", FAMILIES)
def test_family_spells_markers_out_where_they_are_not_meant(tmp_path, name):
    """A text that says <|endoftext|> has letters and signs in it, and no end."""
    ours = load_tokenizer(write_family(tmp_path, name, *files(name)))
    end = ours.token_id("<|endoftext|>")
    assert end not in ours.encode("<|endoftext|> <|EndOfText|>", markers=False)
    if name == "CLIPTokenizer":
        assert end in ours.encode("<|endoftext|>")


@contract
@pytest.mark.parametrize(
    ("named", "family", "said"),
    [
        ("LlamaTokenizer", "Qwen2Tokenizer", "'LlamaTokenizer', unknown here"),
        (["a"], "Qwen2Tokenizer", "unknown here"),
        ("Qwen2Tokenizer", "CLIPTokenizer", "'Qwen2Tokenizer', which has no word ends"),
        ("CLIPTokenizer", "Qwen2Tokenizer", "the vocabulary has no '<|startoftext|>'"),
    ],
)
def test_family_refuses_what_it_would_misread(tmp_path, named, family, said):
    """Wrong ids are words that were never said: better none."""
    directory = write_family(tmp_path, named, *files(family))
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(directory)
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@contract
@pytest.mark.parametrize(
    ("model", "family", "said"),
    [
        ({}, "GPT2Tokenizer", "neither tokenizer_config.json nor config.json says it"),
        (None, "GPT2Tokenizer", "download tokenizer_config.json and config.json too"),
        ({"model_type": "opt"}, "GPT2Tokenizer", "config.json says 'opt', unknown"),
        ({"model_type": ["a"]}, "GPT2Tokenizer", r"says \['a'\], unknown"),
        ({"model_type": "bert"}, "GPT2Tokenizer", "'bert', unknown here"),
        ({"model_type": "gpt2"}, "CLIPTokenizer", "'gpt2', which has no word ends"),
        ({"model_type": "clip"}, "GPT2Tokenizer", "no '<.startoftext.>', without"),
        ({"tokenizer_class": "LlamaTokenizer"}, "GPT2Tokenizer", "says 'LlamaToken"),
    ],
)
@UNSAID
def test_family_is_not_guessed(tmp_path, unsaid, model, family, said):
    """GPT-2's files by Qwen2's rules would be other ids, and nobody would see it."""
    write_unsaid(tmp_path, unsaid, family, **(model or {}))
    if model is None:
        (tmp_path / "config.json").unlink()
        (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(TokenizerError, match=said) as caught:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(caught.value)


@contract
def test_family_of_clip_wants_all_bytes(tmp_path):
    """A byte that cannot end a word would be lost from some of them."""
    vocabulary, merges = learn_clip()
    less = {token: i for token, i in vocabulary.items() if token != "ÿ</w>"}
    with pytest.raises(TokenizerError, match="has no 'ÿ</w>', without"):
        load_tokenizer(write_family(tmp_path, "CLIPTokenizer", less, merges))


@oracle
@pytest.mark.parametrize("name", FAMILIES)
def test_family_gives_the_same_ids_without_the_library(tmp_path, monkeypatch, name):
    """Our own engine knows all of these cuts, and what becomes of markers."""
    directory = write_family(tmp_path, name, *files(name))
    library = load_tokenizer(directory)
    monkeypatch.setattr("refvlm.text.loading.open_engine", PlainEngine.from_json)
    plain = load_tokenizer(directory)
    assert plain.frame == library.frame
    for text in TEXTS:
        for markers in (True, False):
            ids = plain.encode(text, markers)
            assert ids == library.encode(text, markers)
            assert plain.decode(ids, markers) == library.decode(ids, markers)


@law
def test_family_reads_markers_that_are_written_as_objects(tmp_path):
    """Older files describe a marker where newer ones name it."""
    vocabulary, merges = learn_clip()
    names = {"bos_token": {"content": "the</w>"}, "eos_token": "<|endoftext|>"}
    directory = write_family(tmp_path, "CLIPTokenizer", vocabulary, merges, **names)
    assert json.loads((directory / "tokenizer_config.json").read_text())["bos_token"]
    assert load_tokenizer(directory).frame[0] == [vocabulary["the</w>"]]
