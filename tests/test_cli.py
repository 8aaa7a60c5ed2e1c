"""The spec of the command: what it prints, where, and how it exits."""

import io
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import cli
from refvlm.pretrained import shipped

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
    assert b"cut at --max-new-tokens 8" in done.stderr
    assert done.stderr.count(b"\n") == 1


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
        *("text", "prompt", "finished", "confidence", "notices"),
        "seed",
        *("tokens", "seconds_to_first_token", "tokens_per_second"),
    }
    assert 0 < answer["confidence"] <= 1


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
def test_describe_refuses_a_model_that_does_not_speak(picture, capsys):
    """A CLIP can be opened and has no words: one line says so."""
    model = shipped.shipped("clip-tiny")
    assert cli.main(["describe", str(picture), "--model", str(model)]) == 1
    told = capsys.readouterr().err
    assert "holds a CLIP, which has no words" in told and told.count("\n") == 1


@contract
def test_describe_without_a_model_exits_2_and_says_what_to_do(picture, monkeypatch):
    """Where the weights are not beside the package, it asks for --model DIR."""
    monkeypatch.setattr(shipped, "PLACES", (picture.parent / "none",))
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
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["describe", "a.png", "b.png", "c.png"], "one picture at a time, not 'b.png'"),
        (["describe", "a.png", "--max-new-tokens", "9" * 20], "of at most 18 digits"),
    ],
)
def test_command_says_what_is_too_much(arguments, message, capsys):
    """A shell makes many names of one star; and of a number it is said how long."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@contract
def test_describe_exits_1_when_the_context_is_too_short(model, picture, capsys):
    """More new tokens than the context holds is refused before anything is said."""
    options = ["--model", str(model), "--max-new-tokens", "600"]
    assert cli.main(["describe", str(picture), *options]) == 1
    assert "context of 512" in capsys.readouterr().err


@contract
@pytest.mark.parametrize("moment", ["looking", "speaking"])
def test_describe_stops_cleanly_when_interrupted(moment, picture, tmp_path):
    """Ctrl-C while the picture is encoded, or while the answer comes, ends at once
    with one word and status 130, and without a traceback."""
    config = json.loads(json.dumps(tiny.CONFIG))
    config["text_config"] |= {"max_position_embeddings": 1 << 20, "eos_token_id": 263}
    tiny.write_checkpoint(tmp_path, config)
    if moment == "looking":
        large = {"size": {"shortest_edge": 2048}, "crop_size": 2048}
        path = tmp_path / "preprocessor_config.json"
        path.write_text(json.dumps({**tiny.PREPROCESSOR, **large}))
    options = ["--model", tmp_path, "--max-new-tokens", "500000", "--verbose"]
    running = subprocess.Popen(
        [sys.executable, "-m", "refvlm", "describe", picture, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell's background job hands down that SIGINT is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    (running.stderr if moment == "looking" else running.stdout).read1(10)
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert error.endswith(b"interrupted\n") and b"Traceback" not in error
    assert out.endswith(b"\n") or not out


@contract
def test_command_stops_cleanly_when_interrupted_at_once():
    """Ctrl-C while it is still being imported: one word, and status 130."""
    program = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "refvlm.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_module("refvlm", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.returncode == 130
    assert (done.stdout, done.stderr) == (b"", b"interrupted\n")


def with_streams(shell, *arguments, **environment):
    """Run the command by a shell that does something to its streams."""
    command = ["bash", "-c", f'"$0" -m refvlm "$@" {shell}; exit ${{PIPESTATUS[0]}}']
    return subprocess.run(
        [*command, sys.executable, *map(str, arguments)],
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
    )


@contract
@pytest.mark.parametrize("options", [[], ["--json"], ["--help"]])
def test_describe_does_not_mind_a_reader_who_leaves(model, picture, options):
    """`| head -c 1` has read enough: no traceback, not even at Python's end."""
    arguments = ["describe", picture, "--model", model, "--max-new-tokens", 200]
    done = with_streams("| head -c 1", *arguments, *options)
    assert done.returncode == 0 and done.stderr == b""


