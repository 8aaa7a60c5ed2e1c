"""What cannot be is found: in made-up records, in the first one of this project, and
in none of those that are stored."""

import copy
import math

import pytest

from benchmarks import believable, records, rows

from ..spec import house, law
from . import recorded

TOWER = {"flops": 488_528_150_528, "size": 518_585_728}

# The record that this project once printed: a copy at the speed of its first touch, an
# addition of an array to itself counted as three arrays, products that were cold, no
# word on the processor, and rows during which others took half of the machine.
ONCE = {
    "measured": "2026-11-21",
    "machine": {
        "processor": "AMD EPYC",
        "cores": 2,
        "threads": 2,
        "kernels": "native",
        "python": "3.11.7",
    },
    "products": {"512": 13.43, "1024": 76.72, "2048": 189.39, "4096": 222.32},
    "memory": {"matrix @ vector": 28.78, "copy": 0.826, "add": 60.34},
}


def faults(**found):
    """All faults of the records, in one text."""
    return "\n".join(believable.faults(found))


@law
def test_a_quiet_and_warm_run_is_believed():
    """No check is so strict that an honest record fails it."""
    assert not faults(roofs=recorded.roofs(), operators=recorded.operators())


@house
def test_every_stored_record_is_believable():
    """What the book prints has passed every check."""
    kinds = list(records.RESULTS.glob("*/"))
    assert kinds
    for kind in kinds:
        assert not believable.faults(records.load_all(kind)), kind.name


@law
def test_the_first_record_is_refused_for_what_it_does_not_say():
    """Neither vendor nor family, no versions, no commit, nothing of disturbance."""
    said = faults(roofs=ONCE)
    for part in ("vendor", "family", "model", "stepping", "instructions", "caches"):
        assert f"does not say its machine's {part}" in said
    for part in ("versions", "commit", "command", "disturbance"):
        assert f"does not say its {part}" in said
    assert "no walks through L2, L3 and memory" in said


@law
def test_the_first_record_s_copy_is_out_of_proportion():
    """A first touch of 358 MB is not how fast they are copied."""
    roofs = recorded.roofs()
    rates = roofs["walks"]["2"]["memory"]
    for ours, theirs in zip(("read", "copy", "add"), ONCE["memory"].values()):
        rates[ours]["value"] = theirs
    assert "copy in memory on 2 threads, 0.826 GB/s, is out of proportion" in faults(
        roofs=roofs
    )


@law
def test_the_first_record_s_addition_counts_an_array_twice():
    """`np.add(flat, flat, out)` has two arrays, and three were counted."""
    roofs = recorded.roofs()
    array = 4 * 100_000 * 896
    add = {"value": 60.34, "bytes": 3 * array, "working_set": 2 * array}
    roofs["walks"]["2"]["memory"]["add"] |= add
    said = faults(roofs=roofs)
    assert "add in memory, threads 2 counts more bytes than its arrays hold" in said


@law
def test_the_first_record_s_products_were_cold():
    """512 x 512 at a sixteenth of what 4096 x 4096 gives was never warm."""
    roofs = recorded.roofs()
    roofs["products"]["2"] = {
        f"{n} x {n} x {n}": recorded.product(int(n), rate)
        for n, rate in ONCE["products"].items()
    }
    said = faults(roofs=roofs)
    assert "512 x 512 x 512 on 2 runs at 6% of its roof: it was cold" in said
    assert "2048 x 2048" not in said


@law
def test_the_first_record_s_tower_lies_below_its_floor():
    """At 222 GFLOP/s, 489 GFLOP take 2.2 s, and 1.9 were printed."""
    roofs = recorded.roofs()
    roofs["products"]["2"]["2048 x 2048 x 2048"]["value"] = 222.32
    tower = recorded.row(
        *TOWER.values(), refvlm=1.906, channels_last=2.184, contiguous=3.219
    )
    said = faults(roofs=roofs, operators=recorded.operators(tower=tower))
    assert "tower: refvlm's 1.91 s lie below the floor of 2.2 s" in said
    assert "channels_last" not in said


@law
def test_the_first_record_s_linear_layer_is_above_the_roof():
    """It reached 188 % of what the machine was said to do at most."""
    roofs = recorded.roofs()
    roofs["products"]["2"]["2048 x 2048 x 2048"]["value"] = 222.32
    cost = 2 * 288 * 896 * 4864, 4 * (288 * 896 + 896 * 4864 + 288 * 4864)
    linear = recorded.row(*cost, refvlm=6.02e-3, contiguous=13.01e-3)
    said = faults(roofs=roofs, operators=recorded.operators(linear=linear))
    assert "a share of 188% of the roof" in said


