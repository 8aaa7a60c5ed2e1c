"""The spec of `complete` and `perplexity` (refvlm/commands/completing.py)."""

import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

import refvlm
from refvlm import cli
from refvlm.commands import texts

from ..language_models import write
from ..spec import contract, law


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write(tmp_path_factory.mktemp("a model") / "gpt2", "gpt2")


def said(capsys, *arguments):
    """(standard output, standard error) of a command that goes well."""
    assert cli.main([*map(str, arguments)]) == 0
    return capsys.readouterr()


@law
def test_complete_prints_what_follows(capsys, model):
    """The model's own continuation, from an argument or from standard input."""
    expected = refvlm.load(model).complete("a red", 12)
    told = json.loads(
        said(
            capsys,
            "complete",
            "a red",
            "--model",
            model,
            "--max-new-tokens",
            12,
            "--json",
        ).out
    )
    assert told["text"] == expected and told["prompt"] == "a red"
    assert told["tokens"] <= 12 and told["seed"] is None


@law
def test_complete_draws_by_its_seed(capsys, model):
    """As describe does."""
    asked = "complete", "a red", "--model", model, "--max-new-tokens", 20
    asked += "--temperature", 2, "--seed", 3
    rng = np.random.default_rng(3)
    options = {"do_sample": True, "temperature": 2.0}
    text = refvlm.load(model).complete("a red", 20, rng=rng, **options)
    assert json.loads(said(capsys, *asked, "--json").out)["text"] == text


@law
def test_complete_reads_standard_input(capsys, model, monkeypatch):
    """Bytes in UTF-8, whatever the terminal speaks."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("né".encode())))
    asked = "complete", "-", "--model", model, "--max-new-tokens", 3
    told = json.loads(said(capsys, *asked, "--json").out)
    assert told["prompt"] == "né"


@law
def test_perplexity_is_that_of_the_model(capsys, model, tmp_path):
    """And bits a byte are the sum of its nats, shared among the bytes."""
    file, text = tmp_path / "some text.txt", "a red circle, né\n" * 9
    file.write_text(text, encoding="utf-8")
    told = json.loads(said(capsys, "perplexity", file, "--model", model, "--json").out)
    nats = refvlm.load(model).surprise(text)
    assert told["tokens"] == len(nats)
    assert told["perplexity"] == pytest.approx(math.exp(nats.mean()))
    bits = nats.sum() / math.log(2) / len(text.encode())
    assert told["bits_per_byte"] == pytest.approx(bits)
    out, _ = said(capsys, "perplexity", file, "--model", model)
    assert out.startswith(f"perplexity {told['perplexity']:.2f}: ")


@law
def test_perplexity_without_bounds_is_null(capsys, model, tmp_path, monkeypatch):
    """JSON has no infinity."""
    file = tmp_path / "some.txt"
    file.write_text("a red circle")
    nats = np.full(5, 1000.0, np.float32)
    monkeypatch.setattr(refvlm.pretrained.LanguageModel, "surprise", lambda *_: nats)
    out, _ = said(capsys, "perplexity", file, "--model", model, "--json")
    assert json.loads(out)["perplexity"] is None and "Infinity" not in out


@contract
@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "one token, or none"),
        (b"abc\xff", "is not a text in UTF-8: byte 3"),
        (b"x" * 40, "has more than 0 MiB of text"),
    ],
)
def test_a_file_that_is_no_text_is_told(
    capsys, model, tmp_path, monkeypatch, data, message
):
    """Nothing is computed of it."""
    if len(data) == 40:
        monkeypatch.setattr(texts, "LONGEST_TEXT", 39)
    file = tmp_path / "some.txt"
    file.write_bytes(data)
    assert cli.main(["perplexity", str(file), "--model", str(model)]) == 1
    assert message in capsys.readouterr().err


@contract
def test_a_model_that_sees_does_not_complete(capsys):
    """It describes; the families that complete are named."""
    for command in ("complete", "perplexity"):
        assert cli.main([command, __file__, "--model", "clip-tiny"]) == 1
        assert (
            "holds a CLIP, which does not go on from texts" in capsys.readouterr().err
        )


@contract
def test_what_does_not_complete_is_told_by_its_own_name(capsys):
    """And not by that of a class."""
    assert cli.main(["complete", "a", "--model", "microvlm-tiny"]) == 1
    assert "holds a MicroVLM-V, which does not go on" in capsys.readouterr().err


@contract
def test_a_terminal_is_no_text(capsys, model, monkeypatch):
    """Nobody is kept waiting for what nobody types."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    assert cli.main(["complete", "-", "--model", str(model)]) == 1
    assert "standard input is no text" in capsys.readouterr().err
