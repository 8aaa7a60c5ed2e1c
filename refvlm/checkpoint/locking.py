"""One writer at a time: whoever reads a file, changes what it says and writes it again
holds a lock from the reading to the writing.

The lock is a file beside it, `.NAME.lock`, that is there as long as it is held. Where
the system knows locks of its own (`fcntl`), it drops that of a program that died, and
what is left of the file stops nobody. Elsewhere the file itself is the lock.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PATIENCE = 60.0  # seconds
PAUSE = 0.02


@contextlib.contextmanager
def locked(path: str | Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a file, which need not be there yet; wait for it so many
    seconds."""
    place = Path(os.path.realpath(path))  # by whatever link it is known
    lock = place.with_name(f".{place.name}.lock")
    try:
        handle = _waited_for(path, lock, patience)
    except OSError as problem:
        raise CheckpointError(f"{path} cannot be written: {problem}") from None
    try:
        yield
    finally:
        if fcntl is None:  # Windows removes no file that is open
            os.close(handle)
            lock.unlink(missing_ok=True)
        else:
            lock.unlink(missing_ok=True)
            os.close(handle)


def _waited_for(path, lock, patience):
    end = time.monotonic() + patience
    while True:
        if (handle := _taken(lock)) is not None:
            return handle
        if time.monotonic() > end:
            raise CheckpointError(
                f"{path} is being written by another program, for {patience:.0f} "
                "seconds already: nothing was saved. Do it again when that has ended. "
                f"If nothing is running that writes it, remove {lock}"
            )
        time.sleep(PAUSE)


def _taken(lock):
    """A handle of the file that is the lock, or None where another holds it."""
    flags = os.O_RDWR | os.O_CREAT
    if fcntl is None:
        try:
            return os.open(lock, flags | os.O_EXCL, 0o600)
        except FileExistsError:
            return None
    handle = os.open(lock, flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(lock)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass  # another has it, or had it and took the file away
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None
