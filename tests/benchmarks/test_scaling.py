"""The spec of benchmarks/scaling.py: what is told of times that are known."""

from __future__ import annotations

import pytest

from benchmarks import believable, rows, scaling

from ..spec import example, law
from .recorded import SOURCE, roofs

SWEEP = scaling.Sweep("a model", "tokens", (10, 100, 1000), (0, 1, 2))
GIGA = 10**9


def found(seconds_each=1.0):
    """Rows of work that grows as size squared, and takes so many seconds a GFLOP.

    Two threads take 0.7 of it.
    """
    return {
        (size, threads): rows.row(
            {"refvlm": [seconds_each * share * size**2] * 3},
            {"flops": GIGA * size**2, "bytes": 4},
            0.0,
        )
        | {"sweep": "prompt", "size": size, "threads": threads}
        for size in SWEEP.sizes
        for threads, share in ((1, 1.0), (2, 0.7))
    }


def record(seconds_each=1.0):
    """The record of those rows."""
    measured = found(seconds_each)
    table = {scaling.row_name("prompt", *at): row for at, row in measured.items()}
    return SOURCE | {"rows": table, "fits": {"prompt": scaling.fit(SWEEP, measured)}}


@example
def test_fit_of_a_square():
    """Times and operations grow alike, bytes not at all, and only one term is there."""
    fitted = scaling.fit(SWEEP, found())
    for one in (*fitted["threads"].values(), fitted["theory"]["flops"]):
        assert one["power"]["exponent"] == pytest.approx(2)
        assert one["terms"]["crossings"] == {"0 and 1": None, "1 and 2": None}
    assert fitted["theory"]["bytes"]["power"]["exponent"] == pytest.approx(0)
    assert fitted["threads"]["2"]["terms"]["coefficients"]["2"] == pytest.approx(0.7)


@example
def test_every_row_says_its_sweep_size_and_threads():
    """Names are for people, and tell one thread from two."""
    assert scaling.row_name("token", 16, 1) == "token 16, 1 thread"
    assert scaling.row_name("token", 16, 2) == "token 16, 2 threads"


@law
def test_a_fit_must_follow_from_its_times():
    """An exponent that somebody has mended by hand is found."""
    sound = record()
    assert believable.faults({"roofs": roofs(), "scaling": sound}) == []
    sound["fits"]["prompt"]["threads"]["2"]["power"]["exponent"] = 1.9
    (fault,) = believable.faults({"roofs": roofs(), "scaling": sound})
    assert fault == "scaling: prompt, threads 2: its exponent is not that of its times"


@law
def test_the_floor_is_that_of_the_threads_that_worked():
    """80 GFLOP/s is all that one thread can, 160 two: 100 are too many, 143 not."""
    faults = believable.faults({"roofs": roofs(), "scaling": record(1 / 100)})
    assert len(faults) == len(SWEEP.sizes)
    assert all("1 thread: refvlm's" in fault for fault in faults)
