"""Every printed solution passes its own printed command, and zeros do not.

The exercises that agree in their options are marked together, a file each: starting
pytest takes longer than marking.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refvlm import ops

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

SIGNATURE = re.compile(r"`(?P<name>\w+)\((?P<parameters>[^`]*)\)`")
# Slips that an exercise tells its reader to make: in its solution the one for the
# other, and what the report then says.
TOLD = {
    "ex-conv-pool": (
        "least = -np.inf if x.dtype.kind == 'f' else np.iinfo(x.dtype).min",
        "least = 0",
        "It pads with zeros",
    ),
    "ex-linear-scatter": (
        "np.add.at(d_weight, input, d_out)",
        "d_weight[input] += d_out",
        "looked up twice only one use is kept",
    ),
    "ex-optim-adamw": (
        "mean / (size + eps)",
        "mean / np.sqrt(size**2 + eps)",
        "eps stands inside of the root",
    ),
}


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


def mended(name: str, printed) -> str:
    """The parameters that should have been printed, where others are; else ""."""
    of = name.removesuffix("_vjp")
    home = home_of(of, printed)
    if home is None:
        return ""  # another's function, such as `float(learning_rate)`
    ours, shown = parameters(getattr(home, of)), parameters(printed)
    if of == name:
        return "" if shown == ours else ", ".join(map(str, ours))
    names = ["d_out", "out", *(p.name for p in ours)]  # a derivative asks by name
    asked = [p.name for p in shown]
    fits = asked[0] == "d_out" and set(asked) <= set(names)
    return "" if fits else f"some of {', '.join(names)}"


def parameters(function) -> list[inspect.Parameter]:
    """With their defaults, and without what they are annotated with."""
    kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    of = inspect.signature(function).parameters.values()
    return [p.replace(annotation=empty, kind=kind) for p in of]


@pytest.mark.parametrize("exercise", CHECKED, ids=lambda e: e.label)
def test_a_check_prints_the_signatures_of_the_package(exercise):
    """The laws call by our names and rely on our defaults: so must the reader's."""
    faults = []
    for match in SIGNATURE.finditer(exercise.text):
        try:
            printed = eval(
                f"lambda {match['parameters']}: None", {"np": np, "ops": ops}
            )
        except SyntaxError:
            continue  # a call with values, such as `swapaxes(-1, -2)`
        if ours := mended(match["name"], printed):
            faults.append(f"{exercise.name}: {match[0]}, where refvlm has {ours}")
    assert faults == []


@pytest.mark.parametrize("label", TOLD)
def test_a_slip_that_the_reader_is_told_to_make_is_named(label, tmp_path):
    """The printed solution with that one change gets the sentence, and no other."""
    (exercise,) = (each for each in CHECKED if each.label == label)
    right, wrong, said = TOLD[label]
    source = exercise.solution
    assert source.count(right) == 1
    file = tmp_path / "mine.py"
    file.write_text(source.replace(right, wrong), encoding="utf-8")
    done = subprocess.run(
        [*PYTEST, f"--impl={file}", *exercise.check.options[2:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    for name in exercise.check.operators:
        _, _, told = done.stdout.partition(f"\n{name}: ")
        hints = " ".join(told.partition("  BREAKS  ")[0].split()).split("hint: ")[1:]
        assert len(hints) == 1 and said in hints[0], done.stdout


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
