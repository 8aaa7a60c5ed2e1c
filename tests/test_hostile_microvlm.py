"""MicroVLM directories and memories that were tampered with: one clear error, or an
answer.

The damage is that of test_hostile.py; what is MicroVLM's own is its memory: the part of
config.json that tells of it, and the file that keeps it.
"""

import json
import random
import tracemalloc
import warnings

import pytest

import refvlm
from refvlm.pretrained import FadingWarning

from . import microvlm_files
from .checkpoint.test_hostile_files import mutate_file
from .spec import contract
from .test_hostile import as_json, damage, survives, works, write

PICTURES = microvlm_files.drawn(2)


def good_files(directory, **changes):
    """name -> bytes of a directory that works."""
    microvlm_files.write(directory, microvlm_files.described(**changes))
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    files["generation_config.json"] = as_json({"eos_token_id": [2, 7]})
    return files


def remember_and_ask(directory):
    """What is said of two pictures that are gone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FadingWarning)  # no damage: it was remembered
        model = refvlm.load(directory)
        model.remember(*PICTURES)
        model.forget(1)
        return model.ask("?", max_new_tokens=2)


@contract
def test_hostile_microvlm_directories_give_one_error_or_an_answer(tmp_path):
    """A hundred and twenty damaged directories of both wirings."""
    layouts = []
    for name, memory in (("tokens", {}), ("contexts", microvlm_files.CONTEXTS)):
        (tmp_path / name).mkdir()
        layouts.append(good_files(tmp_path / name, memory=memory))
        write(tmp_path / name, layouts[-1])
        assert works(tmp_path / name) and survives(tmp_path / name, remember_and_ask)
    rng, working, directory = random.Random(0), 0, tmp_path / "tokens"
    for _ in range(120):
        files = dict(rng.choice(layouts))
        name = rng.choice([*sorted(files), "config.json", "config.json"])
        files[name] = damage(name, files[name], rng)
        write(directory, files)
        working += survives(directory, remember_and_ask)
    assert 15 < working < 96, "the mutants are all alike, so this proves nothing"


@contract
def test_hostile_memories_give_one_error_or_are_read(tmp_path):
    """A hundred and fifty damaged files: one line that names the file, and what was
    remembered before is remembered yet."""
    directory = microvlm_files.write(tmp_path / "model")
    model, path = refvlm.load(directory), tmp_path / "memory"
    model.remember(*PICTURES)
    model.memory.save(path)
    content, rng, read = path.read_bytes(), random.Random(1), 0

    def load(_):
        model.memory.load(path)
        return model.ask("?", max_new_tokens=1)

    for _ in range(150):
        kept = model.memory.kept
        path.write_bytes(mutate_file(content, rng))
        if survives(path, load):
            read += 1
        else:
            assert model.memory.kept is kept
    assert read < 50, "the mutants are all alike, so this proves nothing"


HUGE = {
    "4096 slots": {"memory": {"slots": 4096}},
    "16384 numbers": {"memory": {"width": 1 << 14, "order_width": 1 << 14}},
    "64 layers of order": {"memory": {"order_layers": 64, "order_width": 16}},
    "4096 tokens": {"adapter": {"prefix_tokens": 4096}},
    "a wide adapter": {"adapter": {"intermediate_size": 1 << 24}},
    "a wide gate": {"scope": {"hidden_size": 1 << 14}},
}


@contract
@pytest.mark.parametrize("claim", HUGE)
def test_hostile_microvlm_claims_take_neither_memory_nor_time(tmp_path, claim):
    """A small file that claims a huge model is refused before anything is made."""
    files = good_files(tmp_path)
    config = json.loads(files["config.json"])
    for name, change in HUGE[claim].items():
        config[name] = {**config[name], **change}
    write(tmp_path, {**files, "config.json": as_json(config)})
    tracemalloc.start()
    try:
        assert not survives(tmp_path, remember_and_ask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
