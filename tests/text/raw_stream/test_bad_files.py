"""Files of a raw stream's tokenizer that are damaged, or ask for more than we do."""

import copy
import functools
import json
import random
import re

import pytest

from refvlm.text import Tokenizer, TokenizerError, load_tokenizer
from refvlm.text.engines.library import LibraryEngine
from refvlm.text.engines.plain import PlainEngine

from ...checkpoint.test_hostile_files import mutate_bytes, mutate_json
from ...spec import contract
from .files import document


@contract
def test_unigram_without_a_token_for_the_unknown_says_so():
    """Where the library gives up, so does ours, by the name of the character."""
    file = copy.deepcopy(document("unigram"))
    file["model"]["unk_id"] = None
    for engine in (PlainEngine(file, "a"), LibraryEngine.from_json(json.dumps(file))):
        tokenizer = Tokenizer(engine, "here")
        assert tokenizer.decode(tokenizer.encode("table")) == "table"
        with pytest.raises(TokenizerError, match="unk|no piece has the character '☃'"):
            tokenizer.encode("a ☃")


def changed(name, *path, to):
    """A file with one value of it replaced, or taken away."""
    file = copy.deepcopy(document(name))
    *above, last = path
    parent = functools.reduce(lambda holder, step: holder[step], above, file)
    if to is None:
        del parent[last]
    else:
        parent[last] = to
    return file


METASPACE = {"type": "Metaspace", "replacement": "▁"}
BEYOND = {
    "a compiled normal form": ("unigram", "normalizer", {"type": "Precompiled"}),
    "small letters": ("unigram", "normalizer", {"type": "Lowercase"}),
    "another sign for a space": (
        "unigram",
        "pre_tokenizer",
        {**METASPACE, "replacement": "_"},
    ),
    "no prefix and a prefix": (
        "unigram",
        "pre_tokenizer",
        {**METASPACE, "add_prefix_space": False},
    ),
    "a cut by white space": ("unigram", "pre_tokenizer", {"type": "Whitespace"}),
    "a decoder that contradicts": (
        "unigram",
        "decoder",
        {**METASPACE, "prepend_scheme": "never"},
    ),
    "another decoder": ("unigram", "decoder", {"type": "BPEDecoder"}),
    "no decoder": ("LLaMA", "decoder", {}),
    "a space in front and not between": (
        "LLaMA",
        "normalizer",
        {"type": "Prepend", "prepend": "▁"},
    ),
    "both ways to show a space": ("LLaMA", "pre_tokenizer", METASPACE),
}


@contract
@pytest.mark.parametrize("what", BEYOND)
def test_raw_kinds_recommend_the_library(what):
    """What ours does not do is named, with the way to what does it."""
    name, step, value = BEYOND[what]
    with pytest.raises(TokenizerError, match=r"^here: its .*pip install tokenizers"):
        PlainEngine(changed(name, step, to=value), "here")


@contract
@pytest.mark.parametrize(
    ("name", "switch", "value"),
    [
        ("LLaMA", "dropout", 0.1),
        ("LLaMA", "ignore_merges", True),
        ("BPE", "unk_token", None),
        ("unigram", "vocab", [["a" * 513, 0.0], ["b", 0.0], ["<unk>", 0.0]]),
    ],
)
def test_raw_kinds_recommend_the_library_for_a_model(name, switch, value):
    """Among them a BPE that would lose what it does not know."""
    with pytest.raises(TokenizerError, match=r"^here: its model .*pip install"):
        PlainEngine(changed(name, "model", switch, to=value), "here")


@contract
def test_raw_kinds_recommend_the_library_for_markers_with_two_spellings():
    """A marker that the normal form changes."""
    for name, content in (("LLaMA", "<s>"), ("unigram", "ﬁ")):
        file = copy.deepcopy(document(name))
        file["added_tokens"][1] |= {"content": content, "normalized": True}
        with pytest.raises(TokenizerError, match=r"(marker|added token|number)"):
            PlainEngine(file, "here")