@law
@pytest.mark.parametrize("share", [0.485, 0.406, 0.513])
def test_the_first_record_s_rows_were_disturbed(share):
    """Half of the machine was somebody else's."""
    operators = recorded.operators()
    operators["rows"]["a"]["disturbance"] = share
    said = faults(roofs=recorded.roofs(), operators=operators)
    assert f"a was disturbed: others took {share:.0%} of the machine" in said


@law
def test_a_disturbed_run_is_named():
    """The whole run's share counts as a row's does."""
    said = faults(roofs=recorded.roofs() | {"disturbance": 0.06})
    assert said == "roofs: the run was disturbed: others took 6% of the machine"


@law
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda row: row["ratios"].update(pytorch=0.5), "do not follow"),
        (lambda row: row["ratios"].update(onnxruntime=0.5), "do not follow"),
        (lambda row: row.update(better="contiguous"), "do not follow"),
        (lambda row: row["seconds"]["refvlm"].update(median=0.0), "refvlm is none"),
        (lambda row: row["seconds"]["refvlm"].update(spread=0.9), "refvlm is none"),
        (lambda row: row.pop("flops"), "does not say its flops"),
        (lambda row: row.pop("bytes"), "does not say its bytes"),
    ],
)
def test_a_row_follows_from_its_times(change, fault):
    """Ratio, better form, times and costs are checked against each other."""
    operators = recorded.operators()
    change(operators["rows"]["a"])
    assert fault in faults(roofs=recorded.roofs(), operators=operators)


@law
def test_bytes_have_a_floor_too():
    """Half a gigabyte does not arrive in a millisecond; a megabyte from L2 does."""
    far = recorded.row(10**6, 5 * 10**8, refvlm=1e-3)
    near = recorded.row(10**6, 10**6, refvlm=1e-3)
    said = faults(roofs=recorded.roofs(), operators=recorded.operators(a=far, b=near))
    assert "a: refvlm's 0.001 s lie below the floor" in said
    assert "b: " not in said


@law
def test_memory_is_not_faster_than_caches_and_lies_where_it_says():
    """Levels are told apart by their sizes, and are in order."""
    roofs = recorded.roofs()
    roofs["walks"]["2"]["memory"] = recorded.walks(L3=(200, 190, 180))["L3"]
    said = faults(roofs=roofs)
    assert "memory is faster than L3 on 2 threads" in said
    assert "8388608 bytes may lie in L3, not in memory" in said


@law
def test_without_roofs_nothing_is_believed():
    """A time without its floor is not checked at all."""
    said = faults(operators=recorded.operators())
    assert said == "roofs: not recorded, so nobody knows the floors"


@law
def test_an_opponent_that_cannot_has_no_ratio():
    """`null` is an answer: the row stays, and is believed."""
    row = recorded.row(2 * 10**9, 10**7, refvlm=0.016, eager=0.02, onnxruntime=None)
    assert row["seconds"]["onnxruntime"] is None
    assert row["ratios"] == {"pytorch": pytest.approx(0.8), "onnxruntime": None}
    assert not faults(roofs=recorded.roofs(), operators=recorded.operators(a=row))


def product(roofs, value):
    """The rate of a large product that two threads share."""
    roofs["products"]["2"]["512 x 512 x 512"]["value"] = value


def fastest(level, value):
    """All walks of one thread through a level, at about this rate."""

    def change(roofs, share):
        for walk in roofs["walks"]["1"][level].values():
            walk["value"] = share * value

    return change


def walk(level, *parts):
    """Parts of how one thread copies in a level."""
    return lambda roofs, value: roofs["walks"]["1"][level]["copy"].update(
        dict.fromkeys(parts, value)
    )


SIZE = ("bytes", "working_set")
NAN = math.nan


