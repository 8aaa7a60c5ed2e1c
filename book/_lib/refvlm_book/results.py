"""What the benchmarks measured, as the chapters show it.

Nothing is timed while the book is built. `python -m benchmarks...` writes its results
to benchmarks/results/, one JSON file each, and the pages read them from there.
"""

from __future__ import annotations

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
COMMANDS = {
    "machine": "python -m benchmarks.machine",
    "operators": "python -m benchmarks.operators",
    "fastvlm": "python -m benchmarks.fastvlm_05b FOLDER",
    "train": "python -m benchmarks.train_step",
}
INSTRUCTIONS = {
    "native": "each library choosing its own instructions",
    "avx2": "all libraries held to AVX2",
    "given": "instructions as the environment has them",
}


def load(name: str) -> dict:
    """The document benchmarks/results/NAME.json."""
    file = RESULTS / f"{name}.json"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in RESULTS.glob("*.json")))
        command = COMMANDS.get(name.partition("-")[0], "a command of benchmarks/")
        raise FileNotFoundError(
            f"no result {name!r} in benchmarks/results (there are: {known or 'none'}); "
            f"to measure it: {command} --name {name}"
        )
    return json.loads(file.read_text(encoding="utf-8"))


def measured_on(result: dict) -> str:
    """Machine, versions and date of a result, in words."""
    machine = result["machine"]
    cores, threads = machine["cores"], machine["threads"]
    words = [
        machine["processor"],
        f"{cores} core{'s' * (cores != 1)}"
        + ("" if threads == cores else f", of which {threads} in use"),
    ]
    if "kernels" in machine:
        words.append(INSTRUCTIONS.get(machine["kernels"], machine["kernels"]))
    versions = {"Python": machine.get("python"), **result.get("versions", {})}
    words += [
        f"{_title(name)} {version}" for name, version in versions.items() if version
    ]
    disturbance = _disturbance(result)
    if disturbance is not None:
        words.append(f"other programs took at most {disturbance:.0%} of it")
    return "; ".join([*words, f"measured on {result['measured']}"])


def balance(machine: dict) -> float:
    """FLOPs that a machine can do while one byte arrives, by the result of
    benchmarks.machine: its fastest product over its fastest walk through memory.

    >>> balance({"products": {"256": 40.0, "512": 80.0}, "memory": {"copy": 20.0}})
    4.0
    """
    return max(machine["products"].values()) / max(machine["memory"].values())


def verdict(ratio: float) -> str:
    """A ratio of times in words: below 1, NumPy is faster.

    >>> verdict(0.5), verdict(1.25)
    ('is 2.0 times as fast', 'takes 1.25 times as long')
    """
    if ratio < 1:
        return f"is {1 / ratio:.1f} times as fast"
    return f"takes {ratio:.2f} times as long"


def _disturbance(result):
    """The largest share of the machine that others took, where it was recorded."""
    rows = result.get("rows", {}).values()
    noted = [part.get("disturbance") for part in (result, *rows)]
    return max((share for share in noted if share is not None), default=None)


def _title(name):
    return {"numpy": "NumPy", "torch": "PyTorch"}.get(name, name)
