"""What benchmarks/quantization.py counts, and which of its records are refused."""

from __future__ import annotations

import argparse
import json
import re
from copy import deepcopy

import numpy as np
import pytest

import refvlm
from benchmarks import believable, counts, quantization, records
from benchmarks import quantization_cases as cases
from benchmarks import quantization_worker as worker
from refvlm.recipes import rounded
from refvlm.train import running
from refvlm.train.quantization_aware import with_rounded
from refvlm_book import results

from ..spec import contract, example, house, law
from . import recorded

KIND = "amd-epyc-25-1"


def case(learning=None, seeds=(None,), **shares):
    """A case of 4 bits a weight, with two rounds of captions in each run."""
    pairs = shares or {"captions": [[8, 10], [9, 10]]}
    held = {"losses": [], "bytes": 1000, "bits": 4.5, "sqnr": None}
    runs = [{"seed": s, **held, "shares": deepcopy(pairs)} for s in seeds]
    return {
        "model": "fastvlm-tiny",
        "scheme": "int4",
        "learning": learning,
        "runs": runs,
    }


def record():
    """One that can be believed."""
    learnt = case("rounded", [1, 2])
    return deepcopy(recorded.SOURCE) | {
        "name": "quantization",
        "settings": {"threads": 1, "kernels": "native", "rounds": 2},
        "disturbance": None,
        "learning": {"seeds": [1, 2]},
        "models": {"fastvlm-tiny": {"quantized": 1600}},
        "counts": {"published": case(), "learnt": learnt},
    }


@example
def test_a_summary_is_over_runs_or_over_scenes():
    """Two runs of 8 and 9, and 3 and 2 of 10: 85 and 25 %. One alone: 80 to 90 %."""
    one = case()
    assert counts.summary(one, "captions") == (0.85, 0.8, 0.9)
    two = case("rounded", [1, 2])
    two["runs"][1] = {"seed": 2, "shares": {"captions": [[3, 10], [2, 10]]}}
    assert counts.shares(two, "captions") == [0.85, 0.25]
    assert counts.summary(two, "captions") == pytest.approx((0.55, 0.25, 0.85))


@law
def test_a_record_of_counts_needs_no_quiet(tmp_path):
    """It is written whatever else the machine did, and the book can say where it is
    from; a record of times that does not say is refused."""
    good = {"roofs": recorded.roofs(), "quantization": record()}
    assert not believable.faults(good)
    assert "other programs" not in results.measured_on(record())
    timed = recorded.operators() | {"disturbance": None}
    assert believable.faults({"roofs": recorded.roofs(), "operators": timed}) == [
        "operators: does not say its disturbance"
    ]


@contract
@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda c: c["runs"][0]["shares"]["captions"].pop(), "has 1 rounds of 2"),
        (lambda c: c["runs"][0]["shares"].update(captions=[[3, 2]] * 2), "is no share"),
        (lambda c: c["runs"][0]["shares"].update(captions=[[0, 0]] * 2), "is no share"),
        (lambda c: c["runs"][1].update(bits=5.5), "5.5 bits a weight do not fit"),
        (lambda c: c["runs"][1].update(bits=0), "0 bits a weight do not fit"),
        (lambda c: c["runs"].pop(), r"runs of \[1\], not of \[1, 2\]"),
    ],
)
def test_counts_that_cannot_be_are_named(spoil, fault):
    """Rounds and runs that are missing, more right than asked, bits without room."""
    wrong = record()
    spoil(wrong["counts"]["learnt"])
    (told,) = believable.faults({"roofs": recorded.roofs(), "quantization": wrong})
    assert re.search(fault, told)


