"""What benchmarks/unseen_pairs.py compares, and what it counts."""

from __future__ import annotations

import argparse

import pytest

from benchmarks import turns, unseen_pairs
from benchmarks import unseen_pairs_worker as worker
from refvlm.recipes.hard_negatives import ARMS
from refvlm.train import running

from ..spec import contract, house, law


@law
def test_cases_are_the_published_model_and_its_arms():
    """The control among them, without which a gain would be that of more steps."""
    assert unseen_pairs.names(None) == [
        "clip-tiny, as published",
        "clip-tiny, plain",
        "clip-tiny, batches",
    ]
    assert set(unseen_pairs.LEARNT) <= set(ARMS)


@contract
def test_runs_want_a_folder():
    """Before anything is learnt."""
    options = argparse.Namespace(folder=None, only="", rounds=1)
    with pytest.raises(turns.RefusedError, match="the runs need a FOLDER"):
        unseen_pairs.measure(options)


@house
def test_a_worker_learns_and_counts(tmp_path, monkeypatch):
    """A run of one step, two rounds of a few pictures."""
    monkeypatch.setattr(unseen_pairs, "STEPS", 1)
    monkeypatch.setattr(unseen_pairs, "PICTURES", 4)
    shares = worker.count("batches", 1, str(tmp_path), [31, 32])
    assert [asked for _, asked in shares["unseen pairs"]] == [4, 4]
    assert [asked for _, asked in shares["image to text"]] == [100, 100]
    assert (tmp_path / "clip-tiny-batches-1-0.001-1" / running.STATE).exists()
