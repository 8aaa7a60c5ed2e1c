"""What benchmarks/joining.py lets learn, and what it counts."""

from __future__ import annotations

import argparse
import json
from copy import deepcopy

import pytest

from benchmarks import believable, counts, joining
from benchmarks import joining_cases as cases
from benchmarks import joining_worker as worker
from refvlm.recipes import one_budget
from refvlm.recipes.joints import JOINTS
from refvlm.train import running

from ..spec import example, house, law
from . import recorded


def record():
    """One that can be believed."""
    shares = {"captions": [[8, 10], [9, 10]], "questions": [[40, 80], [42, 80]]}
    runs = [{"seed": seed, "shares": deepcopy(shares)} for seed in (1, 2, 3)]
    case = {
        "learning": True,
        "parameters": {"decoder": 10, "joint": 1},
        "flops": {"picture": 3_000_000, "token": 20_000},
        "runs": runs,
    }
    return deepcopy(recorded.SOURCE) | {
        "name": "joining",
        "settings": {"threads": 1, "kernels": "native", "rounds": 2},
        "disturbance": None,
        "learning": {"seeds": [1, 2, 3]},
        "counts": {"cross": case},
    }


@example
def test_a_token_costs_two_flops_for_each_weight_it_meets():
    """The blind decoder, by hand: four matrices of the attention, three of the
    feed-forward, and scores with the words so far."""
    width, inner, layers = one_budget.WIDTH, one_budget.INNER, one_budget.LAYERS
    matrices = 4 * width**2 + 3 * width * inner
    seventeenth = layers * (2 * matrices + 4 * width * 17)
    found = worker.describe("blind")["flops"]
    assert found == {"picture": 0, "token": seventeenth}
    linear = worker.describe("linear")["flops"]
    assert linear["token"] == seventeenth + layers * 4 * width * 64
    read = layers * (2 * 64 * matrices + 4 * width * (64 * 65 // 2 + 64 * 16))
    assert linear["picture"] == 2 * 64 * 96 * width + read


@law
def test_a_look_costs_keys_once_and_queries_each_time():
    """Cross-attention in each layer: two matrices for a patch, two for a word."""
    width, layers = one_budget.WIDTH, one_budget.LAYERS
    blind, cross = (worker.describe(name)["flops"] for name in ("blind", "cross"))
    look = layers * (4 * width**2 + 4 * width * 64)
    assert cross["token"] == blind["token"] + look
    assert cross["picture"] == 16 * look + layers * 4 * 64 * 96 * width


@law
def test_every_joint_is_compared():
    """None is left out, and each has a rate and a folder of its own."""
    assert [*cases.PEAKS] == [*JOINTS]
    assert len({cases.slug(joint) for joint in JOINTS}) == len(JOINTS)
    assert joining.names(argparse.Namespace()) == [*JOINTS]


@law
def test_a_record_of_it_is_believed_or_not():
    """As those of few bits are, without their bits."""
    good = record()
    assert not [*believable.faults({"roofs": recorded.roofs(), "joining": good})]
    assert counts.summary(good["counts"]["cross"], "captions") == pytest.approx(
        (0.85, 0.85, 0.85)
    )
    good["counts"]["cross"]["runs"].pop()
    (told,) = believable.faults({"roofs": recorded.roofs(), "joining": good})
    assert "runs of [1, 2], not of [1, 2, 3]" in told


@law
def test_words_say_what_a_joint_costs_and_gets_right():
    """Parameters, FLOPs, and the mean of the seeds with the least and the largest."""
    told = "\n".join(joining.in_words("cross", record()["counts"]["cross"]))
    assert "cross: 1 parameters, 3.0 MFLOPs a picture, 0.02 a token" in told
    assert "captions   85.0 % (85.0 to 85.0)" in told


@house
def test_a_worker_learns_once_and_counts_once(tmp_path, monkeypatch):
    """A run of two steps is where it is, and its counts are kept."""
    monkeypatch.setattr(worker, "STEPS", 2)
    monkeypatch.setattr(worker, "SCENES", 2)
    asked = {"folder": str(tmp_path), "joint": "late, MLP", "seed": 1}
    learnt = worker.learn(**asked)
    assert len(learnt["losses"]) == 1 and learnt["seconds"] > 0
    assert worker.learn(**asked) == learnt
    (place,) = tmp_path.iterdir()
    assert place.name.startswith("late-mlp-") and (place / running.STATE).exists()
    shares = worker.count(**asked, seeds=[1, 2])
    assert [asked for _, asked in shares["captions"]] == [2, 2]
    assert sum(of for _, of in shares["questions"]) == 2 * 2 * cases.QUESTIONS
    for kept in place.glob("counted-*.json"):
        kept.write_text(json.dumps({"captions": [1, 1]}))
    assert worker.count(**asked, seeds=[2, 1]) == {"captions": [[1, 1], [1, 1]]}
