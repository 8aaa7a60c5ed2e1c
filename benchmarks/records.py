"""Records on disk: complete with where they are from, believable, and compared.

benchmarks/results/KIND/NAME.json holds one benchmark on one kind of processor. Nothing
is written without `--record`, nothing that cannot be, and nothing of a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from . import believable, identity
from .turns import QUIET, ROOT, RefusedError

RESULTS = Path(__file__).parent / "results"
BETTER, WORSE, REFUSED = 0, 1, 2  # exit statuses
NOISE = 0.03  # a difference that even two quiet runs have


def benchmark(name, measure, text, arguments=None, rounds=5, more=None):
    """Run one benchmark as a command; its exit status.

    `measure(options)` gives the record's own part: "versions", and rows, or rates with
    their "disturbance". `text` is a docstring, `more(parser)` adds arguments.
    """
    parser = parser_of(text, rounds)
    if more:
        more(parser)
    options = parser.parse_args(arguments)
    options.command = command(name, parser, options)
    try:
        return conclude(name, options, measure(options))
    except RefusedError as reason:
        print(f"refused: {reason}")
        return REFUSED


def parser_of(text, rounds=5):
    """The flags that all benchmarks share."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--kernels",
        choices=("native", "avx2", "given"),
        default="native",
        help="native: each library picks its instructions; avx2: all are held to "
        "AVX2; given: the environment as it is",
    )
    parser.add_argument("--only", default="", help="rows with this in their names")
    parser.add_argument(
        "--record", action="store_true", help="write what was measured, if believable"
    )
    parser.add_argument("--into", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    return parser


def command(name, parser, options):
    """The command that would measure the same again."""
    module = name.replace("-", "_")
    words = ["FOLDER"] if "folder" in options else []
    for flag in ("rounds", "threads", "kernels"):
        value = getattr(options, flag)
        if value != parser.get_default(flag):
            words += [f"--{flag}", str(value)]
    return " ".join(["python -m", f"benchmarks.{module}", *words])


def conclude(name, options, measured):
    """Complete the record, print what is worse and better, and write it if asked."""
    record = complete(name, options, measured)
    folder = identity.kind(record["machine"], options.kernels)
    name = record["name"]
    recorded, staged = load_all(RESULTS / folder), load_all(options.into / folder)
    roofs = {"roofs": recorded["roofs"]} if "roofs" in recorded else {}
    is_part = options.only and name == "roofs"  # and so no roof over anything
    together = {} if is_part else {**roofs, **staged, name: record}
    faults = believable.faults(together)
    print(f"other programs took at most {record['disturbance']:.1%} of the machine")
    for fault in faults:
        print(f"cannot be: {fault}")
    worse, better = compare(record, recorded.get(name))
    if name not in recorded:
        print(f"there is no record {folder}/{name} to compare with")
    for line in better:
        print(f"better than recorded: {line}")
    for line in worse:
        print(f"WORSE than recorded: {line}")
    if options.record and (faults or options.only):
        raise RefusedError(
            "it is not believable" if faults else "--only is not the whole"
        )
    if options.record:
        write(options.into / folder / f"{name}.json", record)
    return WORSE if worse else BETTER


def complete(name, options, measured):
    """The whole record: what, when, from which code, where, how, and the numbers.

    Its name says the threads where they are not all cores, unless `measured` has one.
    """
    threads, here = options.threads, identity.machine()
    usual = name if threads == here["cores"] else f"{name}-{threads}"
    measured = {"name": usual, **measured}
    versions = {"python": identity.python_version(), **measured.pop("versions")}
    table = measured.get("rows", {}).values()
    worst = max((row["disturbance"] for row in table), default=0.0)
    return {
        "name": measured.pop("name"),
        "command": options.command,
        "measured": time.strftime("%Y-%m-%d"),
        "commit": identity.commit(),
        "machine": here,
        "settings": {
            "threads": threads,
            "kernels": options.kernels,
            "rounds": options.rounds,
        },
        "versions": versions,
        "disturbance": measured.pop("disturbance", worst),
        "disturbance_limit": QUIET,
        **measured,
    }


def load_all(folder):
    """name -> record, for every record in a folder of one kind of processor."""
    files = sorted(folder.glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def write(path, record):
    """Write a record whole or not at all, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
    print(f"wrote {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


def compare(record, recorded):
    """What is worse and what is better than recorded, beyond the spreads of both.

    Ratios are compared where an opponent took part, since both moved with the machine;
    rates and times of refvlm alone where none did.
    """
    worse, better = [], []
    then = dict(figures(recorded)) if recorded else {}
    for name, (value, spread, is_rate) in figures(record):
        if name in then:
            before, other, _ = then[name]
            room = 1 + spread + other + NOISE
            line = f"{name}: {value:.3g}, recorded {before:.3g}, noise {room - 1:.0%}"
            if max(value / before, before / value) > room:
                (better if (value > before) == is_rate else worse).append(line)
    return worse, better


def figures(record):
    """(name, (value, spread, whether more is better)) of all that is compared."""
    for name, row in record.get("rows", {}).items():
        seconds = row["seconds"]
        median, spread = seconds["refvlm"]["median"], seconds["refvlm"]["spread"]
        known = {who: ratio for who, ratio in row["ratios"].items() if ratio}
        for who, ratio in known.items():
            other = seconds[row["better"] if who == "pytorch" else who]["spread"]
            yield f"{name}, ratio to {who}", (ratio, spread + other, False)
        if not known:
            yield f"{name}, seconds", (median, spread, False)
    for who, ratio in record.get("memory", {}).get("ratios", {}).items():
        yield f"memory, ratio to {who}", (ratio, 0.0, False)
    for name, rate in believable.rates(record):
        is_rate = not name.startswith("functions")
        yield name, (rate["value"], rate["spread"], is_rate)
