"""What benchmarks/sampling.py times, and what it counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import believable, rows, sampling
from benchmarks import sampling_worker as worker
from refvlm import generate

from ..spec import example, house, law
from . import recorded

WORKER = worker.Worker("refvlm")


@law
@pytest.mark.parametrize("name", worker.CASES)
def test_every_case_runs_its_rules_on_all_its_prompts(name):
    """One id for each prompt where the last rule draws, and scores where it does not;
    the scores that all begin with are left as they were."""
    chain, kind, prompts = worker.CASES[name]
    before = WORKER.scores[kind].copy()
    got = WORKER.job(name)()
    drawn = chain[-1] == "sample"
    assert got.shape == ((prompts,) if drawn else (prompts, worker.VOCABULARY))
    np.testing.assert_array_equal(WORKER.scores[kind], before)


@example
def test_a_case_is_the_rules_one_after_the_other():
    """What a case of 8 prompts draws, by hand."""
    name = "8 prompts: temperature, top_k, top_p, sample, flat"
    scores = generate.temperature(WORKER.scores["flat"], 0.7)
    scores = generate.top_p(generate.top_k(scores, 50), 0.9)
    drawn = generate.sample(scores, np.random.default_rng(1))
    np.testing.assert_array_equal(WORKER.job(name)(), drawn)


@example
def test_peaked_scores_are_few_tokens_and_flat_ones_are_many():
    """A thousand, or more than half of the vocabulary, hold nine tenths."""
    left = {
        kind: np.isfinite(generate.top_p(scores, 0.9)).sum(axis=-1)
        for kind, scores in WORKER.scores.items()
    }
    assert 500 < left["peaked"].min() <= left["peaked"].max() < 2000
    assert left["flat"].min() > worker.VOCABULARY / 2


@example
def test_a_row_counts_the_scores_of_all_its_prompts():
    """Four bytes a score."""
    one = "temperature, top_p, sample, flat"
    assert sampling.cost(one) == {"flops": 0, "bytes": 4 * 151_936}
    assert sampling.cost(f"8 prompts: {one}")["bytes"] == 8 * 4 * 151_936


@house
def test_the_rows_can_be_believed():
    """With the cost of each, and times that have been seen."""
    times = {"refvlm": [1e-3] * 3, "transformers": [2e-3] * 3}
    table = {name: rows.row(times, sampling.cost(name), 0.0) for name in worker.CASES}
    record = recorded.SOURCE | {"rows": table}
    assert not believable.faults({"roofs": recorded.roofs(), "sampling": record})
