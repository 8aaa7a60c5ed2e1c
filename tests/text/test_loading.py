"""Opening a tokenizer: two layouts, and files that are not trusted."""

import json
import random

import pytest
import tokenizers

from refvlm.text import TokenizerError, load_tokenizer
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.loading import SENTENCE_PIECE

from ..checkpoint.test_hostile_files import mutate_bytes, mutate_json
from ..spec import contract, example, law
from .test_tokenizer import nasty_texts
from .vocabulary import MARKERS, added_tokens, learn, write_vocabulary


@example
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_reads_both_layouts(tmp_path):
    """`tokenizer.json`, and `vocab.json` with `merges.txt`, say the same."""
    apple = load_tokenizer(write_vocabulary(tmp_path / "apple"))
    (tmp_path / "hugging_face").mkdir()
    spoil(tmp_path / "hugging_face", "tokenizer.json", apple.to_json())
    hugging_face = load_tokenizer(tmp_path / "hugging_face")
    assert hugging_face.markers == apple.markers
    for text in nasty_texts(100, seed=2):
        assert hugging_face.encode(text) == apple.encode(text)
        assert hugging_face.encode(text, False) == apple.encode(text, False)


@law
@pytest.mark.parametrize("markers", ["tokenizer_config", "added_tokens"])
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_keeps_the_ids_of_markers(tmp_path, markers):
    """A marker has the id that the model was trained with, wherever it is written."""
    vocabulary, _ = learn()
    tokenizer = load_tokenizer(write_vocabulary(tmp_path, markers=markers))
    assert tokenizer.markers == added_tokens(vocabulary)


@law
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_takes_windows_line_ends(tmp_path):
    """A merges.txt that went through Windows is the same list."""
    directory = write_vocabulary(tmp_path)
    expected = load_tokenizer(directory).encode("the table")
    path = directory / "merges.txt"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_tokenizer(directory).encode("the table") == expected


@pytest.fixture(params=["library", "plain"])
def engine(request, monkeypatch):
    """Each law twice: with the tokenizers library, and as if it were not installed."""
    if request.param == "plain":
        monkeypatch.setattr("refvlm.text.loading.open_engine", PlainEngine.from_json)


def spoil(directory, file, content):
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    if isinstance(content, str):
        content = content.encode()
    (directory / file).write_bytes(content)


def decoder_entry(token_id, **fields):
    return {"added_tokens_decoder": {token_id: fields}}


BAD_FILES = [
    ("vocab.json", "[]"),
    ("vocab.json", {"a": "1"}),
    ("vocab.json", {"a": -1}),
    ("vocab.json", {"a": True}),
    ("vocab.json", {"a": 1 << 40}),
    ("vocab.json", {"a": 1, "b": 1}),
    ("vocab.json", {"a": 0, "b": 1}),
    ("vocab.json", b'{"a": 0, "a": 1}'),
    ("vocab.json", {"\ud800": 0}),
    ("merges.txt", "#version: 0.2\na b c\n"),
    ("merges.txt", "#version: 0.2\nabc\n"),
    ("merges.txt", "#version: 0.2\na \n"),
    ("merges.txt", "#version: 0.2\nqqq zzz\n"),
    ("merges.txt", b"\xff\xfe"),
    ("merges.txt", b""),
    ("added_tokens.json", {"<new>": "404"}),
    ("added_tokens.json", {"<new>": 999}),
    ("added_tokens.json", {"<|im_end|>": 1}),
    ("added_tokens.json", {"": 404}),
    ("added_tokens.json", {"\ud800": 404}),
    ("tokenizer_config.json", {"added_tokens_decoder": []}),
    ("tokenizer_config.json", decoder_entry("x", content="<new>")),
    ("tokenizer_config.json", decoder_entry("-1", content="<new>")),
    ("tokenizer_config.json", decoder_entry("9" * 5000, content="<new>")),
    ("tokenizer_config.json", decoder_entry("0", content="<new>")),
    ("tokenizer_config.json", decoder_entry("400", special=True)),
    ("tokenizer_config.json", decoder_entry("400", content="<new>", special=1)),
    ("tokenizer_config.json", {"added_tokens_decoder": {"400": "<new>"}}),
    ("tokenizer.json", ""),
    ("tokenizer.json", "{}"),
    ("tokenizer.json", "[" * 100_000),
    ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}, "merges": []}}),
]