@law
@pytest.mark.parametrize(
    ("change", "believed", "refused", "fault"),
    [
        (product, 0.26 * 160, 0.24 * 160, "on 2 runs at 24% of its roof"),
        (fastest("memory", 50), 1 / 59, 1 / 61, "memory is 61 times slower than L3"),
        (fastest("L3", 60), 1.45, 1.55, "L3 is faster than L2 on 1 thread"),
        (walk("memory", "value"), 19 / 3.9, 19 / 4.1, "is out of proportion"),
        (walk("L2", *SIZE), 1 << 19, (1 << 19) + 1, "524289 bytes do not lie in L2"),
        (walk("L3", *SIZE), 1 << 25, (1 << 25) + 1, "33554433 bytes do not lie in L3"),
        (walk("L2", "bytes"), 1 << 18, (1 << 18) + 1, "more bytes than its arrays"),
        (walk("L3", "spread"), 0.0, -0.1, "copy in L3, threads 1 is no rate"),
        (walk("L3", "value"), 45, NAN, "copy in L3, threads 1 is no rate"),
        (fastest("L3", 50), 1, 0, "copy in L3, threads 1 is no rate"),
        (product, 160, 0, "product 512 x 512 x 512, threads 2 is no rate"),
        (product, 160, math.inf, "product 512 x 512 x 512, threads 2 is no rate"),
        (
            lambda roofs, value: roofs["functions"]["exp"].update(value=value),
            *(1e-9, 0, "functions: exp is no rate"),
        ),
        (
            lambda roofs, size: [
                walk.update(working_set=size, bytes=1)
                for walk in roofs["walks"]["1"]["memory"].values()
            ],
            *(1 << 26, (1 << 26) - 1, "67108863 bytes may lie in L3, not in memory"),
        ),
        (
            lambda roofs, n: roofs["products"]["2"].update(
                small=recorded.product(n, 20)
            ),
            *(511, 512, "the product small on 2 runs at 12% of its roof"),
        ),
        (
            lambda roofs, walks: roofs["walks"]["1"].update(L3=walks),
            *(recorded.walks(L3=(40, 50, 48))["L3"], {}, "have no products, or no"),
        ),
        (
            lambda roofs, share: roofs.update(disturbance=share, disturbance_limit=0.5),
            *(0.05, 0.051, "the run was disturbed: others took 5%"),
        ),
        *[
            (lambda roofs, id: roofs.update(commit=id), good, bad, "say its commit")
            for good, bad in [
                ("0123abc", "0123ab"),
                (40 * "a", 41 * "a"),
                ("0123456789 with changes", "unknown with changes"),
                ("0123456789", "0123456789 with"),
                ("0123456789", "unknown"),
                ("0123456789", ""),
            ]
        ],
    ],
)
def test_roofs_are_refused_just_beyond_what_can_be(change, believed, refused, fault):
    """Each number is believed on this side of its limit, and on the other is not."""
    roofs = recorded.roofs()
    change(roofs, believed)
    assert not faults(roofs=roofs)
    change(roofs, refused)
    assert fault in faults(roofs=roofs)


def times(part):
    """A part of what is told of a row's time."""
    return lambda row, value: row["seconds"]["refvlm"].update({part: value})


@law
@pytest.mark.parametrize(
    ("change", "believed", "refused", "fault"),
    [
        (
            lambda row, took: row.update(
                recorded.row(2 * 10**9, 10**7, refvlm=took, contiguous=0.02)
            ),
            *(0.0125 / 1.09, 0.0125 / 1.11, "lie below the floor of 0.0125 s"),
        ),
        (times("spread"), 0.5, 0.51, "the time of refvlm is none"),
        (times("spread"), 0, -0.1, "the time of refvlm is none"),
        (times("median"), 0.016, math.inf, "the time of refvlm is none"),
        (times("median"), 0.016, NAN, "the time of refvlm is none"),
        (
            lambda row, off: row["ratios"].update(pytorch=0.016 / 0.018 * (1 + off)),
            *(5e-7, 2e-6, "its ratios do not follow from its times"),
        ),
        (
            lambda row, share: row.update(disturbance=share),
            *(0.05, 0.051, "a was disturbed: others took 5%"),
        ),
    ],
)
def test_rows_are_refused_just_beyond_what_can_be(change, believed, refused, fault):
    """A time, a ratio, and what others took, on both sides of their limits."""
    roofs, operators = recorded.roofs(), recorded.operators()
    change(operators["rows"]["a"], believed)
    operators["disturbance_limit"] = 0.5  # what a record allows itself is not asked
    assert not faults(roofs=roofs, operators=operators)
    change(operators["rows"]["a"], refused)
    assert fault in faults(roofs=roofs, operators=operators)


@law
def test_checking_changes_nothing():
    """A record is the same before and after."""
    stored = {"roofs": recorded.roofs(), "operators": recorded.operators()}
    before = copy.deepcopy(stored)
    believable.faults(stored)
    assert stored == before and rows.better({}) is None
