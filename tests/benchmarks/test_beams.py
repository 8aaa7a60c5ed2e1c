"""What benchmarks/beams.py times, and what it counts."""

from __future__ import annotations

import pytest

import refvlm
from benchmarks import beams, believable, rows
from benchmarks import beams_worker as worker

from ..spec import example, house, law
from . import recorded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both models, whose vocabulary is all that there is much of."""
    folder = tmp_path_factory.mktemp("models")
    worker.write(folder)
    return folder


@pytest.fixture(scope="module")
def ours(folder):
    """The worker, which goes on by 5 tokens instead of 64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "NEW", 5)
        yield worker.Worker("refvlm", folder)


@law
@pytest.mark.parametrize("name", worker.CASES)
def test_the_worker_says_what_the_model_says(folder, ours, name):
    """Taken apart to be timed, the search finds what it finds as a whole, and its parts
    are parts of the time."""
    which, prompts, beams_ = worker.CASES[name]
    answer = ours.run(name)
    model = refvlm.load(folder / which)
    said = model.generate(ours.prompts[name], max_new_tokens=5, num_beams=beams_)
    assert answer["ids"] == said.tolist()
    assert len(answer["ids"]) == prompts
    assert 0 < answer["model"] < answer["step"] - answer["reorder"]
    assert (answer["reorder"] > 0) == (beams_ > 1)


@example
def test_a_share_is_what_the_model_and_the_cache_leave():
    """7 of 10 in the model, 1 in the cache: 2 in the search."""
    answer = {"step": 10, "model": 7, "reorder": 1}
    assert beams.share([answer] * 3) == {
        "search": pytest.approx(0.2),
        "cache": pytest.approx(0.1),
    }


@example
def test_a_row_counts_a_token_for_each_beam():
    """Four beams take four times the operations, and the weights once."""
    one, four = beams.cost("greedy"), beams.cost("4 beams")
    assert four["flops"] == 4 * one["flops"]
    assert one["bytes"] < four["bytes"] < 1.2 * one["bytes"]
    table = worker.THIN["vocab_size"] * worker.THIN["hidden_size"]
    thin = beams.cost("4 beams of 151,936 tokens")
    assert 4 * 2 * table < thin["flops"] < 1.01 * 4 * 2 * table
    assert 4 * table < thin["bytes"] < 1.01 * 4 * table


@house
def test_the_rows_can_be_believed():
    """With the cost of each, and times that have been seen."""
    times = {"refvlm": [5e-3] * 3, "transformers": [9e-3] * 3}
    table = {name: rows.row(times, beams.cost(name), 0.0) for name in worker.CASES}
    record = recorded.SOURCE | {"rows": table}
    assert not believable.faults({"roofs": recorded.roofs(), "beams": record})
