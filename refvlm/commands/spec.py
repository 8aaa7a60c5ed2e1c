"""`spec`: the laws that every operator keeps, held against this package or a file."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from ..terminal import complain
from .status import BAD_USAGE

PACKAGE = Path(__file__).parents[1]


def add_spec(commands):
    """The parser of `spec`."""
    spec = commands.add_parser(
        "spec",
        help="check the laws of the operators, or your own functions against them",
        description="Run the executable specification with pytest, against recorded "
        "answers of PyTorch, or live ones where it is installed.",
    )
    spec.add_argument(
        "--impl", metavar="FILE", help="hold the laws against the functions of a file"
    )
    spec.add_argument(
        "--contracts",
        action="store_true",
        help="with --impl: check the error messages too",
    )
    spec.add_argument(
        "--laws", action="store_true", help="print the laws as sentences; run nothing"
    )
    spec.add_argument(
        "-k", metavar="WORDS", help="only the tests that match, as in pytest"
    )
    spec.set_defaults(run=_spec)


def _spec(options) -> int:
    if not all(map(importlib.util.find_spec, ("pytest", "hypothesis"))):
        complain("refvlm: the spec is run by pytest: pip install 'refvlm[spec]'")
        return BAD_USAGE
    folder, plugin, top = _where()
    arguments = ["-q", "-p", plugin, "-p", "no:cacheprovider", "--rootdir", str(folder)]
    arguments += [f"--impl={options.impl}"] if options.impl else []
    arguments += ["--contracts"] if options.contracts else []
    arguments += ["--laws"] if options.laws else []
    arguments += ["-k", options.k] if options.k else []
    command = [sys.executable, "-P", "-m", "pytest", *arguments, str(folder)]
    path = os.pathsep.join(filter(None, [str(top), os.environ.get("PYTHONPATH")]))
    return subprocess.call(command, env={**os.environ, "PYTHONPATH": path})


def _where() -> tuple[Path, str, Path]:
    """The folder of the spec, its plugin, and the folder that both are imported from:
    inside a wheel, or beside a checkout."""
    if (PACKAGE / "spec").is_dir():
        return PACKAGE / "spec", "refvlm.spec.plugin", PACKAGE.parent
    return PACKAGE.parent / "tests", "tests.plugin", PACKAGE.parent
