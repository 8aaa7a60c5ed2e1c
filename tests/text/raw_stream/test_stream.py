"""The raw stream: what becomes of a text before the cut, and of tokens after it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, decoders, normalizers, pre_tokenizers

from refvlm.text import sp_normalize
from refvlm.text.raw_stream.description import describe_stream, read_stream
from refvlm.text.raw_stream.spelled_bytes import byte_tokens
from refvlm.text.raw_stream.stream import LLAMA, SPELLED, RawStream

from ...spec import contract, example, law, oracle
from ..hard_texts import HARD, NASTY, unicode_texts

spaced = st.text("ab \u2581\n", max_size=12)
texts = st.one_of(unicode_texts, spaced, st.sampled_from([*HARD.values(), *NASTY]))
PREFIXES = ("always", "first", "never")


@example
def test_sp_normalize_shows_every_space():
    """One in front, runs made one, and letters in the form that they mean."""
    assert sp_normalize("Ｈello  wörld.") == "▁Hello▁wörld."
    assert sp_normalize("ﬁne", form=None) == "▁ﬁne"
    assert sp_normalize("a    b") == "▁a▁b"
    assert sp_normalize("a  b", collapse=False) == "▁a▁▁b"
    assert sp_normalize("") == ""


@example
def test_raw_stream_of_llama_gives_every_space_back():
    """The space in front is put there whatever the text begins with, and one goes."""
    assert LLAMA.words(LLAMA.normal(" a")) == ["▁▁a"]
    assert LLAMA.text_of(["▁▁", "a", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]) == " a🙂"


@law
@given(texts)
def test_sp_normalize_of_what_is_normal_changes_nothing(text):
    """Spaces that are shown stay shown; the one in front is there already."""
    normal = sp_normalize(text.replace("\u2581", "_"))
    assert sp_normalize(normal.replace("\u2581", " ")) == normal


@law
@given(texts, st.sampled_from(PREFIXES), st.booleans())
def test_raw_stream_words_are_the_text(text, prefix, first):
    """Cut or not, nothing is lost or changed but the sight of a space."""
    whole = RawStream(prefix=prefix, cut=False).words(text, first)
    cut = RawStream(prefix=prefix).words(text, first)
    assert "".join(cut) == "".join(whole)
    assert all("\u2581" not in word[1:] for word in cut)
    shown = text.replace(" ", "\u2581")
    assert "".join(whole) in (shown, "\u2581" + shown)


def split_anyhow(draw, text):
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=5)))
    return [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]


@law
@given(st.data(), texts)
def test_raw_stream_loses_nothing(data, text):
    """LLaMA's way any text comes back that has no visible space itself; by Metaspace
    without a prefix, too; with one, what does not begin with a space."""
    text = text.replace("\u2581", "_")
    streams = [LLAMA, RawStream(prefix="never"), RawStream(prefix="never", cut=False)]
    if not text.startswith(" "):
        streams += [RawStream(), RawStream(prefix="first").with_bytes()]
    for stream in streams:
        words = stream.words(stream.normal(text))
        tokens = [t for word in words for t in split_anyhow(data.draw, word) if t]
        assert stream.text_of(tokens) == text


@oracle
@given(texts, st.sampled_from(PREFIXES), st.booleans())
def test_raw_stream_cuts_as_metaspace_does(text, prefix, cut):
    """The library's step, which shows spaces and cuts before each."""
    theirs = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=cut)
    words = [word for word, _ in theirs.pre_tokenize_str(text)]
    assert RawStream(prefix=prefix, cut=cut).words(text) == words


@oracle
@given(texts, st.booleans(), st.sampled_from([None, "NFKC", "NFC"]), st.booleans())
def test_raw_stream_normalizes_as_the_library_does(text, nmt, form, collapse):
    """Controls, white space, normal forms and runs of spaces."""
    steps = [normalizers.Nmt()] if nmt else []
    steps += [getattr(normalizers, form)()] if form else []
    steps += [normalizers.Replace(Regex(" {2,}"), " ")] if collapse else []
    theirs = normalizers.Sequence(steps).normalize_str(text)
    assert RawStream(nmt, form, collapse).normal(text) == theirs


@oracle
def test_raw_stream_names_the_controls_of_the_library():
    """Every character, one by one: what Nmt takes away and what it calls a space."""
    theirs = normalizers.Nmt()
    ours = RawStream(nmt=True)
    for code in [*range(0x3100), 0xFEFF, 0xFFFD, 0x1F642]:
        around = f"a{chr(code)}b"
        if not 0xD800 <= code < 0xE000:
            assert ours.normal(around) == theirs.normalize_str(around), hex(code)


PIECES = ["\u2581", "\u2581a", "a", " ", "\u2581\u2581b", "<0x4>", "<0xgg>", "<0xa9>"]
tokens = st.lists(
    st.sampled_from([*PIECES, *byte_tokens("é🙂")]),
    max_size=9,
)


@oracle
@given(tokens)
def test_raw_stream_joins_tokens_as_the_library_does(found):
    """Both ways to decode, with bytes that are text and bytes that are none."""
    for prefix in PREFIXES:
        theirs = decoders.Metaspace(prepend_scheme=prefix)
        assert RawStream(prefix=prefix).text_of(found) == theirs.decode(found)
    steps = [
        decoders.Replace("\u2581", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
    ]
    assert LLAMA.text_of(found) == decoders.Sequence(steps).decode(found)


STREAMS = [
    *(
        RawStream(*rest)
        for rest in itertools.product(
            [True, False], [None, "NFKC"], [True, False], PREFIXES, [True, False]
        )
        if not (rest[0] and rest[3] == "first")
    ),
    LLAMA,
    RawStream(form="NFC", prefix="twice", cut=False, decoding=SPELLED[:3]),
    RawStream(prefix="first", cut=False, decoding=SPELLED),
]


@law
@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_raw_streams_are_read_as_they_are_described(stream):
    """There and back, each of them."""
    assert read_stream(describe_stream(stream), "here") == stream


@contract
def test_raw_stream_of_no_text():
    """No word, and no space in front of it."""
    for stream in STREAMS:
        assert stream.words(stream.normal("")) == []
        assert stream.text_of([]) == ""


@contract
def test_raw_stream_refuses_steps_that_contradict_one_another():
    """Where the library does not know what is first in a text."""
    with pytest.raises(ValueError, match="which is first: give another prefix"):
        RawStream(nmt=True, prefix="first")
