"""All benchmarks in turn, and what is worse than recorded on this kind of processor.

    python -m benchmarks [FOLDER] [--record]

FOLDER holds FastVLM-0.5B's checkpoint and those of some towers, or will (5 GB); without
it only what needs none is measured. The exit status is 1 when something is worse. With
`--record`, what was measured is written once all of it is there, and is believable
together with what else is recorded.
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
    ("merging", False, ()),
    ("sampling", False, ()),
    ("integer_products", False, ()),
    ("beams", False, ()),
    ("tokenizing", False, ()),
    ("train_step", False, ()),
    ("train_step", False, ("--threads", "1")),
    ("microvlm_full", False, ()),
    ("encoders", True, ()),
    ("fastvlm_05b", True, ()),
    ("quantized_05b", True, ()),
    ("scaling", True, ()),
)


def main(arguments=None):
    """Run everything; the exit status."""
    parser = records.parser_of(__doc__, rounds=None)
    parser.add_argument("folder", type=Path, nargs="?")
    options = parser.parse_args(arguments)
    folder = identity.kind(identity.machine(), options.kernels)
    staged = Path(tempfile.mkdtemp(prefix="benchmarks-"))
    is_kept = False
    try:
        beforehand(options, records.RESULTS / folder)
        worst = run(options, staged)
        if options.record and worst in (records.BETTER, records.WORSE):
            keep(staged / folder, records.RESULTS / folder)
            is_kept = True
        return worst
    except records.RefusedError as reason:
        print(f"refused: {reason}")
        return records.REFUSED
    except KeyboardInterrupt:
        print("interrupted")
        return records.INTERRUPTED
    finally:
        if options.record and not is_kept and any(staged.rglob("*.json")):
            print(f"what was measured, and not recorded, lies in {staged}")
        else:
            shutil.rmtree(staged)


def turns(options):
    """(module, further arguments) of what is asked for."""
    for name, needs_checkpoint, more in TURNS:
        if options.folder or not needs_checkpoint:
            yield importlib.import_module(f"benchmarks.{name}"), more


def beforehand(options, folder):
    """Refuse the whole where a part would be refused for what is known."""
    for module, _ in turns(options):
        records.installed(getattr(module, "NEEDS", ()))
    records.load_all(folder)
    if not options.folder:
        left_out = [name for name, needs_checkpoint, _ in TURNS if needs_checkpoint]
        print(f"without a FOLDER for the checkpoint: no {' and no '.join(left_out)}")


def run(options, staged):
    """Every benchmark in turn, recording what can be into `staged`; the status."""
    flags = ["--record", "--into", str(staged), "--kernels", options.kernels]
    if options.rounds:
        flags += ["--rounds", str(options.rounds)]
    statuses = {}
    for module, more in turns(options):
        words = [*flags, *more]
        if hasattr(module, "add_folder"):
            words.insert(0, str(options.folder))
        name = " ".join([module.__name__.rpartition(".")[2], *more])
        print(f"\n{len(statuses) + 1}: benchmarks.{name}", flush=True)
        statuses[name] = module.main(words)
        if statuses[name] == records.INTERRUPTED:
            return records.INTERRUPTED
    return summary(statuses)


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
    new = records.load_all(staged)
    faults = believable.faults(records.load_all(folder) | new)
    for fault in faults:
        print(f"cannot be: {fault}")
    if faults:
        raise records.RefusedError("nothing was recorded")
    records.write_all(folder, new)


if __name__ == "__main__":
    sys.exit(main())
