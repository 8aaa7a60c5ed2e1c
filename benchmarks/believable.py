"""What cannot be in the records of one kind of processor, each fault in words.

A measurement that lies below its floor is wrong, or the floor is; either way it must
not be printed. So these checks stand before a record is written, before a page of the
book shows one, and in a test over all that are stored.
"""

from __future__ import annotations

import itertools
import math
import re

from . import counts, fits, roofline, rows
from .turns import QUIET

# Roofs and times come from different minutes, between which the clock of a processor
# and the load of its neighbours wander; roofs keep the best of several rounds, so what
# is left of that is a few hundredths. More than a tenth is a mistake.
TOLERANCE = 1.10
SPREAD = 0.5  # half of the rounds further apart than half a median: no measurement
# Walks through memory differ by what the processor does unasked: a line that is written
# is often read first (write-allocate), so a copy may move 3 bytes for 2 that count.
# Arrays of one size may also lie in one cache or not quite. None of it makes 4.
PROPORTION = 4
LEVELS = ("L2", "L3", "memory")
NEARER = 1.5  # one core may walk through L2 and L3 about as fast; not faster, farther
FALL = 60  # no memory is slower than a core's own cache by more
PARTS = ("flops", "bytes", "disturbance", "seconds", "better", "ratios")  # of a row
COLD = 0.25  # of its own roof is what any large product reaches, once it is warm
LARGE = 2 * 512**3  # FLOPs of a large product
COMMIT = re.compile("[0-9a-f]{7,40}( with changes)?")

WANTED = {
    "machine": (
        *("processor", "vendor", "family", "model", "stepping"),
        *("instructions", "cores", "caches"),
    ),
    "settings": ("threads", "kernels", "rounds"),
    "versions": ("python", "numpy", "BLAS", "refvlm"),
    **dict.fromkeys(("measured", "commit", "command", "disturbance"), ()),
}


def faults(records):
    """Everything that cannot be in {name: record} of one kind of processor."""
    found = []
    roofs = records.get("roofs")
    if not roofs and not all(map(counts.is_of_counts, records.values())):
        found.append("roofs: not recorded, so nobody knows the floors")
    if roofs and (wrong := [*identity(roofs), *roofs_out_of_proportion(roofs)]):
        found += [f"roofs: {fault}" for fault in wrong]
        roofs = None  # no floor can be built from them
    for name, record in records.items():
        own = disturbed(record)
        if name != "roofs":
            own += [*identity(record), *wrong_rows(record), *wrong_fits(record)]
            own += counts.faults(record)
            own += below_floor(record, roofs) if roofs else []
        found += [f"{name}: {fault}" for fault in own]
    return found


def identity(record):
    """What the record does not say about where it is from."""
    for part, names in WANTED.items():
        is_needless = part == "disturbance" and counts.is_of_counts(record)
        if record.get(part) is None and not is_needless:
            yield f"does not say its {part}"
        for name in names:
            if record.get(part) and record[part].get(name) is None:
                yield f"does not say its {part}'s {name}"
    told = record.get("commit")
    if told is not None and not COMMIT.fullmatch(told):
        yield f"does not say its commit, which {told!r} is not"


def disturbed(record):
    """Whether other programs took more of the machine than a measurement bears.

    The limit that a record names is not asked: a fault could lie in it, too.
    """
    parts = {"the run": record} | record.get("rows", {})
    return [
        f"{name} was disturbed: others took {part['disturbance']:.0%} of the machine"
        for name, part in parts.items()
        if (part.get("disturbance") or 0) > QUIET
    ]


def wrong_rows(record):
    """Times that are none, costs that are not said, ratios that do not follow."""
    for name, row in record.get("rows", {}).items():
        missing = [part for part in PARTS if part not in row]
        if missing:
            yield f"{name} does not say its {' and '.join(missing)}"
        if "seconds" in missing:
            continue
        times = {who: time for who, time in row["seconds"].items() if time}
        wrong = [who for who, time in times.items() if not is_timing(time)]
        if wrong:
            yield f"{name}: the time of {' and '.join(wrong)} is none"
        elif row.get("better") != rows.better(times) or not same(
            row.get("ratios"), rows.ratios(row["seconds"])
        ):
            yield f"{name}: its ratios do not follow from its times"


