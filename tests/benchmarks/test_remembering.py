"""What benchmarks/remembering.py lets learn, and what it counts."""

from __future__ import annotations

import argparse
import json
from copy import deepcopy

from benchmarks import believable, remembering
from benchmarks import remembering_cases as cases
from benchmarks import remembering_worker as worker
from refvlm.recipes.perfect_eye import counting, learning
from refvlm.train import running

from ..spec import example, house, law
from . import recorded


def record():
    """One that can be believed."""
    shares = {heading: [[8, 10], [9, 10]] for heading in remembering.TOLD}
    runs = [
        {"seed": seed, "seconds": 9.0, "shares": deepcopy(shares)} for seed in (1, 2, 3)
    ]
    case = {"learning": True, "parameters": 1000, "kept": 12288, "runs": runs}
    return deepcopy(recorded.SOURCE) | {
        "name": "remembering",
        "settings": {"threads": 1, "kernels": "native", "rounds": 2},
        "disturbance": None,
        "learning": {"seeds": [1, 2, 3]},
        "counts": {"memory": case},
    }


@law
def test_every_wiring_has_a_peak_and_a_folder():
    """None is left out, and none shares another's runs."""
    assert [*cases.PEAKS] == [*cases.STEPS] == [*cases.WIRINGS]
    assert len({cases.slug(wiring) for wiring in cases.WIRINGS}) == len(cases.WIRINGS)
    assert len({*cases.WIRINGS.values()}) == len(cases.WIRINGS)
    assert remembering.names(argparse.Namespace()) == [*cases.WIRINGS]
    assert {*cases.SHOWN} <= {*cases.WIRINGS}


@example
def test_a_memory_keeps_as_much_whatever_it_has_seen():
    """64 slots of 128 numbers and their covariance; a cache keeps two codes of each of
    four pictures."""
    assert worker.describe("memory")["kept"] == 64 * 128 + 64 * 64
    assert worker.describe("cache")["kept"] == 4 * 2 * 128
    assert worker.describe("last code")["kept"] == 128


@law
def test_a_record_of_it_is_believed_or_not():
    """As others that count."""
    good = record()
    assert not [*believable.faults({"roofs": recorded.roofs(), "remembering": good})]
    told = "\n".join(remembering.in_words("memory", good["counts"]["memory"]))
    assert "memory: 1,000 parameters, 12,288 numbers kept, 9 to 9 s" in told
    assert "order alone    85.0 % (85.0 to 85.0)" in told
    good["counts"]["memory"]["runs"].pop()
    (told,) = believable.faults({"roofs": recorded.roofs(), "remembering": good})
    assert "runs of [1, 2], not of [1, 2, 3]" in told


@house
def test_a_worker_learns_once_and_counts_once(tmp_path, monkeypatch):
    """A run of two steps is where it is, and its counts are kept."""
    known = learning.pool, learning._batch, counting.fresh
    monkeypatch.setattr(learning, "POOL", 400)
    for each in known:
        each.cache_clear()
    monkeypatch.setitem(worker.STEPS, "K 8", 2)
    monkeypatch.setattr(worker, "EPISODES", 3)
    monkeypatch.setattr(worker, "LENGTHS", (1, 5))
    asked = {"folder": str(tmp_path), "wiring": "K 8", "seed": 1}
    learnt = worker.learn(**asked)
    assert [len(curve) for curve in learnt["curves"].values()] == [1, 1, 1]
    assert worker.learn(**asked) == learnt
    (place,) = tmp_path.iterdir()
    assert place.name.startswith("k-8-") and (place / running.STATE).exists()
    shares = worker.count(**asked, seeds=[31])
    assert shares["all"] == [[shares["all"][0][0], 3 * 8]]
    assert {*remembering.TOLD} - {"content of 16"} <= {*shares}
    assert {"content of 5", "all, shuffled", "never written"} <= {*shares}
    for kept in place.glob("counted-*.json"):
        kept.write_text(json.dumps({"all": [1, 1]}))
    assert worker.count(**asked, seeds=[31]) == {"all": [[1, 1]]}
    monkeypatch.setitem(worker.SHOWN, "K 8", 3)
    shown = worker.show(**asked, scenes_seed=31)
    assert len(shown["likeness"]) == len(shown["questions"]) == 8
    for each in known:
        each.cache_clear()
