"""What a command writes: new files, in folders that can be written, and nothing else.

    describe, ask   --show-attention FILE    a picture, in the format of its suffix
    score           --json FILE              the counts
    train           --run DIR                the state and history of its own run
                    --out DIR                the finished model's files
    quantize        --out DIR                the model in few bits, a new folder
    remember,
    forget          --memory FILE            what is remembered

What is there already is never replaced, be it an input of the command or not; only a
run goes on in its own folder, and a memory in its own file. All of it is checked before
the work begins.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def new_file(text: str) -> Path:
    """A file that is not there yet, in a folder that takes it."""
    path = Path(text)
    if problem := _problem(path):
        raise argparse.ArgumentTypeError(problem)
    return path


def unkept(path: Path) -> str | None:
    """Why a file cannot be written again, or begun where there is none; None if it can.
    What its folder takes can be put there."""
    from ..checkpoint import write_protected

    place = Path(os.path.realpath(path))
    if not place.is_file():
        return _problem(place if path.is_symlink() else path)
    if write_protected(place):
        return f"{str(path)!r:.200} cannot be written: it is write-protected"
    if why := unwritable(place.parent):
        return f"{str(path)!r:.200} cannot be written: {why}"
    return None


def unread(path: Path) -> str | None:
    """Why there can be no such file; None if it is there, or could be."""
    if path.is_dir():
        return f"{str(path)!r:.200} is a folder: give the name of a file"
    return None if path.parent.is_dir() else f"there is no folder {str(path.parent)!r}"


def new_picture(text: str) -> Path:
    """The same, for a picture whose format its suffix tells."""
    path = new_file(text)
    if path.suffix.lower() not in FORMATS:
        raise argparse.ArgumentTypeError(
            f"a picture that ends in {', '.join(FORMATS)}, not {text!r:.200}"
        )
    return path


def _problem(path):
    name = repr(str(path))[:200]
    if path.is_dir():
        return f"{name} is a folder: give the name of a new file"
    if os.path.lexists(path):
        return f"{name} is there already: give another name, or take it away first"
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r:.200}"
    if why := unwritable(path.parent):
        return f"{name} cannot be written: {why}"
    return None


def unwritable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, or into the nearest one above it where
    it is still to be made; None if something can."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except FileNotFoundError:  # /proc, say
        return f"nothing can be made in {str(folder)!r:.200}"
    except OSError as problem:
        return f"{problem.strerror}: {str(folder)!r:.200}"
