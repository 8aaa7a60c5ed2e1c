"""Every printed solution passes its own printed command, and zeros do not.

The exercises that agree in their options are marked together, a file each: starting
pytest takes longer than marking.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..impl.homes import home_of
from .exercises import Exercise, exercises
from .test_chapters import ROOT, chapters

CHECKED = [e for page in chapters() for e in exercises(page) if e.check]

# Instead of each operator, zeros as its result would be: of its shape and dtype.
ZEROS = """

def _zeros(value):
    if isinstance(value, (tuple, list)):
        return type(value)(map(_zeros, value))
    return np.zeros_like(value) if hasattr(value, "dtype") else type(value)()


def _instead(function):
    import functools

    @functools.wraps(function)
    def zeros(*arguments, **options):
        return _zeros(function(*arguments, **options))

    return zeros

"""
# As a reader has it, without PyTorch: recorded answers come sooner than live ones.
START = (
    "import sys; sys.modules['torch'] = None; import pytest; sys.exit(pytest.main())"
)
PYTEST = sys.executable, "-c", START, "-q", "-p", "no:cacheprovider"
OPERATOR = re.compile(r"^(?P<name>\w+): \d+ of \d+ ")
STATEMENT = re.compile(r"^  (?P<verdict>holds|BREAKS) +(?P<kind>[a-z]+) ")


def batches() -> list[list[Exercise]]:
    """Exercises with the same options together, and no operator twice."""
    together: list[list[Exercise]] = []
    for exercise in CHECKED:
        for batch in together:
            taken = {name for e in batch for name in e.check.operators}
            alike = batch[0].check.options[2:] == exercise.check.options[2:]
            if alike and taken.isdisjoint(exercise.check.operators):
                batch.append(exercise)
                break
        else:
            together.append([exercise])
    return together


def marked(batch: list[Exercise], folder: Path, zeros: bool) -> subprocess.Popen:
    """The commands of a batch as one: its files, its operators, its options."""
    files = []
    for exercise in batch:
        source = exercise.solution
        if zeros:
            names = exercise.check.operators
            source += ZEROS + "".join(f"{n} = _instead({n})\n" for n in names)
        path = folder / f"{exercise.label}.py"
        path.write_text(source, encoding="utf-8")
        files.append(f"--impl={path}")
    words = " or ".join(e.check.options[1] for e in batch)
    options = [*files, "-k", words, *batch[0].check.options[2:]]
    quick = set(batch[0].check.laws).difference(["law", "contract"])
    if zeros and quick:  # hypothesis takes long to fail
        options += ["-m", " or ".join(sorted(quick))]
    return subprocess.Popen(
        [*PYTEST, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def verdicts(report: str) -> dict[str, list[tuple[str, str]]]:
    """Of each operator, the verdict and the kind of every statement."""
    told: dict[str, list[tuple[str, str]]] = {}
    for line in report.splitlines():
        if match := OPERATOR.match(line):
            told[match["name"]] = current = []
        elif match := STATEMENT.match(line):
            current.append((match["verdict"], match["kind"]))
    return told


def test_every_chapter_has_six_exercises_two_of_them_marked():
    """Enough to practise on, and two that a program marks."""
    few = []
    for page in chapters():
        asked = exercises(page)
        marked_by_laws = sum(exercise.check is not None for exercise in asked)
        if len(asked) < 6 or marked_by_laws < 2:
            few.append(f"{page.name}: {len(asked)} exercises, {marked_by_laws} marked")
    assert few == []


@pytest.mark.parametrize("exercise", CHECKED, ids=lambda e: e.label)
def test_a_check_asks_for_functions_that_the_solution_has(exercise):
    """Each is one that `--impl` knows, and there is a hint for whoever is stuck."""
    source = exercise.solution
    for name in exercise.check.operators:
        assert home_of(name), f"--impl knows no {name}"
        assert f"def {name}(" in source
        if "derivative" in exercise.check.laws:
            assert f"def {name}_vjp(" in source
    assert exercise.hints, "no hint"


@pytest.mark.parametrize(
    "batch", batches(), ids=lambda b: "+".join(b[0].check.options[2:]) or "laws"
)
def test_printed_solutions_pass_their_own_commands(batch, tmp_path):
    """Every law of the asked kinds holds, there are some; zeros break some."""
    right, wrong = tmp_path / "right", tmp_path / "zeros"
    right.mkdir(), wrong.mkdir()
    running = marked(batch, right, zeros=False), marked(batch, wrong, zeros=True)
    report, of_zeros = (process.communicate()[0] for process in running)
    told, of_zeros = verdicts(report), verdicts(of_zeros)
    faults = []
    for exercise in batch:
        names = exercise.check.operators
        said = [line for name in names for line in told.get(name, [])]
        if any(verdict == "BREAKS" for verdict, _ in said):
            faults.append(f"{exercise.name}: the printed solution breaks a law")
        faults += [
            f"{exercise.name}: no {kind} of {' or '.join(names)} was asked"
            for kind in exercise.check.laws
            if kind not in {kind for _, kind in said}
        ]
        if not any("BREAKS" in v for name in names for v in of_zeros.get(name, [])):
            faults.append(f"{exercise.name}: zeros hold all the laws")
    assert not faults, "\n".join([*faults, report])
    assert running[0].returncode == 0, report
