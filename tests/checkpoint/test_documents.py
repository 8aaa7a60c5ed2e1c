"""Small files from outside: read whole if they are what they should be."""

import tracemalloc

import pytest

from refvlm.checkpoint import CheckpointError, is_there, read_json, read_text

from ..spec import contract, example


@example
def test_read_json_gives_the_object(tmp_path):
    """A configuration is one JSON object."""
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size": 896, "name": "caf\\u00e9"}')
    assert read_json(path) == {"hidden_size": 896, "name": "café"}


@contract
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"7",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a": ' + b"1" * 10_000 + b"}",
    ],
)
def test_read_json_refuses_what_is_ambiguous(tmp_path, content):
    """Bad JSON, a name given twice, nesting without end: one error, with the path."""
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_json(path)


@contract
def test_read_text_is_bounded(tmp_path):
    """A file larger than any of its kind is not read to the end."""
    path = tmp_path / "merges.txt"
    path.write_text("x" * 101)
    assert read_text(path, limit=101) == "x" * 101
    with pytest.raises(CheckpointError, match="larger than 100 bytes"):
        read_text(path, limit=100)


@contract
def test_read_text_raises_the_class_asked_for(tmp_path):
    """A tokenizer's file that is missing is a tokenizer's error."""

    class OtherError(ValueError):
        pass

    with pytest.raises(OtherError, match="no such file"):
        read_text(tmp_path / "absent", error=OtherError)
    with pytest.raises(OtherError, match="not an ordinary file"):
        read_text(tmp_path, error=OtherError)


@contract
def test_read_text_tells_a_broken_link_from_a_missing_file(tmp_path):
    """Half of a download may be links that lead nowhere: they are there, unreadable."""
    link = tmp_path / "tokenizer_config.json"
    assert not is_there(link)
    link.symlink_to("blobs/not-downloaded")
    assert is_there(link) and not link.exists()
    with pytest.raises(CheckpointError, match="leads nowhere: download the file"):
        read_text(link)


@contract
def test_read_text_makes_room_for_what_there_is(tmp_path):
    """A file of a few bytes takes a few bytes, whatever might be allowed."""
    path = tmp_path / "merges.txt"
    path.write_text("x")
    tracemalloc.start()
    try:
        read_text(path, limit=1 << 28)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
