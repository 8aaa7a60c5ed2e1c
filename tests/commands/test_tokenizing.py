"""The spec of `tokenize`: the tokens of a text, by one tokenizer or by four
(refvlm/commands/tokenizing.py)."""

import io
import json
from types import SimpleNamespace

import pytest

from refvlm import cli, pretrained, text
from refvlm.commands import texts, tokenizing

from ..spec import contract, example, law
from ..text.vocabulary import learn_clip, write_family

LINES = ["a red circle on a red table", "what colour is the circle?", "naïve 数学"] * 3


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "some lines.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


def said(capsys, *arguments):
    """What a command that goes well prints, and nothing on standard error."""
    assert cli.main(["tokenize", *map(str, arguments)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


def cuts_of(capsys, *arguments):
    return json.loads(said(capsys, *arguments, "--json"))["cuts"]


@example
def test_tokenize_shows_each_token_with_its_number(capsys):
    """A line for each, as the vocabulary spells it."""
    shipped = text.load_tokenizer(pretrained.shipped_model())
    red = shipped.token_id("Ġred")
    assert said(capsys, "a red").splitlines()[1] == f"{red:>6}  Ġred"


@law
def test_tokenize_is_what_the_tokenizer_says(capsys, tmp_path):
    """Of any checkpoint, whatever its kind; --json has its size, too."""
    directory = write_family(tmp_path, "CLIPTokenizer", *learn_clip())
    (cut,) = cuts_of(capsys, "The TABLE it's", "--model", directory)
    clip = text.load_tokenizer(directory)
    assert cut == {
        "kind": str(directory),
        "vocabulary": len(clip),
        "tokens": ["the</w>", "table</w>", "it</w>", "'", "s</w>"],
        "ids": clip.encode("The TABLE it's"),
        "problem": None,
    }


@law
@pytest.mark.parametrize("name", ["clip-tiny", "fastvlm-tiny/"])
def test_tokenize_knows_the_models_that_come_along(capsys, tmp_path, monkeypatch, name):
    """By their names alone, from any folder, as every other command."""
    monkeypatch.chdir(tmp_path)
    (cut,) = cuts_of(capsys, "a red", "--model", name)
    folder = pretrained.shipped_model(name.rstrip("/"))
    assert cut["kind"] == str(folder)
    assert cut["ids"] == text.load_tokenizer(folder).encode("a red", False)


@law
def test_tokenize_shows_the_kinds_that_fit(capsys, tmp_path):
    """A kind for which there are too many characters says so, and the others cut."""
    path = tmp_path / "characters"
    path.write_text("".join(map(chr, range(0x4E00, 0x4E00 + 60))), encoding="utf-8")
    cuts = cuts_of(capsys, "\u4e00", "--train", path, "--size", 300)
    least = 3 + 256 + 1 + 60  # markers, bytes, the visible space, characters
    takes = f"takes --size {least} or more, for 3 markers, 256 bytes and 61 characters"
    assert [cut["problem"] is None for cut in cuts] == [True, True, True, False]
    assert cuts[3].pop("problem").startswith(takes)
    assert list(cuts[3].values()) == ["raw-stream BPE", None, None, None]
    shown = said(capsys, "\u4e00", "--train", path, "--size", 300).splitlines()
    assert len(shown) == 5 and shown[4].startswith(f"raw-stream BPE  {takes}")
    assert cuts_of(capsys, "a", "--train", path, "--size", least)[3]["ids"]


@law
def test_tokenize_shows_the_kinds_that_can_be_learnt(capsys, tmp_path):
    """A text may say again and again what a kind calls a byte by."""
    path = tmp_path / "bytes"
    path.write_text("a<0x41> b<0x41> c<0x41> d<0x41>", encoding="utf-8")
    *others, last = cuts_of(capsys, "a", "--train", path)
    assert all(cut["ids"] for cut in others)
    assert last["problem"].startswith("cannot be learnt: '<0x41>' is how a piece of a")


@law
def test_tokenize_takes_markers_for_text_unless_asked(capsys):
    """A marker's name in a text is letters and signs, as everywhere."""
    shipped = text.load_tokenizer(pretrained.shipped_model())
    for options, markers in ([], False), (["--markers"], True):
        (cut,) = cuts_of(capsys, "a<|im_end|>", *options)
        assert cut["ids"] == shipped.encode("a<|im_end|>", markers)
        assert ("<|im_end|>" in cut["tokens"]) == markers


@law
def test_tokenize_learns_four_kinds(capsys, corpus):
    """Each is what its function learns from the lines of the file."""
    cuts = cuts_of(capsys, "a red cube Ω", "--train", corpus, "--size", 330)
    learnt = [
        text.learn_byte_level(LINES, 330),
        text.learn_word_piece(LINES, 330),
        text.learn_unigram(LINES, 330),
        text.learn_raw_bpe(LINES, 330),
    ]
    assert [cut["ids"] for cut in cuts] == [
        kind.encode("a red cube Ω", markers=False) for kind in learnt
    ]
    assert [cut["vocabulary"] for cut in cuts] == list(map(len, learnt))
    table = said(capsys, "a red cube Ω", "--train", corpus, "--size", 330)
    for cut, line in zip(cuts, table.splitlines()[1:], strict=True):
        assert line.startswith(cut["kind"])
        assert line.endswith(f"{len(cut['tokens'])}: {' '.join(cut['tokens'])}")


@law
def test_tokenize_says_what_its_json_says(capsys):
    """The fields of the module's docstring are those of the object, and in --help."""
    (cut,) = cuts_of(capsys, "a")
    words = [line.split() for line in tokenizing.__doc__.splitlines()]
    indented = [line[0] for line in words if len(line) > 3][-5:]
    assert indented == list(cut)
    with pytest.raises(SystemExit):
        cli.main(["tokenize", "--help"])
    shown = capsys.readouterr().out
    assert all(field in shown for field in cut)


@law
def test_tokenize_reads_standard_input(capsys, monkeypatch):
    """`-` is the text on standard input, line ends and all."""
    piped = SimpleNamespace(buffer=io.BytesIO(b"a red\n"), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", piped)
    assert said(capsys, "-").splitlines()[-1].endswith("Ċ")


@law
def test_tokenize_prints_nothing_that_steers_a_terminal(capsys, tmp_path):
    """A vocabulary may spell a token with an escape."""
    learnt = text.learn_word_piece(["a"], 9, ["[UNK]", "\x1b[2J<m>"])
    text.save_tokenizer(tmp_path, text.Tokenizer.of(learnt, "hostile"))
    shown = said(capsys, "\x1b[2J<m>", "--model", tmp_path, "--markers")
    assert "\\x1b[2J<m>" in shown and "\x1b" not in shown


@contract
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["a", "--size", "300"], "--size is of what --train learns"),
        (["a", "--train", "x.txt", "--model", "y"], "leave out --model"),
        (["-", "--train", "-"], "standard input is one text"),
        (["a", "--size", "0", "--train", "x"], "a whole number from 1 up"),
        ([], "the following arguments are required: TEXT"),
    ],
)
def test_tokenize_used_wrongly_says_how(capsys, options, said):
    """Status 2, and one sentence."""
    try:
        status = cli.main(["tokenize", *options])
    except SystemExit as left:
        status = left.code
    assert status == 2
    assert said in capsys.readouterr().err


