"""The spec of refvlm/pretrained/memory_files.py: whole, the same to the bit, or
refused with a reason and nothing lost."""

import json
import os
import zlib

import numpy as np
import pytest

from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError
from refvlm.checkpoint.stored import TensorFile
from refvlm.models.microvlm_config import MicroVLMConfig
from refvlm.pretrained import EpisodicMemory
from refvlm.pretrained.memory_files import NOTE, VERSION

from .. import microvlms
from ..spec import contract, law, random_arrays

NAMES = ["a.png", "é\n\x1b[1m.png", "", "\u202e"]


def empty(model="mine", **memory):
    document = microvlms.changed(memory={**microvlms.TOKENS, **memory})
    return EpisodicMemory(MicroVLMConfig.from_json(document), lambda: model)


def filled(**memory):
    made = empty(**memory)
    codes = random_arrays(3)(4, 3, made.config.memory.width).astype(np.float32)
    order = None
    if not made.config.memory.both_ways:
        width = made.config.memory.order_width
        order = random_arrays(4)(1, 2, 1, width).astype(np.float32)
    made.write(NAMES, codes, order)
    made.forget(3)
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.memory"


@pytest.fixture
def saved(path):
    filled().save(path)
    return path


def parts(path):
    """(tensors, the note) of a file."""
    stored = checkpoint.load(path, dtype=None)
    tensors = {name: np.array(stored[name]) for name in stored}
    return tensors, json.loads(TensorFile(path).metadata[NOTE])


def rewrite(path, change=lambda tensors, note: None, right=True):
    """The file with other tensors and another note, and a checksum that is right."""
    tensors, note = parts(path)
    change(tensors, note)
    if right and "checksum" in note:
        noted = {name: note[name] for name in note if name != "checksum"}
        total = zlib.crc32(json.dumps(noted, sort_keys=True).encode())
        for name in sorted(tensors):
            total = zlib.crc32(np.ascontiguousarray(tensors[name]), total)
        note["checksum"] = total
    checkpoint.save(path, tensors, {NOTE: json.dumps(note)})


@law
@pytest.mark.parametrize(
    "memory", [{}, {"order_width": 8, "bidirectional": True}], ids=["one way", "both"]
)
def test_load_is_what_was_saved(path, memory):
    """Each number to the bit, each name to the letter, gaps in the numbers too."""
    ours, theirs = filled(**memory), empty(**memory)
    ours.save(path)
    theirs.load(path)
    assert ours.kept.shown == theirs.kept.shown == 4
    for one, other in zip(ours.belief, theirs.belief):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype == np.float32
    assert [*theirs.receipts] == [1, 2, 4]
    for number, kept in ours.receipts.items():
        assert theirs.receipts[number].name == kept.name == NAMES[number - 1]
        for one, other in zip(kept[1:], theirs.receipts[number][1:]):
            np.testing.assert_array_equal(one, other)
    if ours.kept.order is None:
        assert theirs.kept.order is None
    else:
        np.testing.assert_array_equal(theirs.kept.order, ours.kept.order)


@law
@pytest.mark.parametrize("size", [{}, {"slots": 5}, {"slots": 13}])
def test_what_was_loaded_goes_on_to_the_bit(path, size):
    """What is forgotten and written then gives the same last bit, which depends on how
    arrays lie in memory."""
    ours, theirs = (empty(**size, prior_scale=2.5) for _ in range(2))
    codes = random_arrays(6)(6, 3, 16).astype(np.float32)
    order = np.zeros((1, 2, 1, 16), np.float32)
    ours.write(NAMES, codes[:4], order)
    ours.save(path)
    theirs.load(path)
    for memory in (ours, theirs):
        memory.forget(2)
        memory.write(["e", "f"], codes[4:], order)
        memory.forget(1)
    for one, other in zip(ours.belief, theirs.belief):
        np.testing.assert_array_equal(one, other)
    assert ours.left() == theirs.left()


@law
def test_an_empty_memory_can_be_saved(path):
    """Before the first picture, and after the last was forgotten."""
    memory = empty()
    memory.save(path)
    again = empty()
    again.load(path)
    assert len(again) == 0 and again.kept.shown == 0
    memory = filled()
    for number in (1, 2, 4):
        memory.forget(number)
    memory.save(path)
    again.load(path)
    assert len(again) == 0 and again.kept.shown == 4
    np.testing.assert_array_equal(again.kept.order, memory.kept.order)


