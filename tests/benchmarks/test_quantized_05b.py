"""What benchmarks/quantized_05b.py counts, and what it times."""

from __future__ import annotations

import numpy as np
import pytest

import refvlm
from benchmarks import believable, quantized_05b, rows
from benchmarks import quantized_05b_worker as worker
from refvlm import checkpoint, pretrained, quantize

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


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A directory with two layers, as narrow as groups of 64 may be."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50}
    document = worker.DOCUMENT | sizes | heads
    monkeypatch.setattr(worker, "DOCUMENT", document)
    monkeypatch.setattr(worker, "CONFIG", worker.Qwen2Config.from_json(document))
    worker.write(tmp_path / "qwen2")
    return tmp_path / "qwen2"


@law
def test_the_worker_says_what_the_model_says(small):
    """And writes nothing that is there."""
    before = (small / "model.safetensors").stat().st_mtime_ns
    worker.write(small)
    assert (small / "model.safetensors").stat().st_mtime_ns == before
    said = refvlm.load(small).generate(np.array([[1, 2, 3]]), 5)
    for is_half in (False, True):
        answer = worker.Worker(small, is_half).text([1, 2, 3], 4)
        assert answer["tokens"] == said[0].tolist()
        assert answer["prompt"] > 0 and answer["token"] > 0


@law
def test_a_table_in_half_is_what_a_quantised_directory_has(small, tmp_path):
    """The embedding, and nothing but it."""
    pretrained.quantize(small, tmp_path / "few", "nf4")
    name = "model.embed_tokens.weight"
    loaded = refvlm.load(tmp_path / "few").weights
    ours = worker.Worker(small, is_half=True).model.weights
    assert isinstance(loaded.tensor(name), quantize.Half)
    assert [n for n in ours if isinstance(ours.tensor(n), quantize.Half)] == [name]
    assert ours.tensor(name).nbytes == loaded.tensor(name).nbytes == 2 * 50 * 64
    np.testing.assert_array_equal(ours[name], loaded[name])


@law
@pytest.mark.parametrize("scheme", quantized_05b.SCHEMES)
def test_bits_are_those_of_the_report(small, tmp_path, scheme):
    """One meaning of a weight's bits: what the file holds, code books and all."""
    report = pretrained.quantize(small, tmp_path / "few", scheme)
    found = quantized_05b.contents(small, tmp_path / "few")
    assert found["bits_of_packed"] == report.bits
    assert found["packed_weights"] == sum(layer.numbers for layer in report.layers)
    assert found["bytes"] == report.bytes_after


@example
def test_a_scheme_is_compared_with_both():
    """And float32 with a table in half with float32 alone."""
    answers = {
        who: [{"prompt": at, "token": 10 * at}]
        for at, who in enumerate(["float32", "half table", "int4"], 1)
    }
    row = quantized_05b.times_of("token", "int4", answers)
    assert row == {"refvlm": [30], "float32": [10], "half table": [20]}
    row = quantized_05b.times_of("prompt", "half table", answers)
    assert row == {"refvlm": [2], "float32": [1]}
    assert quantized_05b.times_of("prompt", "float32", answers) == {"refvlm": [1]}


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
