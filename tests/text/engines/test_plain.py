"""Our own engine: the library's ids, or a word on what the file asks for."""

import copy
import functools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.recipes.fastvlm_tiny import corpus
from refvlm.text import Tokenizer, TokenizerError, load_tokenizer, train_byte_level
from refvlm.text.engines.library import LibraryEngine
from refvlm.text.engines.plain import PlainEngine

from ...spec import contract, law, oracle
from ..hard_texts import HARD, LONG, NASTY, NO_TEXTS, unicode_texts

ROOT = Path(__file__).parents[3]
SHIPPED = {
    name: (ROOT / "weights" / name / "tokenizer.json").read_text(encoding="utf-8")
    for name in ("fastvlm-tiny", "clip-tiny")
}
SMALL = json.loads(train_byte_level(["red red"], 265).to_json())
EVERY = pytest.mark.parametrize("name", SHIPPED)


@functools.cache
def plain(name):
    return Tokenizer(PlainEngine.from_json(SHIPPED[name], name), name)


@functools.cache
def library(name):
    return Tokenizer(LibraryEngine.from_json(SHIPPED[name]), name)


@law
@EVERY
def test_plain_engine_writes_the_file_that_it_read(name):
    """Nothing of the file is lost or changed on the way through."""
    assert plain(name).to_json() + "\n" == SHIPPED[name]


@law
def test_plain_engine_reads_merges_of_either_layout():
    """Older files write a merge as "a b", newer ones as ["a", "b"]."""
    older = copy.deepcopy(SMALL)
    older["model"]["merges"] = [" ".join(m) for m in SMALL["model"]["merges"]]
    assert older != SMALL
    newer = PlainEngine(SMALL, "newer").subwords
    assert PlainEngine(older, "older").subwords.merges == newer.merges


@oracle
@EVERY
def test_plain_engine_gives_the_librarys_ids_of_what_the_models_hear(name):
    """Captions, questions and answers of drawn scenes, and texts that try the cut."""
    ours, theirs = plain(name), library(name)
    for text in [*corpus(20), *NASTY, "".join(NASTY)]:
        for markers in (True, False):
            ids = ours.encode(text, markers)
            assert ids == theirs.encode(text, markers)
            assert ours.decode(ids, markers) == theirs.decode(ids, markers)


@oracle
@EVERY
@given(text=unicode_texts, markers=st.booleans())
def test_plain_engine_gives_the_librarys_ids_of_any_text(name, text, markers):
    """Any text whose characters both know."""
    assert plain(name).encode(text, markers) == library(name).encode(text, markers)


@oracle
@EVERY
@given(ids=st.lists(st.integers(0, 600), max_size=20), markers=st.booleans())
def test_plain_engine_decodes_as_the_library_does(name, ids, markers):
    """Any ids: broken characters, markers left out, and ids that stand for nothing."""
    assert plain(name).decode(ids, markers) == library(name).decode(ids, markers)


@oracle
@EVERY
@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_plain_engine_bears_what_the_library_bears(name, text):
    """Every text of the hard list, also with markers inside."""
    ours, theirs = plain(name), library(name)
    for whole in (text, f"{text}<|im_end|>{text} <|im_end|><|im_start|>"):
        for markers in (True, False):
            ids = ours.encode(whole, markers)
            assert ids == theirs.encode(whole, markers)
            assert ours.decode(ids, markers) == theirs.decode(ids, markers)


