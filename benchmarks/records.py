"""Records on disk: complete with where they are from, believable, and compared.

benchmarks/results/KIND/NAME.json holds one benchmark on one kind of processor. Nothing
is written without `--record`, nothing that cannot be, and nothing of a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib.util import find_spec
from pathlib import Path

from refvlm.parallel import cores

from . import believable, counts, identity, turns
from .turns import QUIET, ROOT, RefusedError

RESULTS = Path(__file__).parent / "results"
BETTER, WORSE, REFUSED, INTERRUPTED = 0, 1, 2, 130  # exit statuses
NOISE = 0.03  # a difference that even two quiet runs have


def benchmark(
    name, measure, text, names, arguments=None, rounds=5, needs=(), more=(), timed=True
):
    """Run one benchmark as a command; its exit status.

    `measure(options)` gives the record's own part: "versions", and rows, or rates with
    their "disturbance". `text` is a docstring, `names(options)` are those of all rows,
    `needs` the modules of opponents, and `more` adds arguments to the parser. What is
    not `timed` has no floors, and needs no roofs.
    """
    parser = parser_of(text, rounds)
    parser.add_argument("--threads", type=positive, default=cores())
    parser.add_argument("--only", default="", help="rows with this in their names")
    parser.add_argument("--into", type=Path, default=RESULTS, help=argparse.SUPPRESS)
    for add in more:
        add(parser)
    options = parser.parse_args(arguments)
    options.command = command(name, parser, options)
    wait = True
    try:
        beforehand(name, options, names(options), needs, timed)
        return conclude(name, options, measure(options))
    except RefusedError as reason:
        print(f"refused: {reason}")
        return REFUSED
    except KeyboardInterrupt:
        wait = False  # for answers that nobody wants
        print("interrupted")
        return INTERRUPTED
    finally:
        for peer in list(turns.LIVING):
            peer.close(wait)


def beforehand(name, options, names, needs=(), timed=True):
    """Refuse what cannot end well, before anything is measured."""
    installed(needs)
    if options.record and options.only:
        raise RefusedError("--only is not the whole, and cannot be recorded")
    if not any(options.only in each for each in names):
        raise RefusedError(
            f"no row has {options.only!r} in its name: {', '.join(names)}"
        )
    folder = identity.kind(identity.machine(), options.kernels)
    there = load_all(RESULTS / folder) | load_all(options.into / folder)
    makes_roofs = name == "roofs" and options.threads == cores()
    if options.record and timed and not makes_roofs and "roofs" not in there:
        raise RefusedError(
            f"no roofs are recorded for {folder}, and so nobody knows the floors: "
            "python -m benchmarks.roofs --record"
        )


def installed(needs):
    """Refuse to go on without these modules."""
    missing = [module for module in needs if not find_spec(module)]
    if missing:
        raise RefusedError(
            f"{' and '.join(missing)} not installed: requirements-oracles.txt says how"
        )


def positive(text):
    """A number of rounds or threads."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def parser_of(text, rounds=5):
    """The flags that all benchmarks share, one by one or in turn."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=positive, default=rounds)
    parser.add_argument(
        "--kernels",
        choices=("native", "avx2", "given"),
        default="native",
        help="native: each library picks its instructions; avx2: all are held to "
        "AVX2; given: the environment as it is",
    )
    parser.add_argument(
        "--record", action="store_true", help="write what was measured, if believable"
    )
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
    if not counts.is_of_counts(record):
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
    if options.record and faults:
        raise RefusedError("it is not believable")
    if options.record:
        write_all(options.into / folder, {name: record}, options.into == RESULTS)
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
    return {file.stem: load(file) for file in sorted(folder.glob("*.json"))}


def load(file):
    """One record; refused where it cannot be read, or lacks what is compared."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        list(figures(record))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RefusedError(f"{file} is damaged: {error!r}") from error
    return record


def write_all(folder, records, aloud=True):
    """Write {name: record} whole or not at all, the roofs first, and say where."""
    paths = [folder / f"{name}.json" for name in sorted(records, key=_roofs_first)]
    unfinished = {path.with_suffix(".unfinished"): path for path in paths}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for beside, path in unfinished.items():
            text = json.dumps(records[path.stem], indent=1) + "\n"
            beside.write_text(text, encoding="utf-8")
        for beside, path in unfinished.items():
            os.replace(beside, path)
    except OSError as error:
        raise RefusedError(f"it could not be written: {error}") from error
    finally:
        for beside in unfinished:
            beside.unlink(missing_ok=True)
    for path in paths if aloud else ():
        print(f"wrote {os.path.relpath(path, ROOT)}")


def _roofs_first(name):
    return name != "roofs", name


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
    yield from counts.figures(record)
    for name, rate in believable.rates(record):
        is_rate = not name.startswith("functions")
        yield name, (rate["value"], rate["spread"], is_rate)
