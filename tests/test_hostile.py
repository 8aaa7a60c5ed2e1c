"""Checkpoint directories that were tampered with: one clear error, or an answer.

Good directories are damaged in one place or two: a value of a configuration becomes
null, a list, a number beyond any model; a file is cut, flipped, gone, or a pipe.
Whatever was done, opening and asking gives a text, or one error of one line that names
the file; never a warning, never another exception, and no memory for what a file only
claims to need.
"""

import copy
import json
import os
import random
import shutil
import tracemalloc
import warnings

import numpy as np
import pytest

import refvlm
from refvlm.analysis.shape_table import table_of
from refvlm.blocks.kv_cache import ContextError
from refvlm.checkpoint import CheckpointError
from refvlm.image import ImageError
from refvlm.models.fields import ConfigError
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from . import tiny
from .checkpoint.test_hostile_files import (
    ODDITIES,
    mutate_bytes,
    mutate_file,
    mutate_json,
    nodes,
)
from .spec import contract

FILES = (CheckpointError, ConfigError, TokenizerError, ImageError)
INPUTS = (ShapeError, ContextError)  # where the files make the prompt unfit
PICTURE = np.full((40, 30, 3), 99, np.uint8)

APPLE = {
    "model_type": "llava_qwen2",
    "mm_vision_tower": "mobileclip_l_1024",
    "mm_projector_type": "mlp2x_gelu",
    "mm_hidden_size": 3072,
    "image_aspect_ratio": "pad",
    **{k: v for k, v in tiny.CONFIG["text_config"].items() if k != "model_type"},
}


def good_files(directory):
    """name -> bytes of a directory that works, as Hugging Face lays it out."""
    tiny.write_checkpoint(directory)
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    small = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    files["preprocessor_config.json"] = as_json({**tiny.PREPROCESSOR, **small})
    files["generation_config.json"] = as_json({"eos_token_id": [tiny.END, 7]})
    return files


def as_json(document):
    return json.dumps(document).encode()


def older_layout(files):
    """The same with vocab.json and merges.txt, an index, and a processor file."""
    files = dict(files)
    words = json.loads(files.pop("tokenizer.json"))
    files["vocab.json"] = as_json(words["model"]["vocab"])
    files["merges.txt"] = b"#version: 0.2\n"
    files["tokenizer_config.json"] = as_json(
        {
            "chat_template": tiny.CHATML,
            "added_tokens_decoder": {
                str(256 + i): {"content": marker, "special": True}
                for i, marker in enumerate(tiny.MARKERS)
            },
        }
    )
    pixels = json.loads(files.pop("preprocessor_config.json"))
    files["processor_config.json"] = as_json({"image_processor": pixels})
    shard = files["a.safetensors"] = files.pop("model.safetensors")
    names = json.loads(shard[8 : 8 + int.from_bytes(shard[:8], "little")])
    names.pop("__metadata__", None)
    files["model.safetensors.index.json"] = as_json(
        {"weight_map": dict.fromkeys(names, "a.safetensors")}
    )
    return files