@oracle
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_plain_engine_bears_a_megabyte_in_one_word(text):
    """The ids of the library, and no wait that grows with the square."""
    text = text[: len(text) // 4]
    assert plain("fastvlm-tiny").encode(text) == library("fastvlm-tiny").encode(text)


@contract
@pytest.mark.parametrize("text", NO_TEXTS, ids=repr)
def test_plain_engine_refuses_what_is_no_text(text):
    """Half a character, bytes, a list: one sentence."""
    for markers in (True, False):
        with pytest.raises(TokenizerError, match="a text is a str|not valid Unicode"):
            plain("fastvlm-tiny").encode(text, markers)


@oracle
@EVERY
def test_plain_engine_knows_what_the_library_knows(name):
    """The same size, markers, frame, and bytes of each id."""
    ours, theirs = plain(name), library(name)
    assert len(ours) == len(theirs)
    assert ours.markers == theirs.markers
    assert ours.frame == theirs.frame
    framed = [t.framed("<|im_end|>", "<|im_start|>") for t in (ours, theirs)]
    assert framed[0].frame == framed[1].frame != ours.frame
    for token_id in range(len(ours) + 2):
        for markers in (True, False):
            expected = theirs.bytes_of(token_id, markers)
            assert ours.bytes_of(token_id, markers) == expected


@law
def test_a_frame_may_stand_on_one_side():
    """A marker before every text, or behind it, and in the file that is written."""
    ours = plain("fastvlm-tiny")
    end = ours.token_id("<|im_end|>")
    for markers, frame in (
        ((None, "<|im_end|>"), ([], [end])),
        (("<|im_end|>", None), ([end], [])),
        ((None, None), ([], [])),
    ):
        framed = ours.framed(*markers)
        written = Tokenizer(PlainEngine.from_json(framed.to_json(), "written"))
        assert framed.frame == written.frame == frame


def changed(path, value):
    """SMALL with one value of it replaced."""
    document = copy.deepcopy(SMALL)
    *above, last = path
    parent = document
    for step in above:
        parent = parent[step]
    parent[last] = value
    return document


BEYOND = {
    "no normal form": (["normalizer"], None),
    "another normal form": (["normalizer", "type"], "NFKC"),
    "another cut": (["pre_tokenizer", "pretokenizers", 0, "pattern", "Regex"], "\\s+"),
    "cuts taken away": (["pre_tokenizer", "pretokenizers", 0, "behavior"], "Removed"),
    "a space in front": (
        ["pre_tokenizer", "pretokenizers", 1, "add_prefix_space"],
        True,
    ),
    "no cut": (["pre_tokenizer"], None),
    "another decoder": (["decoder"], {"type": "Metaspace"}),
    "no decoder": (["decoder"], None),
    "another model": (["model", "type"], "Unigram"),
    "dropout": (["model", "dropout"], 0.1),
    "an unknown token": (["model", "unk_token"], "<|im_end|>"),
    "whole words first": (["model", "ignore_merges"], True),
    "a marker that takes spaces": (["added_tokens", 1, "lstrip"], True),
    "a marker of whole words": (["added_tokens", 1, "single_word"], True),
    "a marker that is normalised": (["added_tokens", 1, "normalized"], True),
}


@contract
@pytest.mark.parametrize("what", BEYOND)
def test_plain_engine_recommends_the_library(what):
    """What ours does not do is named, with the way to what does it."""
    with pytest.raises(TokenizerError, match=r"^here: its .*pip install tokenizers"):
        PlainEngine(changed(*BEYOND[what]), "here")


@contract
def test_plain_engine_recommends_the_library_for_other_frames():
    """A frame that is made otherwise matters to whoever asks for it, and not before."""
    tokenizer = Tokenizer(PlainEngine(changed(["post_processor"], OTHER), "here"))
    assert tokenizer.decode(tokenizer.encode("red")) == "red"
    with pytest.raises(TokenizerError, match="here: its post_processor is 'Sequence"):
        print(tokenizer.frame)


OTHER = {"type": "Sequenced", "processors": []}
WRONG = {
    "an id twice": (["model", "vocab", "a"], 5),
    "an id that is a text": (["model", "vocab", "a"], "7"),
    "an id below zero": (["model", "vocab", "a"], -7),
    "a merge of unknown tokens": (["model", "merges", 0], ["q", "qq"]),
    "a merge that makes no token": (["model", "merges", 0], ["q", "q"]),
    "a merge of three": (["model", "merges", 0], ["r", "e", "d"]),
    "a marker of another id": (["added_tokens", 1, "id"], 700),
    "half of a surrogate pair": (["model", "vocab", "\ud800"], 263),
    "a marker without a name": (["added_tokens", 1, "content"], ""),
    "a marker with a list for an id": (["added_tokens", 1, "id"], [1]),
}


@contract
@pytest.mark.parametrize("what", WRONG)
def test_plain_engine_refuses_what_disagrees(what):
    """A file that contradicts itself is of two checkpoints, or damaged."""
    with pytest.raises(TokenizerError, match="^here: its "):
        PlainEngine(changed(*WRONG[what]), "here")


def without(document, *path):
    """The document without what the path leads to."""
    document = copy.deepcopy(document)
    *above, last = path
    parent = document
    for step in above:
        parent = parent[step]
    del parent[last]
    return document


HOLES = [
    (without(SMALL, "model"), "its 'model' is None, where the format has an object"),
    (
        without(SMALL, "added_tokens"),
        "its 'added_tokens' is None, where the format has",
    ),
    (without(SMALL, "model", "vocab"), "its 'vocab' is None, where the format has an"),
    (without(SMALL, "model", "merges"), "its 'merges' is None, where the format has a"),
    (without(SMALL, "added_tokens", 0, "content"), "its 'content' is None, where"),
    (without(SMALL, "added_tokens", 0, "special"), "its 'special' is None, where"),
    (changed(["added_tokens", 0, "id"], "7"), "has no whole number as its id"),
    (changed(["added_tokens", 0, "content"], ""), "no text"),
    (changed(["added_tokens", 0], 3), "its 'content' is None, where the format has"),
    (changed(["model"], []), "its 'model' is [], where the format has an object"),
    (changed(["added_tokens"], 3), "its 'added_tokens' is 3, where the format has a"),
    (changed(["model", "merges"], [3]), "its merge 3 is not two tokens"),
    (changed(["model", "merges"], [["a"]]), "its merge ['a'] is not two tokens"),
    (changed(["model", "merges"], [[["a"], {}]]), "is not two tokens"),
    (changed(["model", "merges"], ["q zz"]), "its merge 'q zz' is not of the vocab"),
    (changed(["model", "vocab"], "ab"), "its 'vocab' is 'ab', where the format has"),
    (changed(["model", "vocab", "a"], "1"), "does not give each text a whole number"),
    (
        changed(["model", "vocab", "a"], SMALL["model"]["vocab"]["b"]),
        "do not number the tokens one by one",
    ),
]
SENTENCE = r"download the file again$|are of different checkpoints$"


@contract
@pytest.mark.parametrize(("document", "said"), HOLES)
def test_plain_engine_says_in_a_sentence_what_is_wrong(
    tmp_path, monkeypatch, document, said
):
    """'model' alone is no reason: what is wrong with it, and what to do?"""
    monkeypatch.setattr("refvlm.text.loading.open_engine", PlainEngine.from_json)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(TokenizerError, match=SENTENCE) as caught:
        load_tokenizer(tmp_path)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'tokenizer.json'}: ") and said in told


