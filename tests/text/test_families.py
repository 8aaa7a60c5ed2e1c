"""Families of tokenizers: the same two files, and other ids."""

import json
import unicodedata

import numpy as np
import pytest

from refvlm.text import TokenizerError, load_tokenizer
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.families import FAMILIES

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


@law
@pytest.mark.parametrize("unsaid", [None, "PreTrainedTokenizerFast"])
def test_family_of_clip_is_known_by_its_word_ends(tmp_path, unsaid):
    """Where no class is named, the vocabulary shows whether it is CLIP's."""
    for name in ("CLIPTokenizer", "Qwen2Tokenizer"):
        said = load_tokenizer(write_family(tmp_path / name, name, *files(name)))
        guessed = load_tokenizer(write_family(tmp_path / "x", unsaid, *files(name)))
        for text in TEXTS:
            assert guessed.encode(text) == said.encode(text)


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