WRONG = {
    "a piece twice": ("unigram", "vocab", 9, ["<s>", -1.0]),
    "no piece": ("unigram", "vocab", 9, ["", -1.0]),
    "a piece that is no text": ("unigram", "vocab", 9, [7, -1.0]),
    "a score that is a text": ("unigram", "vocab", 9, ["zz", "-1"]),
    "a score that is true": ("unigram", "vocab", 9, ["zz", True]),
    "a score without end": ("unigram", "vocab", 9, ["zz", float("inf")]),
    "a score that is none": ("unigram", "vocab", 9, ["zz", float("nan")]),
    "a piece without a score": ("unigram", "vocab", 9, ["zz"]),
    "half of a surrogate pair": ("unigram", "vocab", 9, ["\ud800", -1.0]),
    "an id beyond": ("unigram", "unk_id", 260),
    "an id below": ("unigram", "unk_id", -1),
    "an id that is a text": ("unigram", "unk_id", "0"),
    "an object for a list": ("unigram", "vocab", {"a": 1}),
    "a switch that is a number": ("unigram", "byte_fallback", 1),
    "bytes of which one is missing": ("unigram, bytes", "vocab", 9, ["zz", -1.0]),
    "an unknown token that is not there": ("LLaMA", "unk_token", "<nobody>"),
    "an unknown token that is a number": ("LLaMA", "unk_token", 0),
    "a byte that is missing": ("LLaMA", "vocab", "<0x41>", None),
    "a merge of nobody": ("LLaMA", "merges", 0, ["q", "qqq"]),
    "an id twice": ("LLaMA", "vocab", "<0x41>", 5),
}


@contract
@pytest.mark.parametrize("what", WRONG)
def test_raw_kinds_refuse_what_disagrees(what):
    """A file that contradicts itself: one sentence, and what to do."""
    name, *path, value = WRONG[what]
    with pytest.raises(TokenizerError, match="^here: its .*(again|checkpoints)$"):
        PlainEngine(changed(name, "model", *path, to=value), "here")


@contract
@pytest.mark.parametrize("name", ["unigram, bytes", "LLaMA"])
def test_raw_kinds_cut_short_are_refused(tmp_path, name):
    """A file cut at any byte is one error, in either engine."""
    whole = json.dumps(document(name)).encode()
    for at in range(0, len(whole), 97):
        with pytest.raises(TokenizerError, match=re.escape(str(tmp_path))):
            (tmp_path / "tokenizer.json").write_bytes(whole[:at])
            load_tokenizer(tmp_path)
        with pytest.raises(TokenizerError):
            PlainEngine.from_json(whole[:at].decode(errors="replace"), "here")


@contract
def test_raw_kinds_of_a_hundred_megabytes_are_not_read(tmp_path):
    """A size that no vocabulary has is refused before it is read."""
    with open(tmp_path / "tokenizer.json", "wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(TokenizerError, match="larger than"):
        load_tokenizer(tmp_path)


@contract
@pytest.mark.parametrize("name", ["unigram, bytes", "LLaMA", "LLaMA, newer, library's"])
def test_raw_kinds_survive_hostile_files(name):
    """Damaged at random, a file loads and works or is refused: nothing else."""
    rng, accepted = random.Random(0), 0
    good = json.dumps(document(name))
    for number in range(150):
        if number % 2:
            text = json.dumps(mutate_json(json.loads(good), rng))
        else:
            text = mutate_bytes(good.encode(), rng).decode(errors="replace")
        try:
            tokenizer = Tokenizer(PlainEngine.from_json(text, "here"), "here")
            ids = tokenizer.encode("What's on the tàble?<s>\n 12 🐈")
            tokenizer.decode(tokenizer.encode("plain", markers=False) + ids)
            accepted += len(tokenizer.frame) // 2
        except TokenizerError:
            pass
    assert 5 < accepted < 145


@contract
@pytest.mark.parametrize("step", ["normalizer", "pre_tokenizer", "decoder", "model"])
def test_raw_kinds_survive_depth(step):
    """What is nested a thousand times is refused."""
    text = json.dumps({**document("LLaMA"), step: 0})
    deep = '{"type": "Sequence", "normalizers": [' * 1000 + "]}" * 1000
    with pytest.raises(TokenizerError, match="here"):
        PlainEngine.from_json(text.replace(f'"{step}": 0', f'"{step}": {deep}'), "here")
