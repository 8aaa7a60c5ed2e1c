"""`spec`: the laws that every operator keeps, held against this package or a file."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from ..terminal import complain
from .status import BAD_INPUT, BAD_USAGE, GOOD

PACKAGE = Path(__file__).parents[1]


def add_spec(commands):
    """The parser of `spec`."""
    spec = commands.add_parser(
        "spec",
        help="check the laws of the operators, or your own functions against them",
        description="Run the executable specification with pytest, against recorded "
        "answers of PyTorch, or live ones where it is installed.",
        epilog="Exit status: 0 every law holds, 1 a law is broken, 2 wrong usage: no "
        "such file, no operator in it, or no law that was asked for.",
    )
    spec.add_argument(
        "--impl",
        metavar="FILE",
        action="append",
        default=[],
        help="hold the laws against the functions of a file; may be given again",
    )
    spec.add_argument(
        "--contracts",
        action="store_true",
        help="with --impl: check the error messages too",
    )
    spec.add_argument(
        "--tracebacks",
        action="store_true",
        help="with --impl: show where in the file each law broke",
    )
    spec.add_argument(
        "--laws", action="store_true", help="print the laws as sentences; run nothing"
    )
    spec.add_argument(
        "-k", metavar="WORDS", help="only the tests that match, as in pytest"
    )
    spec.add_argument(
        "-m",
        metavar="KINDS",
        help='only laws of these kinds, as in "example or law": '
        "example, law, oracle, derivative, contract",
    )
    spec.set_defaults(run=_spec)


def _spec(options) -> int:
    if not all(map(importlib.util.find_spec, ("pytest", "hypothesis"))):
        complain("refvlm: the spec is run by pytest: pip install 'refvlm[spec]'")
        return BAD_USAGE
    for option in ("contracts", "tracebacks"):
        if getattr(options, option) and not options.impl:
            complain(f"refvlm spec: --{option} does nothing without --impl FILE")
            return BAD_USAGE
    folder, plugin, top = _where()
    arguments = ["-q", "-p", plugin, "-p", "no:cacheprovider", "--rootdir", str(folder)]
    arguments += [f"--impl={file}" for file in options.impl]
    arguments += ["--contracts"] if options.contracts else []
    arguments += ["--tracebacks"] if options.tracebacks else []
    arguments += ["--laws"] if options.laws else []
    arguments += ["-k", options.k] if options.k else []
    arguments += ["-m", options.m] if options.m else []
    command = [sys.executable, "-P", "-m", "pytest", *arguments, str(folder)]
    path = os.pathsep.join(filter(None, [str(top), os.environ.get("PYTHONPATH")]))
    status = subprocess.call(command, env={**os.environ, "PYTHONPATH": path})
    return {0: GOOD, 1: BAD_INPUT}.get(status, BAD_USAGE)  # pytest has six


def _where() -> tuple[Path, str, Path]:
    """The folder of the spec, its plugin, and the folder that both are imported from:
    inside a wheel, or beside a checkout."""
    if (PACKAGE / "spec").is_dir():
        return PACKAGE / "spec", "refvlm.spec.plugin", PACKAGE.parent
    return PACKAGE.parent / "tests", "tests.plugin", PACKAGE.parent