def write(directory, files):
    """The directory with these files, and nothing else."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or not path.is_file() or path.name not in files:
            path.unlink()
    for name, content in files.items():
        path = directory / name
        here = path.exists() and path.stat().st_size == len(content)
        if not (here and path.read_bytes() == content):
            path.write_bytes(content)


def works(directory):
    """Whether the directory answers; if not, it said so as it should."""
    return all([survives(directory, table_of), survives(directory, ask)])


def ask(directory):
    return refvlm.load(directory).describe(PICTURE, "?", 2)


def survives(directory, use):
    try:
        with warnings.catch_warnings(action="error"):
            text = use(directory)
    except (*FILES, *INPUTS) as error:
        message = str(error)
        assert message.isprintable() and len(message) < 4000, message
        assert str(directory) in message or isinstance(error, INPUTS), message
        return False
    assert isinstance(text, str)
    return True


def scale_number(document, rng):
    """A copy with one number made larger, smaller, negative or fractional."""
    document = copy.deepcopy(document)
    numbers = [p for p in nodes(document) if type(find(document, p)) in (int, float)]
    if not numbers:
        return document
    *above, key = rng.choice(numbers)
    parent = find(document, above)
    value = parent[key]
    choices = [0, -value, value + 1, value - 1, 2 * value, value / 2, 10**6 * value]
    parent[key] = rng.choice([*choices, 10**9, 10**30, [value], str(value)])
    return document


def find(document, path):
    for step in path:
        document = document[step]
    return document


def damage(name, content, rng):
    """A damaged copy of one file, of its own kind most of the time."""
    if name.endswith(".safetensors"):
        return mutate_file(content, rng)
    if not name.endswith(".json") or rng.random() < 0.15:
        return mutate_bytes(content, rng)
    document = json.loads(content)
    change = rng.choice([scale_number, scale_number, mutate_json])
    for _ in range(rng.choice([1, 1, 2])):
        if isinstance(document, (dict, list)) and document:
            document = change(document, rng)
    return as_json(document)


def fuzz(directory, layouts, rounds, seed=0):
    """How many damaged directories still worked."""
    rng, working = random.Random(seed), 0
    for _ in range(rounds):
        files = dict(rng.choice(layouts))
        for name in rng.sample(sorted(files), rng.choice([1, 1, 1, 2])):
            name = rng.choice([name, name, "config.json"])
            if rng.random() < 0.05:
                files.pop(name, None)
            elif name in files:
                try:
                    files[name] = damage(name, files[name], rng)
                except ValueError:  # it was damaged beyond parsing before
                    continue
        write(directory, files)
        working += works(directory)
    return working


@contract
def test_hostile_directories_give_one_error_or_an_answer(tmp_path):
    """Four hundred damaged directories: an answer, or one line that names the file."""
    files = good_files(tmp_path)
    older = older_layout(files)
    apple = {**older, "config.json": as_json(APPLE)}
    for layout in (files, older):
        write(tmp_path, layout)
        assert works(tmp_path), "a good directory has to be good"
    working = fuzz(tmp_path, [files, older, files, older, apple], 400)
    assert 20 < working < 250, "the mutants are all alike, so this proves nothing"


@contract
@pytest.mark.parametrize("odd", range(len(ODDITIES)), ids=lambda i: repr(ODDITIES[i]))
def test_hostile_configurations_give_one_error_or_an_answer(tmp_path, odd):
    """Every value of every configuration, replaced by something odd, one at a time;
    each by half of the oddities, which is enough."""
    files = good_files(tmp_path)
    write(tmp_path, files)
    for name in ("config.json", "preprocessor_config.json", "generation_config.json"):
        document = json.loads(files[name])
        for path in list(nodes(document))[1 + odd % 2 :: 2]:
            changed = copy.deepcopy(document)
            find(changed, path[:-1])[path[-1]] = ODDITIES[odd]
            (tmp_path / name).write_bytes(as_json(changed))
            works(tmp_path)
        (tmp_path / name).write_bytes(files[name])


KINDS = {
    "gone": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nowhere": lambda path: path.symlink_to("not-downloaded"),
    "a list": lambda path: path.write_bytes(b"[1]"),
    "too deep": lambda path: path.write_bytes(b'{"a":' + b"[" * 10**5),
    "too large": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 16),
}


@contract
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_in_the_place_of_good_ones(tmp_path, kind):
    """Whatever stands where a file of the checkpoint should be is named in one line.

    A link that leads nowhere is half a download, never "no such file, go on without".
    """
    good = good_files(tmp_path)
    optional = {"generation_config.json", "tokenizer_config.json"}
    for layout in (good, older_layout(good)):
        for name in layout:
            write(tmp_path, {n: c for n, c in layout.items() if n != name})
            KINDS[kind](tmp_path / name)
            if not (kind == "gone" and name in optional):
                assert not works(tmp_path), f"{name} is {kind}, and nobody minds"


@contract
def test_hostile_directories_without_safetensors_say_what_to_do(tmp_path):
    """Nothing at all, or pickles only, is not opened; the message helps."""
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        refvlm.load(empty)
    files = good_files(tmp_path / "pickled")
    del files["model.safetensors"]
    write(tmp_path / "pickled", {**files, "pytorch_model.bin": b"\x80\x04."})
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin is a pickle"):
        refvlm.load(tmp_path / "pickled")


@contract
@pytest.mark.parametrize("path", ["", "a\0b", "a" * 5000, "\udcff", "nowhere"])
def test_hostile_names_of_directories_are_refused(path):
    """Names that no file system takes are no directory, like those that are free."""
    with pytest.raises(CheckpointError, match=r"not a directory|no config"):
        refvlm.load(path)


HUGE = {
    "a vocabulary of 10^9": {"text_config": {"vocab_size": 10**9}},
    "a vocabulary of 2^24": {"text_config": {"vocab_size": 1 << 24}},
    "10^6 layers": {"text_config": {"num_hidden_layers": 10**6}},
    "1024 layers": {"text_config": {"num_hidden_layers": 1024}},
    "10^5 blocks": {"vision_config": {"model_args": {"layers": [1000] * 64}}},
    "60000 blocks": {
        "vision_config": {
            "model_args": {
                "layers": [1000] * 60,
                "embed_dims": [64] * 60,
                "mlp_ratios": [4] * 60,
                "token_mixers": ["repmixer"] * 60,
                "downsamples": [True] * 60,
                "pos_embs": [False] * 60,
            },
        }
    },
    "65536 channels": {
        "vision_config": {"model_args": {"embed_dims": [1 << 16] * 5}},
    },
    "a context of 2^24": {"text_config": {"max_position_embeddings": 1 << 24}},
}


@contract
@pytest.mark.parametrize("claim", HUGE)
def test_hostile_claims_take_neither_memory_nor_time(tmp_path, claim):
    """A small file that claims a huge model is refused before anything is made."""
    files = good_files(tmp_path)
    config = json.loads(files["config.json"])
    for name, change in HUGE[claim].items():
        config[name] |= change
    config["vision_config"].pop("hidden_size")
    write(tmp_path, {**files, "config.json": as_json(config)})
    tracemalloc.start()
    try:
        answered = survives(tmp_path, ask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answered == (claim == "a context of 2^24")
    assert peak < 32 << 20