FRAMED = json.loads(
    Tokenizer(PlainEngine(SMALL, "small"))
    .framed("<|im_start|>", "<|im_end|>")
    .to_json()
)
POST = FRAMED["post_processor"]
FRAMES = [
    {**POST, "single": 3},
    {**POST, "single": [3]},
    {**POST, "single": [{"SpecialToken": {"id": "<nobody>"}}, *POST["single"]]},
    {**POST, "single": [{"SpecialToken": {}}, *POST["single"]]},
    {**POST, "single": POST["single"][:1]},
    {**POST, "single": POST["single"] * 2},
    {**POST, "special_tokens": None},
    {**POST, "special_tokens": {"<|im_start|>": {"ids": ["1"]}}},
    {**POST, "special_tokens": {"<|im_start|>": {"ids": 1}}},
    {**POST, "type": 3},
    {**POST, "type": "BertProcessing"},
    [POST],
]


@contract
@pytest.mark.parametrize("post", FRAMES)
def test_plain_engine_refuses_a_frame_that_it_cannot_read(post):
    """What would be put around every text is read to the end, or not at all."""
    engine = PlainEngine({**FRAMED, "post_processor": post}, "here")
    with pytest.raises(TokenizerError, match="^here: its .*(again|tokenizers)$"):
        engine.frame()


@contract
@pytest.mark.parametrize("kind", [AttributeError, TypeError, KeyError, NameError])
def test_mistakes_of_ours_are_not_called_a_bad_tokenizer(monkeypatch, kind):
    """A file is not to blame for what our own code does not know."""
    tokenizer = plain("clip-tiny")

    def broken(*arguments):
        raise kind("a mistake of our own")

    monkeypatch.setattr(tokenizer._engine.subwords, "encode", broken)
    with pytest.raises(kind, match="a mistake of our own"):
        tokenizer.encode("a")
