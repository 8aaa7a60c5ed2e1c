"""A small machine whose records can be believed, to be spoilt one number at a time."""

import copy

from benchmarks import rows

SOURCE = {
    "command": "python -m benchmarks.roofs",
    "measured": "2026-01-02",
    "commit": "0123456789",
    "machine": {
        "processor": "AMD EPYC",
        "vendor": "AuthenticAMD",
        "family": 25,
        "model": 1,
        "stepping": 1,
        "instructions": "AVX2",
        "cores": 2,
        "caches": {"L1d": 1 << 15, "L2": 1 << 19, "L3": 1 << 25},
    },
    "settings": {"threads": 2, "kernels": "native", "rounds": 5},
    "versions": {"python": "3.11", "numpy": "2.4", "BLAS": "o", "refvlm": "0.1"},
    "disturbance": 0.02,
    "disturbance_limit": 0.05,
}
PLACES = {"L2": 1 << 18, "L3": 1 << 23, "memory": 1 << 29}


def product(n, gflops):
    """The rate of a square product."""
    counted = {"flops": 2 * n**3, "bytes": 12 * n**2}
    return {"value": gflops, "spread": 0.02, **counted}


def walk(place, gigabytes):
    """The rate of a walk through arrays in one place."""
    size = PLACES[place]
    return {"value": gigabytes, "spread": 0.02, "bytes": size, "working_set": size}


def walks(**rates):
    """place -> walks, from place -> (read, copy, add)."""
    return {
        place: {
            name: walk(place, rate)
            for name, rate in zip(("read", "copy", "add"), given)
        }
        for place, given in rates.items()
    }


def roofs():
    """80 and 160 GFLOP/s; 60, 50 and 20 GB/s."""
    return copy.deepcopy(SOURCE) | {
        "name": "roofs",
        "products": {
            "1": {"512 x 512 x 512": product(512, 80.0)},
            "2": {
                "512 x 512 x 512": product(512, 120.0),
                "2048 x 2048 x 2048": product(2048, 160.0),
            },
        },
        "walks": {
            "1": walks(L2=(45, 60, 55), L3=(40, 50, 48), memory=(19, 20, 18)),
            "2": walks(L3=(80, 90, 95), memory=(26, 25, 30)),
        },
        "functions": {"exp": {"value": 1.5, "spread": 0.1}},
    }


def row(flops, size, **medians):
    """A row of times in seconds, as the benchmarks make it."""
    answers = {who: [time] * 3 if time else None for who, time in medians.items()}
    return rows.row(answers, {"flops": flops, "bytes": size}, 0.02)


def operators(**table):
    """A record with these rows, or with one."""
    usual = row(2 * 10**9, 10**7, refvlm=0.016, contiguous=0.02, channels_last=0.018)
    return copy.deepcopy(SOURCE) | {"name": "operators", "rows": table or {"a": usual}}