@contract
@pytest.mark.parametrize(("file", "content"), BAD_FILES)
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_refuses_bad_files(tmp_path, file, content):
    """A damaged tokenizer is one clear error, not a model that hears other words."""
    directory = write_vocabulary(tmp_path)
    spoil(directory, file, content)
    with pytest.raises(TokenizerError):
        load_tokenizer(directory)


@contract
def test_load_tokenizer_says_what_is_missing(tmp_path):
    """Without the tokenizer's files there is nothing to guess."""
    with pytest.raises(TokenizerError, match="download the tokenizer's files"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(TokenizerError, match="vocab.json with merges.txt"):
        load_tokenizer(tmp_path)


@contract
@pytest.mark.parametrize("name", SENTENCE_PIECE)
def test_load_tokenizer_says_how_a_tokenizer_model_is_rewritten(tmp_path, name):
    """A Vicuna, as downloaded, has SentencePiece's own file and no tokenizer.json."""
    spoil(tmp_path, name, b"\x0a\x0e")
    spoil(tmp_path, "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"})
    with pytest.raises(TokenizerError) as caught:
        load_tokenizer(tmp_path)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path} has {name}, which is not read here, and no tok")
    assert f"from_pretrained({str(tmp_path)!r}).save_pretrained(" in told


@contract
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_wants_all_bytes(tmp_path):
    """A byte without a token would vanish from every text that has it."""
    directory = write_vocabulary(tmp_path, markers=None)
    vocabulary, _ = learn()
    spoil(directory, "vocab.json", {k: v for k, v in vocabulary.items() if k != "ÿ"})
    with pytest.raises(TokenizerError, match="no token for 1 of the 256 bytes"):
        load_tokenizer(directory)


@contract
def test_load_tokenizer_bounds_the_size_of_files(tmp_path, monkeypatch):
    """A file of gigabytes under the name of a vocabulary is not read."""
    directory = write_vocabulary(tmp_path)
    monkeypatch.setattr("refvlm.text.loading.FILE_LIMIT", 1000)
    with pytest.raises(TokenizerError, match="larger than 1000 bytes"):
        load_tokenizer(directory)


def fuzz_tokenizer(directory, rounds, seed=0):
    """How many damaged tokenizers were accepted; anything but TokenizerError fails."""
    rng = random.Random(seed)
    write_vocabulary(directory, markers="added_tokens")
    good = {path.name: path.read_bytes() for path in directory.iterdir()}
    good["tokenizer.json"] = load_tokenizer(directory).to_json().encode()
    accepted = 0
    for _ in range(rounds):
        for name, content in good.items():
            (directory / name).write_bytes(content)
        if rng.random() < 0.6:
            (directory / "tokenizer.json").unlink()
        name = rng.choice([path.name for path in directory.iterdir()])
        content = good[name]
        if name.endswith(".json") and rng.random() < 0.5:
            content = json.dumps(mutate_json(json.loads(content), rng)).encode()
        else:
            content = mutate_bytes(content, rng)
        (directory / name).write_bytes(content)
        try:
            tokenizer = load_tokenizer(directory)
            ids = tokenizer.encode(f"What's on the tàble?{MARKERS[2]}\n 12 🐈")
            tokenizer.decode(tokenizer.encode("plain", markers=False) + ids)
            accepted += 1
        except TokenizerError:
            pass
    return accepted


@contract
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_survives_hostile_files(tmp_path):
    """Damaged at random, a tokenizer loads and works or is refused: nothing else."""
    assert 10 < fuzz_tokenizer(tmp_path, 200) < 190


@contract
def test_load_tokenizer_turns_the_librarys_errors_into_one(tmp_path):
    """An error from inside the library, when encoding, is a TokenizerError as well."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="b"))
    words.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="not a valid tokenizer"):
        tokenizer.encode("c")


@contract
@pytest.mark.usefixtures("engine")
def test_load_tokenizer_quotes_a_bad_file_safely(tmp_path):
    """What the library quotes of a file may not steer a terminal."""
    directory = write_vocabulary(tmp_path)
    spoil(directory, "merges.txt", "#version: 0.2\n\x1b[2J \x07\n")
    with pytest.raises(TokenizerError, match=r"\\x1b\[2J") as error:
        load_tokenizer(directory)
    assert str(error.value).isprintable()