@contract
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_describe_says_that_the_disk_is_full(model, picture, options):
    """What cannot be written is one line and status 1."""
    arguments = ["describe", picture, "--model", model, "--max-new-tokens", 2]
    done = with_streams(">/dev/full", *arguments, *options)
    assert done.returncode == 1
    said = b"refvlm: standard output: No space left on device\n"
    assert done.stderr == said


@contract
@pytest.mark.parametrize("option", ["--version", "--help"])
def test_command_says_that_its_own_words_were_not_written(option):
    """What only is printed counts as well."""
    done = with_streams(">/dev/full", option)
    assert done.returncode == 1
    assert done.stderr == b"refvlm: standard output: No space left on device\n"


@contract
@pytest.mark.parametrize("shell", ["<&-", "</dev/null", "<&- >&-", "<&- 2>&-"])
def test_describe_without_standard_input_is_bad_input(model, shell):
    """Closed or empty, it holds no picture; whatever else is closed stays silent."""
    done = with_streams(shell, "describe", "-", "--model", model)
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.count(b"\n") == (0 if "2>" in shell else 1)


@law
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_describe_writes_to_a_terminal_of_ascii(model, picture, options):
    """What an old terminal cannot show becomes `?`, or JSON's `\\u00e9`."""
    arguments = ["describe", picture, "--model", model, "--max-new-tokens", 40]
    done = with_streams(
        "", *arguments, "--prompt", "café?", *options, PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    if options:
        assert json.loads(done.stdout)["prompt"] == "café?"


@contract
@pytest.mark.parametrize(
    "arguments, message",
    [
        ([b"caf\xe9.png"], b"'caf\\udce9.png'"),
        ([b"a\x1b[2J\nb.png"], b"'a\\x1b[2J\\nb.png'"),
        (["-", "--prompt", b"caf\xe9"], b"not valid Unicode"),
        (["/dev/null"], b"is empty"),
        (["."], b"is a directory"),
    ],
)
def test_describe_names_odd_arguments_in_one_line(model, arguments, message):
    """Names that could steer a terminal are written out; nothing else is printed."""
    done = subprocess.run(
        [sys.executable, "-m", "refvlm", "describe", "--model", model, *arguments],
        capture_output=True,
        timeout=120,
        input=b"",
    )
    assert done.returncode == 1 and done.stdout == b""
    assert message in done.stderr
    assert done.stderr.decode()[:-1].isprintable() and done.stderr.endswith(b"\n")


@contract
def test_describe_names_an_odd_model_in_one_line(capsys):
    """The same for the name of a model."""
    assert cli.main(["describe", "a.png", "--model", "no\x1b[2J\nwhere"]) == 1
    assert capsys.readouterr().err.startswith("refvlm: no\\x1b[2J\\nwhere is not")


@contract
def test_describe_json_prints_nothing_on_an_error(model, capsys):
    """Half an object would be worse than none."""
    assert cli.main(["describe", "none.png", "--json", "--model", str(model)]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and "there is no file 'none.png'" in shown.err


@contract
def test_describe_ends_its_line_before_an_error(model, picture, monkeypatch, capsys):
    """What was said so far stays a line of its own; the error follows it."""

    def stream(*_, **__):
        yield 72, "Hello"
        raise ValueError("then it broke")

    monkeypatch.setattr("refvlm.pretrained.VLM.describe_stream", stream)
    assert cli.main(["describe", str(picture), "--model", str(model)]) == 1
    shown = capsys.readouterr()
    assert shown.out == "Hello\n" and shown.err == "refvlm: then it broke\n"


@law
def test_command_tells_its_version(capsys):
    """--version prints it and exits 0."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"refvlm {refvlm.__version__}\n"


@law
def test_describe_first_token_waits_for_the_picture(model, picture, monkeypatch):
    """The time to the first token begins before the picture is looked at."""
    clock = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("refvlm.pretrained.VLM.describe_stream", slow_stream(clock))
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    cli.main(["describe", str(picture), "--model", str(model), "--json"])
    answer = json.loads(shown.getvalue())
    assert answer["seconds_to_first_token"] >= 100
    assert answer["tokens_per_second"] == 1.0 and answer["tokens"] == 2


def slow_stream(clock):
    def stream(*_, **__):
        for _ in range(100):  # a picture takes its time
            next(clock)
        yield 72, "a"
        yield 73, "b"
        yield -1, ""

    return stream
