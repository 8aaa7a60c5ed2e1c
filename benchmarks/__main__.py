"""All benchmarks in turn, and what is worse than recorded on this kind of processor.

    python -m benchmarks [FOLDER] [--record]

FOLDER holds FastVLM-0.5B's checkpoint, or will (2.5 GB); without it only what needs
none is measured. The exit status is 1 when something is worse. With `--record`, what
was measured is written once all of it is there, and is believable together with what
else is recorded.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from pathlib import Path

from . import believable, identity, records

TURNS = (  # module, whether it needs the checkpoint, further arguments
    ("roofs", False, ()),
    ("operators", False, ()),
    ("train_step", False, ()),
    ("train_step", False, ("--threads", "1")),
    ("fastvlm_05b", True, ()),
    ("scaling", True, ()),
)


def main(arguments=None):
    """Run everything; the exit status."""
    parser = records.parser_of(__doc__)
    parser.set_defaults(rounds=None)
    parser.add_argument("folder", type=Path, nargs="?")
    options = parser.parse_args(arguments)
    staged = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    flags = ["--record", "--into", str(staged), "--kernels", options.kernels]
    if options.rounds:
        flags += ["--rounds", str(options.rounds)]
    statuses = {}
    for module, needs_checkpoint, more in TURNS:
        if needs_checkpoint and not options.folder:
            print(f"without a FOLDER for the checkpoint {module} is left out")
            continue
        words = [*([str(options.folder)] if needs_checkpoint else []), *flags, *more]
        name = " ".join([module, *more])
        print(f"\n{len(statuses) + 1}: benchmarks.{name}", flush=True)
        statuses[name] = importlib.import_module(f"benchmarks.{module}").main(words)
    worst = summary(statuses)
    if options.record:
        kind = identity.kind(identity.machine(), options.kernels)
        worst = max(worst, keep(staged / kind, records.RESULTS / kind))
    shutil.rmtree(staged)
    return worst


def summary(statuses):
    """One line for each benchmark; the gravest status."""
    words = {
        records.BETTER: "no worse than recorded, or not recorded",
        records.WORSE: "WORSE than recorded, as said above",
        records.REFUSED: "refused, as said above",
    }
    print()
    for name, status in statuses.items():
        print(f"{name:30} {words[status]}")
    return max(statuses.values())


def keep(staged, folder):
    """Move the new records to their place, if all that then lie there is believable."""
    together = records.load_all(folder) | records.load_all(staged)
    faults = believable.faults(together)
    for fault in faults:
        print(f"cannot be: {fault}")
    if faults:
        print("refused: nothing was recorded")
        return records.REFUSED
    for name, record in records.load_all(staged).items():
        records.write(folder / f"{name}.json", record)
    return records.BETTER


if __name__ == "__main__":
    sys.exit(main())
