"""LLaVA directories that were tampered with: one clear error, or an answer.

The damage is that of test_hostile.py; what is LLaVA's own is its three dialects, its
connectors, and a chat template that is a program.
"""

import json
import tracemalloc

import pytest

from . import llavas
from .spec import contract
from .test_hostile import as_json, ask, fuzz, survives, works, write


def good_files(directory, **changes):
    """name -> bytes of a directory that works."""
    llavas.write_checkpoint(directory, llavas.worded(**changes))
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    files["generation_config.json"] = as_json({"eos_token_id": [2, 7]})
    return files


@contract
def test_hostile_llava_directories_give_one_error_or_an_answer(tmp_path):
    """Two hundred and fifty damaged directories of three kinds, the template as a file
    of its own in one of them."""
    layouts = []
    for kind in ("llava", "llava_linear", "llava_queries"):
        directory = tmp_path / kind
        files = good_files(directory, model_type=kind, query_heads=4)
        if kind == "llava_linear":
            del files["chat_template.json"]
            files["chat_template.jinja"] = llavas.VICUNA.encode()
        write(directory, files)
        assert works(directory), "a good directory has to be good"
        layouts.append(files)
    working = fuzz(tmp_path / "llava", layouts, 250)
    assert 20 < working < 170, "the mutants are all alike, so this proves nothing"


HUGE = {
    "a vocabulary of 2^24": {"text_config": {"vocab_size": 1 << 24}},
    "1024 layers": {"text_config": {"num_hidden_layers": 1024}},
    "1024 blocks": {"vision_config": {"num_hidden_layers": 1024}},
    "8192 pixels": {"vision_config": {"image_size": 8192}},
    "65536 channels": {"vision_config": {"hidden_size": 1 << 16}},
    "64 layers side by side": {"vision_feature_layer": [-1] * 64},
    "65536 queries": {"model_type": "llava_queries", "query_tokens": 65536},
}


@contract
@pytest.mark.parametrize("claim", HUGE)
def test_hostile_llava_claims_take_neither_memory_nor_time(tmp_path, claim):
    """A small file that claims a huge model is refused before anything is made."""
    files = good_files(tmp_path)
    config = json.loads(files["config.json"])
    for name, change in HUGE[claim].items():
        config[name] = {**config[name], **change} if name[-6:] == "config" else change
    write(tmp_path, {**files, "config.json": as_json(config)})
    tracemalloc.start()
    try:
        assert not survives(tmp_path, ask)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20