def wrong_fits(record):
    """Growth with size that does not follow from the times of the sizes."""
    for sweep, fit in record.get("fits", {}).items():
        swept = [row for row in record["rows"].values() if row["sweep"] == sweep]
        for threads, told in fit["threads"].items():
            times = {
                row["size"]: row["seconds"]["refvlm"]["median"]
                for row in swept
                if str(row["threads"]) == threads
            }
            exponent = fits.power(list(times), list(times.values()))["exponent"]
            if not math.isclose(told["power"]["exponent"], exponent, abs_tol=1e-6):
                where = f"{sweep}, threads {threads}"
                yield f"{where}: its exponent is not that of its times"


def is_timing(time):
    """A positive median, and rounds that agree on it more or less."""
    return 0 < time["median"] < math.inf and 0 <= time["spread"] <= SPREAD


def is_rate(rate):
    """A positive number, and rounds that are some distance apart, or none."""
    return 0 < rate["value"] < math.inf and rate["spread"] >= 0


def same(ratios, expected):
    """The same names, and the same numbers where there are numbers."""
    return (
        ratios is not None
        and ratios.keys() == expected.keys()
        and all(
            a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-6)
            for a, b in ((ratios[who], expected[who]) for who in ratios)
        )
    )


def below_floor(record, roofs):
    """Times less than operations and bytes need, which are shares above the roof."""
    found, threads = [], record.get("settings", {}).get("threads", 1)
    for name, row in record.get("rows", {}).items():
        if not {"flops", "bytes", "seconds"} <= row.keys():
            continue
        floor = roofline.floor(row, roofs, row.get("threads", threads))
        found += [
            f"{name}: {who}'s {time['median']:.3g} s lie below the floor of "
            f"{floor:.3g} s, a share of {floor / time['median']:.0%} of the roof"
            for who, time in row["seconds"].items()
            if time and 0 < time["median"] * TOLERANCE < floor
        ]
    return found


def roofs_out_of_proportion(roofs):
    """Rates that contradict each other, or count what was never moved."""
    products, walks = (
        roofs.get(part, {}).get("1", {}) for part in ("products", "walks")
    )
    if not products or not all(walks.get(level) for level in LEVELS):
        yield "have no products, or no walks through L2, L3 and memory, on one thread"
        return
    none = [name for name, rate in rates(roofs) if not is_rate(rate)]
    if none:  # nothing can be compared with them
        yield from (f"{name} is no rate" for name in none)
        return
    for name, rate in rates(roofs):
        if rate.get("bytes", 0) > rate.get("working_set", math.inf):
            yield f"{name} counts more bytes than its arrays hold"
    for threads, walks in roofs["walks"].items():
        yield from _walks(walks, "1 thread" if threads == "1" else f"{threads} threads")
        yield from _places(walks, roofs["machine"]["caches"])
    yield from _cold(roofs)


def _walks(walks, threads):
    best = {level: max(r["value"] for r in walks[level].values()) for level in walks}
    for level, rates_there in walks.items():
        for name, rate in rates_there.items():
            if rate["value"] * PROPORTION < best[level]:
                yield (
                    f"{name} in {level} on {threads}, {rate['value']:.3g} GB/s, is out "
                    f"of proportion with the {best[level]:.3g} GB/s of another"
                )
    levels = list(best)  # from near to far
    for near, far in itertools.pairwise(levels):
        if best[far] > NEARER * best[near]:
            yield f"{far} is faster than {near} on {threads}"
        if best[far] * FALL < best[near]:
            yield f"{far} is {best[near] / best[far]:.0f} times slower than {near}"


def _places(walks, caches):
    for level, rates_there in walks.items():
        size = max(rate["working_set"] for rate in rates_there.values())
        if level in caches and size > caches[level]:
            yield f"{size} bytes do not lie in {level}"
        if level == "memory" and size < 2 * caches.get("L3", 0):
            yield f"{size} bytes may lie in L3, not in memory"


def _cold(roofs):
    for threads, products in roofs["products"].items():
        for name, rate in products.items():
            if rate["flops"] >= LARGE:
                took = rate["flops"] / rate["value"] / 1e9
                share = roofline.floor(rate, roofs, int(threads)) / took
                if share < COLD:
                    yield (
                        f"the product {name} on {threads} runs at {share:.0%} of its "
                        "roof: it was cold, or disturbed"
                    )


def rates(roofs):
    """(name, rate) of every rate in the record of the roofs; none in other records."""
    for threads, products in roofs.get("products", {}).items():
        for name, rate in products.items():
            yield f"product {name}, threads {threads}", rate
    for threads, levels in roofs.get("walks", {}).items():
        for level, walks in levels.items():
            for name, rate in walks.items():
                yield f"{name} in {level}, threads {threads}", rate
    for name, rate in roofs.get("functions", {}).items():
        yield f"functions: {name}", rate
