"""The spec of `quantize`: a model in fewer bits (refvlm/commands/quantizing.py)."""

import errno
import signal
import subprocess
import sys
import tempfile
import time

import pytest

import refvlm
from refvlm import cli, pretrained, terminal
from refvlm.commands import quantizing
from refvlm.pretrained.quantizing import NAMES

from ..pretrained.test_quantizing import write
from ..spec import contract, example, law


def run(*arguments):
    return cli.main(["quantize", *map(str, arguments)])


@example
def test_quantize_says_what_became_smaller_and_what_was_lost(tmp_path, capsys):
    """The new folder on standard output; bytes and decibels on standard error."""
    out = tmp_path / "fewer"
    assert run("fastvlm-tiny", "--scheme", "nf4", "--out", out) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    first, heading, *worst = said.err.splitlines()
    assert first.startswith("27 matrices in 4.54 bits a weight, scales and code")
    assert first.endswith("56 %") and heading.startswith("the largest errors")
    assert len(worst) == 3 and worst[0].startswith("   19.66 dB  model.multi_modal_pr")
    refvlm.load(out)


@law
def test_quantize_offers_every_scheme_that_there_is():
    """The parser's list, which is there before NumPy is imported, is the list."""
    assert tuple(quantizing.SCHEMES) == NAMES


@law
def test_quantize_tells_of_matrices_that_stay(tmp_path, capsys):
    """Rows that no group divides are named, and how many more there are."""
    source = write(tmp_path / "float")
    assert run(source, "--scheme", "int4", "--out", tmp_path / "out") == 0
    told = capsys.readouterr().err
    assert "as they are: model.layers.0.mlp.down_proj and 1 more, whose rows" in told


@law
def test_quantize_tells_on_a_narrow_terminal_what_is_done(tmp_path):
    """The name goes before the work does."""
    said = []
    pretrained.quantize(write(tmp_path / "a"), tmp_path / "b", "nf4", None, said.append)
    assert terminal.fitting(said[0], 39) == "0 of 14  packing"


@law
def test_quantize_mixes_within_a_budget(tmp_path, capsys):
    """--budget is the most that a weight may take."""
    source = write(tmp_path / "float")
    options = "--scheme", "mixed", "--out", tmp_path / "out", "--budget", "5.5"
    assert run(source, *options) == 0
    bits = float(capsys.readouterr().err.split(" in ")[1].split(" bits")[0])
    assert 5 < bits <= 5.5


@contract
@pytest.mark.parametrize(
    "options",
    [
        ["--scheme", "nf4"],
        ["--out", "x"],
        ["--scheme", "int5", "--out", "x"],
        ["--scheme", "mixed", "--out", "x", "--budget", "four"],
        ["--scheme", "mixed", "--out", "x", "--budget", "nan"],
        ["--scheme", "mixed", "--out", "x", "--budget", "0"],
    ],
)
def test_quantize_refuses_wrong_usage(options, capsys):
    """What cannot be meant is refused before anything is opened."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["quantize", "fastvlm-tiny", *options])
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


@contract
def test_quantize_refuses_a_budget_for_what_has_its_own(tmp_path, capsys):
    """nf4 has four bits and its scales, whoever wishes for fewer."""
    options = "--scheme", "nf4", "--out", tmp_path / "x", "--budget", "3"
    assert run("fastvlm-tiny", *options) == 2
    assert "--budget is for mixed" in capsys.readouterr().err


@contract
def test_quantize_says_in_one_line_what_is_wrong(tmp_path, capsys):
    """A folder that is there, one that is not, a model that is none: status 1."""
    source = write(tmp_path / "float")
    (tmp_path / "there").mkdir()
    wrong = {
        "is there already": (source, tmp_path / "there"),
        "there is no folder": (source, tmp_path / "a" / "b"),
        "is not a directory": (tmp_path / "nowhere", tmp_path / "x"),
        "has no config.json": (tmp_path / "there", tmp_path / "x"),
    }
    for message, (model, out) in wrong.items():
        assert run(model, "--scheme", "int8", "--out", out) == 1
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float", "there"]


@contract
def test_quantize_refuses_a_folder_that_takes_nothing(tmp_path, capsys, monkeypatch):
    """A read-only folder is told before the work begins. (Root may write anywhere, so
    that the system's answer is given in its place.)"""

    def refused(dir):
        raise PermissionError(errno.EACCES, "Permission denied", dir)

    source, closed = write(tmp_path / "float"), tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert run(source, "--scheme", "int8", "--out", closed / "x") == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().err
    assert not list(closed.iterdir())


@contract
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_quantize_leaves_nothing_when_it_is_interrupted(tmp_path, name):
    """Ctrl-C, or a batch system's end, takes the hidden folder away; status 130."""
    source = write(tmp_path / "float")
    program = (
        "import sys, time\n"
        "from refvlm import checkpoint, cli\n"
        "def slow(*given):\n"
        "    print('saving', flush=True)\n"
        "    time.sleep(60)\n"
        "checkpoint.save = slow\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    options = ["quantize", source, "--scheme", "nf4", "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell's background job hands down that SIGINT is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == b"saving\n"
    assert any(path.name.endswith(".partial") for path in tmp_path.iterdir())
    process.send_signal(getattr(signal, name))
    started = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130 and told.strip() == b"interrupted"
    assert time.monotonic() - started < 20
    assert [path.name for path in tmp_path.iterdir()] == ["float"]
