"""The spec of the command: what it prints, where, and how it exits."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import cli

from . import tiny
from .spec import contract, law


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "noise.png"
    pixels = np.random.RandomState(0).randint(0, 256, (90, 140, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "refvlm", *map(str, arguments)],
        capture_output=True,
        timeout=120,
        **options,
    )


@law
def test_describe_prints_what_the_model_says(model, picture):
    """The text on standard output is that of `vlm.describe`, and nothing else."""
    done = run("describe", picture, "--model", model, "--max-new-tokens", 8)
    assert done.returncode == 0, done.stderr
    vlm = refvlm.load(model)
    expected = vlm.describe(str(picture), max_new_tokens=8)
    assert done.stdout.decode().strip() == expected.strip()
    assert done.stderr == b""


@law
def test_describe_reads_standard_input(model, picture):
    """`-` is the picture on standard input, and gives the same answer."""
    named = run("describe", picture, "--model", model, "--max-new-tokens", 4)
    piped = run(
        *("describe", "-", "--model", model, "--max-new-tokens", 4),
        input=picture.read_bytes(),
    )
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout == named.stdout


@law
def test_describe_json_is_one_object(model, picture, capsys):
    """--json prints the text, the prompt and the measured times, as one object."""
    options = ["--model", str(model), "--max-new-tokens", "5", "--prompt", "What?"]
    status = cli.main(["describe", str(picture), "--json", *options])
    answer = json.loads(capsys.readouterr().out)
    assert status == 0
    assert answer["prompt"] == "What?"
    assert 1 <= answer["tokens"] <= 5
    assert answer["seconds_to_first_token"] > 0
    assert set(answer) == {
        *("text", "prompt", "tokens", "seconds_to_first_token", "tokens_per_second")
    }


@law
def test_describe_verbose_reports_on_standard_error(model, picture, capsys):
    """--verbose shows progress and times, and keeps standard output clean."""
    options = ["--model", str(model), "--max-new-tokens", "3", "--verbose"]
    assert cli.main(["describe", str(picture), *options]) == 0
    shown = capsys.readouterr().err
    bars = re.findall(r"looking at the picture \[(.*)\]", shown)
    assert {len(bar) for bar in bars} == {20} and bars[-1] == "#" * 20
    assert bars == sorted(set(bars), reverse=True), "the bar only grows"
    assert "time to first token" in shown and "tokens a second" in shown


@law
def test_shapes_prints_every_stage_without_running(model, capsys):
    """The table names the stages, their shapes, parameters and FLOPs, and the total."""
    assert cli.main(["shapes", str(model)]) == 0
    table = capsys.readouterr().out
    for word in ("stem", "stages.4", "final_conv", "projector", "layers", "lm_head"):
        assert word in table
    total = sum(array.size for array in tiny.random_tensors().values())
    running = sum(
        array.size for name, array in tiny.random_tensors().items() if "running" in name
    )
    assert f"{total - running:,}" in table


@contract
@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n1234"])
def test_describe_exits_1_on_a_bad_picture(model, content, tmp_path, capsys):
    """One line on standard error says what is wrong; nothing is printed."""
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    assert cli.main(["describe", str(path), "--model", str(model)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("refvlm: ") and shown.err.count("\n") == 1


@contract
def test_describe_exits_1_on_a_missing_model(picture, capsys):
    """A directory that is not there is bad input."""
    assert cli.main(["describe", str(picture), "--model", "nowhere"]) == 1
    assert "nowhere is not a directory" in capsys.readouterr().err


@contract
def test_describe_without_a_model_exits_2_and_says_what_to_do(picture, monkeypatch):
    """Until weights ship, the message asks for --model DIR."""
    monkeypatch.setattr(cli, "SHIPPED", picture.parent / "none")
    error = io.StringIO()
    monkeypatch.setattr(sys, "stderr", error)
    assert cli.main(["describe", str(picture)]) == 2
    assert "--model DIR" in error.getvalue()


@contract
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["describe"],
        ["describe", "a.png", "--max-new-tokens", "0"],
        ["describe", "a.png", "--max-new-tokens", "many"],
        ["describe", "a.png", "--colour"],
    ],
)
def test_command_exits_2_on_wrong_usage(arguments, capsys):
    """Wrong usage is told apart from bad input."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


@contract
def test_describe_exits_1_when_the_context_is_too_short(model, picture, capsys):
    """More new tokens than the context holds is refused before anything is said."""
    options = ["--model", str(model), "--max-new-tokens", "600"]
    assert cli.main(["describe", str(picture), *options]) == 1
    assert "context of 512" in capsys.readouterr().err


@contract
def test_describe_stops_cleanly_when_interrupted(model, picture, monkeypatch, capsys):
    """Ctrl-C ends with one word and status 130, without a traceback."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("refvlm.pretrained.VLM.describe_stream", interrupt)
    assert cli.main(["describe", str(picture), "--model", str(model)]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"