@law
def test_fewer_right_than_recorded_is_worse(tmp_path, monkeypatch, capsys):
    """Beyond the spread of both; none right at all as well."""
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(records.identity, "machine", lambda: recorded.SOURCE["machine"])
    records.write_all(
        tmp_path / KIND, {"roofs": recorded.roofs(), "quantization": record()}, False
    )
    options = argparse.Namespace(
        threads=2, kernels="native", rounds=2, only="", record=False, command="c"
    )
    options.into = tmp_path
    part = {name: record()[name] for name in ("versions", "disturbance", "learning")}
    part |= {"name": "quantization", "models": record()["models"]}
    for right, status in ((8, records.BETTER), (0, records.WORSE)):
        shares = {"captions": [[right, 10], [right, 10]]}
        found = {"published": case(**shares)}
        assert records.conclude("quantization", options, {**part, "counts": found}) == (
            status
        )
    told = capsys.readouterr().out
    assert "WORSE than recorded: published: captions" in told
    assert "other programs" not in told


@law
def test_cases_are_every_scheme_of_every_model():
    """Without a folder only what is published; with it each learnt scheme twice, and
    the control in no scheme."""
    alone, whole = ([each.name for each in cases.cases(flag)] for flag in (False, True))
    assert len(alone) == 2 * (1 + len(cases.SCHEMES)) and set(alone) < set(whole)
    assert len(set(whole)) == len(whole) == len(alone) + 2 * (2 * len(cases.LEARNT) + 1)
    assert "clip-tiny, float, learnt unrounded" in whole
    options = argparse.Namespace(folder=None)
    assert quantization.names(options) == alone


@house
def test_a_worker_learns_counts_and_counts_no_numbers_twice(tmp_path, monkeypatch):
    """A run of one step goes on where it is, and what was counted is kept."""
    few = {**cases.MODELS, "clip-tiny": {"pictures": 4, "rounds": 1}}
    monkeypatch.setattr(worker, "MODELS", few)
    monkeypatch.setattr(
        worker, "LEARNING", {"clip-tiny": cases.Learning(1, {"int2": 1e-3})}
    )
    asked = {"model": "clip-tiny", "scheme": "int2", "learning": "rounded"}
    asked |= {"folder": str(tmp_path), "seed": 1}
    losses = worker.learn(**asked)
    assert len(losses) == 1 and losses == worker.learn(**asked)
    assert (tmp_path / "clip-tiny-int2-0.001-1" / running.STATE).exists()
    first = worker.count(**asked, seeds=[1, 2])["shares"]
    assert [asked for _, asked in first["zero-shot"]] == [4, 4]
    assert len([*(tmp_path / "counted").iterdir()]) == 2
    for kept in (tmp_path / "counted").iterdir():
        kept.write_text(json.dumps({"kept": [1, 1]}))
    again = worker.count(**asked, seeds=[2, 1])["shares"]
    assert again == {"kept": [[1, 1], [1, 1]]}
    plain = {"model": "clip-tiny", "scheme": "int2", "folder": str(tmp_path)}
    assert "kept" not in worker.count(**plain, seeds=[1])["shares"]


@law
def test_what_is_counted_is_what_learning_was_shown(tmp_path):
    """The fine numbers of a run, packed by the command, come back as the rounded ones
    that its loss was of; and their bits count scales."""
    recipe = rounded.recipe("clip-tiny", "int4")
    tensors = {n: 1.5 * a for n, a in recipe.initial().items()}
    place, held = worker.written("clip-tiny", "int4", tensors, tmp_path)
    opened, shown = (
        refvlm.load(place).weights,
        with_rounded(tensors, recipe.matrices, recipe.rounding),
    )
    for name in recipe.matrices:
        np.testing.assert_array_equal(opened[name], shown[name])
    assert 4 + 64 / 64 < held["bits"] < 4 + 64 / 32
    assert held["sqnr"]["of"] in recipe.matrices
    assert 15 < held["sqnr"]["least"] < held["sqnr"]["median"] < 25
    assert held["bytes"] == (place / "model.safetensors").stat().st_size
    assert worker.describe("clip-tiny")["matrices"] == len(recipe.matrices)
