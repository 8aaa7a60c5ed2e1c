"""The spec of refvlm/checkpoint/locking.py: one writer at a time, among programs."""

import subprocess
import sys
import time

import pytest

from refvlm.checkpoint import CheckpointError, locking
from refvlm.checkpoint.locking import locked

from ..spec import contract, law

COUNT = """
import sys, time
from pathlib import Path
from refvlm.checkpoint.locking import locked
file = Path(sys.argv[1])
for _ in range(20):
    with locked(file):
        old = int(file.read_text()) if file.exists() else 0
        time.sleep(0.01)
        file.write_text(str(old + 1))
"""
HOLD = """
import sys, time
from refvlm.checkpoint.locking import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@law
def test_no_program_overwrites_what_another_wrote(tmp_path):
    """Three count to twenty in one file, of which there is none at first."""
    file = tmp_path / "count"
    command = [sys.executable, "-c", COUNT, str(file)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [each.wait() for each in running] == [0, 0, 0]
    assert file.read_text() == "60"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


@law
@pytest.mark.parametrize("has_fcntl", [True, False])
def test_a_lock_is_of_the_file_by_whatever_link(tmp_path, monkeypatch, has_fcntl):
    """With the system's own locks and without; it is free again afterwards."""
    if not has_fcntl:
        monkeypatch.setattr(locking, "fcntl", None)
    file, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(file)
    refused = pytest.raises(CheckpointError, match=r"by another.*\.file\.lock$")
    with locked(file), refused, locked(link, patience=0.1):
        pass
    with pytest.raises(KeyboardInterrupt), locked(link, patience=0.1):
        raise KeyboardInterrupt
    with locked(file, patience=0.1):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


@law
def test_a_program_that_died_holds_no_lock(tmp_path):
    """What is left of it stops nobody, where the system has locks."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "file")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holding:
        assert holding.stdout.readline() == b"held\n"
        holding.kill()
    assert (tmp_path / ".file.lock").exists()
    start = time.monotonic()
    with locked(tmp_path / "file"):
        assert time.monotonic() - start < 5


@contract
def test_a_place_that_takes_no_lock_is_one_clear_error(tmp_path):
    """A folder that is not there, say."""
    refused = pytest.raises(CheckpointError, match="file cannot be written")
    with refused, locked(tmp_path / "none" / "file"):
        pass
