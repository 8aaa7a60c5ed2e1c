"""What benchmarks/quantized_05b.py counts, and what it times."""

from __future__ import annotations

import numpy as np
import pytest

import refvlm
from benchmarks import believable, quantized_05b, rows
from benchmarks import quantized_05b_worker as worker
from refvlm import checkpoint

from ..spec import example, house, law
from . import recorded


@pytest.fixture
def plain(tmp_path):
    """A matrix of 4 x 64, another that stays, and biases, in bfloat16."""
    bits = np.zeros((4, 64), np.uint16)
    tensors = {
        "a.weight": checkpoint.Raw("BF16", bits),
        "a.bias": checkpoint.Raw("BF16", bits[0, :4]),
        "embed.weight": checkpoint.Raw("BF16", bits),
    }
    (tmp_path / "plain").mkdir()
    checkpoint.save(tmp_path / "plain" / "model.safetensors", tensors)
    return tmp_path / "plain"


@example
def test_bits_are_counted_from_the_file(plain, tmp_path):
    """256 weights in 128 bytes of codes, and 4 scales of 32 bits: 4.5 bits each. The
    bias of the module is none of its codes."""
    there = tmp_path / "packed"
    there.mkdir()
    kept = quantized_05b.tensors(plain)
    bits = np.zeros(512, np.uint16)
    tensors = {
        "a.weight": np.zeros((128, 1), np.uint8),
        "a.weight.absmax": np.zeros(4, np.float32),
        "a.bias": checkpoint.Raw("BF16", bits[:4]),
        "embed.weight": checkpoint.Raw("BF16", bits[:256].reshape(4, 64)),
    }
    checkpoint.save(there / "model.safetensors", tensors)
    found = quantized_05b.contents(plain, there)
    assert found["packed_weights"] == 256 and found["weights"] == 516
    assert found["bits_of_packed"] == 8 * (128 + 16) / 256 == 4.5
    assert found["bits_of_all"] == (8 * 144 + 16 * 260) / 516
    assert found["bytes_of_tensors"] == 144 + 2 * 260
    assert found["bytes"] == (there / "model.safetensors").stat().st_size
    assert kept == {"a.weight": ("BF16", 4096), "a.bias": ("BF16", 64)} | {
        "embed.weight": ("BF16", 4096)
    }


@example
def test_a_plain_file_has_nothing_packed(plain):
    """All of it in sixteen bits."""
    found = quantized_05b.contents(plain, plain)
    assert found["packed_weights"] == 0 and found["bits_of_packed"] is None
    assert found["bits_of_all"] == 16


@law
def test_the_worker_says_what_the_model_says(tmp_path, monkeypatch):
    """Of two layers as narrow as they may be."""
    small = {
        "hidden_size": 28,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "vocab_size": 50,
    }
    document = worker.DOCUMENT | small
    monkeypatch.setattr(worker, "DOCUMENT", document)
    monkeypatch.setattr(worker, "CONFIG", worker.Qwen2Config.from_json(document))
    worker.write(tmp_path / "qwen2")
    before = (tmp_path / "qwen2" / "model.safetensors").stat().st_mtime_ns
    worker.write(tmp_path / "qwen2")
    assert (tmp_path / "qwen2" / "model.safetensors").stat().st_mtime_ns == before
    answer = worker.Worker(tmp_path / "qwen2").text([1, 2, 3], 4)
    said = refvlm.load(tmp_path / "qwen2").generate(np.array([[1, 2, 3]]), 5)
    assert answer["tokens"] == said[0].tolist()
    assert answer["prompt"] > 0 and answer["token"] > 0


@house
def test_the_rows_can_be_believed():
    """With the cost of each, and times that have been seen."""
    table = {}
    for name in quantized_05b.names(None):
        part = name.partition(",")[0]
        cost = quantized_05b.cost(part, {"bytes_of_tensors": 250_000_000})
        times = {"refvlm": [3.0] * 3, "float32": [2.0] * 3}
        table[name] = rows.row(times, cost, 0.0)
    record = recorded.SOURCE | {"rows": table}
    assert not believable.faults({"roofs": recorded.roofs(), "quantized-05b": record})
