"""`pytest --impl FILE` in a clone, where FILE lies elsewhere.

pytest takes the file for the place to start from. It then reads neither the clone's
settings nor its options, and ends with "unrecognized arguments: --impl". Where refvlm
is installed, pytest finds this module by the entry point in pyproject.toml, and begins
anew with the file joined to its option: `--impl=FILE` is no place to start from.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def pytest_load_initial_conftests(early_config, args) -> None:
    """pytest's hook, before it looks for options."""
    folder = Path(early_config.invocation_params.dir)
    clone = clone_of(folder)
    asked = [str(a) for a in early_config.invocation_params.args]
    joined = join_option(asked)
    if clone is None or joined == asked or early_config.rootpath == clone:
        return
    capture = early_config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    raise SystemExit(subprocess.call([sys.executable, "-m", "pytest", *joined]))


def join_option(arguments: list[str]) -> list[str]:
    """`--impl FILE` as `--impl=FILE`, wherever it stands."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--impl":
            joined[-1] = f"--impl={argument}"
        else:
            joined.append(argument)
    return joined


def clone_of(folder: Path) -> Path | None:
    """The clone of refvlm that a folder lies in, or None."""
    for place in (folder, *folder.parents):
        if (place / "tests" / "impl").is_dir() and (place / "refvlm" / "ops").is_dir():
            return place
    return None