@law
def test_save_is_no_pickle_and_has_no_pictures(saved):
    """Any reader of safetensors sees what is kept."""
    tensors, note = parts(saved)
    assert {*tensors} == {"mean", "covariance", "addresses", "codes", "order"}
    assert note["version"] == VERSION and note["shown"] == 4
    assert [one["facts"] for one in note["pictures"]] == [3, 3, 3]


@law
def test_save_replaces_a_memory_of_the_same_model(saved):
    """So a story goes on in one file."""
    longer = empty()
    longer.load(saved)
    longer.write(["e"], random_arrays(9)(1, 3, 16), longer.kept.order)
    longer.save(saved)
    again = empty()
    again.load(saved)
    assert [*again.receipts] == [1, 2, 4, 5]
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


@contract
@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_an_interrupted_save_leaves_the_old_file(saved, monkeypatch, moment):
    """Ctrl-C at the worst time: no piece, and the memory that was there."""
    before = saved.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    name = "os.fsync" if moment == "written" else "os.replace"
    monkeypatch.setattr(f"refvlm.checkpoint.saving.{name}", stop)
    with pytest.raises(KeyboardInterrupt):
        filled().save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def refused(path, message, memory=None):
    """Neither load nor save takes the file, with the same words; the file stays, and
    so does what is remembered."""
    before = path.read_bytes() if path.is_file() else None
    memory = filled() if memory is None else memory
    kept = memory.kept
    for act in (memory.load, memory.save):
        with pytest.raises(CheckpointError, match=message) as error:
            act(path)
        assert "\n" not in str(error.value)
        if act == memory.load:
            assert str(path) in str(error.value)
    assert memory.kept is kept
    assert before is None or path.read_bytes() == before


@contract
@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is damaged, or no memory"),
        (b"\x89PNG\r\n\x1a\n and more of a picture", "is damaged, or no memory"),
        (b"\xff" * 64, "is damaged, or no memory"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "is damaged, or no memory"),
        ((100 << 20).to_bytes(8, "little") + b"{" * 99, "is damaged, or no memory"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_memory_is_not_touched(path, content, message):
    """A picture, say, that was named by mistake."""
    path.write_bytes(content)
    refused(path, message)


@contract
def test_a_file_cut_short_is_damaged(saved):
    """At every place."""
    whole = saved.read_bytes()
    for length in (1, 7, 8, 40, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is damaged, or no memory"):
            empty().load(saved)


@contract
def test_a_flipped_bit_is_damage(saved):
    """Wherever it is among the numbers: the checksum knows."""
    whole = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    for place in np.linspace(header, len(whole) - 1, 40).astype(int):
        whole[place] ^= 4
        saved.write_bytes(whole)
        with pytest.raises(CheckpointError, match=r"is damaged|not a finite number"):
            empty().load(saved)
        whole[place] ^= 4
    saved.write_bytes(whole)
    empty().load(saved)


@contract
def test_other_tensors_are_no_memory(path):
    """A checkpoint that is given by mistake is not replaced."""
    checkpoint.save(path, {"mean": np.ones((7, 16), np.float32)})
    refused(path, "is a file of safetensors, but no memory. It was not touched")


@contract
def test_the_memory_of_another_model_is_refused(saved):
    """Of the same size even: what one wrote, no other can read."""
    refused(saved, "is the memory of another model: ", empty("another"))


@contract
def test_a_memory_of_another_size_is_refused(saved):
    """It says which."""
    with pytest.raises(CheckpointError, match="7 slots of 16, .* has 8 slots of 16"):
        empty("another", slots=8).load(saved)


@contract
def test_a_newer_layout_is_refused(saved):
    """Not guessed, and not replaced."""
    rewrite(saved, lambda tensors, note: note.update(version=2))
    refused(saved, "is a memory in layout 2, which a newer refvlm wrote: layout 1")


def spoil(name, value):
    def change(tensors, note):
        tensors[name] = value(tensors[name])

    return change


def note_of(**values):
    return lambda tensors, note: note.update(values)


def picture_of(**values):
    return lambda tensors, note: note["pictures"][1].update(values)


@contract
@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, note: tensors.pop("covariance"),
        lambda tensors, note: tensors.pop("mean"),
        lambda tensors, note: tensors.pop("order"),
        lambda tensors, note: tensors.update(more=np.ones(3)),
        spoil("covariance", lambda array: array[:-1]),
        spoil("codes", lambda array: array[:-1]),
        spoil("codes", lambda array: array[:, :-1]),
        spoil("addresses", lambda array: array.astype(np.int32)),
        spoil("order", lambda array: array[..., None]),
        note_of(version="1"),
        note_of(version=0),
        note_of(version=True),
        note_of(pictures=None),
        note_of(pictures={}),
        note_of(pictures=[1, 2]),
        note_of(pictures=[]),
        note_of(shown=3),
        note_of(shown=-1),
        note_of(shown="4"),
        picture_of(number=1),
        picture_of(number=9),
        picture_of(number=2.0),
        picture_of(facts=0),
        picture_of(facts=-3),
        picture_of(facts=10**30),
        picture_of(name=None),
        picture_of(name="\ud800"),
        picture_of(name="a" * 256),
        spoil("mean", lambda array: 0 * array),
        spoil("mean", lambda array: array + np.float32(1e10)),
        spoil("covariance", lambda array: -array),
        spoil("covariance", lambda array: 0 * array),
        spoil("covariance", lambda array: array + np.eye(7, k=1, dtype=np.float32)),
        spoil("covariance", lambda array: array - 2 * np.diag(np.eye(7)[3])),
        spoil("addresses", lambda array: array * np.float32(1e30)),
        spoil("codes", lambda array: array - np.float32(1e38)),
        spoil("order", lambda array: array + np.float32(1e38)),
        lambda tensors, note: note.pop("pictures"),
        lambda tensors, note: note.pop("shown"),
        lambda tensors, note: note.pop("version"),
        lambda tensors, note: note.pop("checksum"),
    ],
)
def test_what_does_not_fit_together_is_damaged(saved, change):
    """With a checksum that is right: made by hand, or by a fault of ours."""
    rewrite(saved, change)
    memory = empty()
    kept = memory.kept
    with pytest.raises(CheckpointError, match="is damaged, or no memory that refvlm"):
        memory.load(saved)
    assert memory.kept is kept


