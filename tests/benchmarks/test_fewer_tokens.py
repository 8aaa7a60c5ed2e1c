"""What benchmarks/fewer_tokens.py counts, and of which record it is refused."""

from __future__ import annotations

from copy import deepcopy

from benchmarks import believable, counts, fewer_tokens, merging, rows
from benchmarks import fewer_tokens_cases as cases
from benchmarks import fewer_tokens_worker as worker
from benchmarks.merging_worker import COSTS

from ..spec import contract, house, law
from . import recorded


def record(**shares):
    """One of one case, two rounds."""
    run = {"seed": None, "shares": shares or {"captions": [[3, 4], [4, 4]]}}
    case = {"model": "fastvlm-tiny", "keep": 8, "way": "norm", "runs": [run]}
    return deepcopy(recorded.SOURCE) | {
        "name": "fewer-tokens",
        "settings": {"threads": 1, "kernels": "native", "rounds": 2},
        "disturbance": None,
        "counts": {"fastvlm-tiny, 8 tokens, norm": case},
    }


@law
def test_what_times_nothing_needs_no_roofs():
    """A processor with counts alone has no floors, and a record of times wants them."""
    assert not believable.faults({"fewer-tokens": record()})
    both = {"fewer-tokens": record(), "operators": recorded.operators()}
    assert "roofs: not recorded" in believable.faults(both)[0]


@contract
def test_counts_without_bits_are_held_to_their_rounds():
    """One round of two is no record."""
    (told,) = believable.faults({"fewer-tokens": record(captions=[[3, 4]])})
    assert told.endswith("captions has 1 rounds of 2")
    (line, share) = counts.in_words("norm", record()["counts"][NAME])
    assert line == "norm" and "87.5 % (75.0 to 100.0)" in share


NAME = "fastvlm-tiny, 8 tokens, norm"


@law
def test_cases_are_every_way_and_every_number():
    """The whole models first, and no name twice."""
    names = fewer_tokens.names(None)
    assert names[0] == "fastvlm-tiny, all 16" and "clip-tiny, all 64" in names
    assert len(set(names)) == len(names)
    for model, (_, left) in cases.TOKENS.items():
        for way in cases.WAYS[model]:
            assert {f"{model}, {keep} tokens, {way}" for keep in left} <= set(names)


@house
def test_a_worker_counts_the_whole_and_a_part(monkeypatch):
    """With all tokens in any way it counts what the model gets right."""
    monkeypatch.setitem(worker.MODELS, "clip-tiny", {"pictures": 20})
    monkeypatch.setitem(worker.MODELS, "fastvlm-tiny", {"scenes": 2, "questions": 2})
    for model, (there, _) in cases.TOKENS.items():
        whole = worker.count(model, there, None, False, [31])
        assert whole == worker.count(model, there, "merged", False, [31])
        few = worker.count(model, 1, "merged", True, [31, 32])
        assert few.keys() >= {"captions"} or few.keys() >= {"zero-shot"}
        assert all(len(pairs) == 2 for pairs in few.values())


@law
def test_what_merging_spares_is_compared_with_what_it_takes():
    """A layer of 100 ms becomes one of 90, and the merge takes 1: a tenth of it."""
    took = {"layer of 576": 0.1, "layer of 553": 0.09, "merge 23": 0.001}
    table = {name: rows.row({"refvlm": [t]}, {}, 0.0) for name, t in took.items()}
    (line,) = merging.spared(table)
    assert line == "merge 23: 10% of what one layer is spared"
    assert took.keys() < COSTS.keys() and merging.SPARED.keys() < COSTS.keys()