@contract
def test_tokenize_of_bad_input_says_why(capsys, tmp_path, monkeypatch, corpus):
    """Status 1, one line: a file that is not there or no text, too little room, a text
    that is none, a folder without a tokenizer, a text without end."""

    def told(*arguments):
        assert cli.main(["tokenize", *map(str, arguments)]) == 1
        out, error = capsys.readouterr()
        assert out == "" and error.count("\n") == 1
        return error

    assert "No such file" in told("a", "--train", tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "not a text in UTF-8" in told("a", "--train", tmp_path / "binary")
    small = told("a", "--train", corpus, "--size", 9)
    assert "--size 9 is too small for every kind: byte-level BPE takes --size" in small
    assert "raw-stream BPE takes --size" in small and "vocabulary_size" not in small
    with monkeypatch.context() as late:
        late.setattr(text, "learn_byte_level", None)
        assert "not valid Unicode" in told("a\udcff", "--train", corpus)
    assert "not valid Unicode" in told("a\udcff")
    assert "no tokenizer.json" in told("a", "--model", tmp_path)
    missing = told("a", "--model", tmp_path / "none")
    assert "is not a directory: give the folder" in missing
    assert "not a directory but a file" in told("a", "--model", corpus)
    monkeypatch.setattr(texts, "LONGEST_TEXT", 10)
    assert "more than 0 MiB" in told("a", "--train", corpus)


@contract
def test_tokenize_learns_from_an_empty_file_what_there_is(capsys, tmp_path):
    """The bytes, and the unknown."""
    (tmp_path / "empty").write_bytes(b"")
    cuts = cuts_of(capsys, "a", "--train", tmp_path / "empty")
    assert [cut["tokens"][-1] for cut in cuts] == ["a", "[UNK]", "<unk>", "<0x61>"]