@contract
@pytest.mark.parametrize("name", ["mean", "covariance", "codes", "order"])
def test_a_file_with_nan_is_refused(saved, name):
    """`save` would not write one; by hand it can be made."""
    tensors, _ = parts(saved)
    raw = saved.read_bytes()
    numbers = tensors[name].tobytes()
    spoilt = np.full_like(tensors[name], np.nan).tobytes()
    assert raw.count(numbers) == 1
    saved.write_bytes(raw.replace(numbers, spoilt))
    with pytest.raises(CheckpointError, match="not a finite number: the file is dam"):
        empty().load(saved)


@contract
@pytest.mark.parametrize("note", ["{", "[]", '{"version": NaN}', '{"a": 1, "a": 1}'])
def test_a_note_that_is_none_is_refused(path, note):
    """It is JSON from outside."""
    checkpoint.save(path, {"mean": np.ones(2)}, {NOTE: note})
    refused(path, f"the note in {path}")


@contract
def test_a_folder_and_nothing_are_no_memory(tmp_path):
    """Each with its own words."""
    for act in (empty().load, empty().save):
        with pytest.raises(CheckpointError, match="is not an ordinary file"):
            act(tmp_path)
    with pytest.raises(CheckpointError, match="there is no such file"):
        empty().load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="cannot be written"):
        empty().save(tmp_path / "none" / "a")


@contract
def test_a_pipe_is_not_waited_for(tmp_path):
    """It could block for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is not an ordinary file"):
        empty().load(tmp_path / "pipe")


@contract
@pytest.mark.parametrize(
    "change",
    [
        note_of(shown=5),
        picture_of(name="another.png"),
        picture_of(number=3),
        lambda tensors, note: [
            one.update(facts=facts) for one, facts in zip(note["pictures"], (2, 4, 3))
        ],
    ],
)
def test_a_note_that_was_changed_is_damage(saved, change):
    """It is in the checksum, as the tensors are: which numbers are whose is told by
    nothing else."""
    rewrite(saved, change, right=False)
    with pytest.raises(CheckpointError, match="is damaged, or no memory that refvlm"):
        empty().load(saved)


@contract
@pytest.mark.parametrize("digits", [400, 5000])
def test_a_version_of_many_digits_is_one_clear_error(path, digits):
    """Neither a float nor Python's limit of digits is met."""
    note = '{"version": 1' + "0" * digits + "}"
    checkpoint.save(path, {"mean": np.ones(2)}, {NOTE: note})
    with pytest.raises(CheckpointError) as error:
        empty().load(path)
    assert str(path) in str(error.value) and len(str(error.value)) < 600
