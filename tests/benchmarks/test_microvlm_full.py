"""What benchmarks/microvlm_full.py times, and what it holds against it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import believable, microvlm_full, rows
from benchmarks import microvlm_full_worker as worker
from refvlm.models import microvlm

from .. import microvlms
from ..spec import example, house, law
from . import recorded


@pytest.fixture
def small():
    """A worker with a tiny model."""
    return worker.Worker(microvlms.built()[0])


@example
def test_the_costs_are_those_of_four_pictures():
    """The decoder's are most of it: 4 x 57 tokens through 24 layers."""
    costs = {part: microvlm_full.cost(part) for part in microvlm_full.PARTS}
    assert round(costs["decoder"]["flops"] / 1e9) == 164
    assert round(costs["tower"]["flops"] / 1e9) == 10
    assert costs["slots"]["bytes"] == 4 * 38_578_176
    mean_and_covariance = 512 * 896 + 512 * 512
    assert costs["write"]["bytes"] == 4 * 2 * mean_and_covariance
    one_more_key = 24 * 14 * (64 + 64) * 2  # to compare with, and to add
    with_slot, alone = costs["decoder"]["flops"], costs["decoder alone"]["flops"]
    assert with_slot - alone == 4 * 57 * one_more_key
    assert all(cost["flops"] > 0 for cost in costs.values())


@law
def test_every_part_is_timed(small):
    """As many as there are rows, each a positive time, on sizes that are odd."""
    times = small.episode(pictures=4, words=5)
    assert times.keys() == microvlm_full.PARTS.keys()
    assert min(times.values()) > 0


@law
def test_the_whole_is_the_models_forward_pass(small):
    """Logits for every token, that scatter; of weights all of which are there."""
    told = small.whole(pictures=4, words=5)
    pixels, ids = small.inputs(4, 5)
    logits = microvlm.microvlm(pixels, ids, small.weights, small.config, 1)
    assert told["shape"] == logits.shape == (4, 10, 19)
    assert told["deviation"] == float(logits.std()) > 0.1
    assert logits.dtype == np.float32
    shapes = microvlm.expected_shapes(small.config, True)
    numbers = sum(int(np.prod(shape)) for shape in shapes.values())
    assert small.nothing(4, 5)["bytes"] == 4 * numbers


@example
def test_the_decoder_is_compared_with_itself_alone():
    """What a slot costs is a ratio."""
    answers = [{"decoder": 3.0, "decoder alone": 2.0}]
    both = microvlm_full.times_of("decoder", answers)
    assert both == {"refvlm": [3.0], "decoder alone": [2.0]}
    assert microvlm_full.times_of("decoder alone", answers) == {"refvlm": [2.0]}


@house
def test_a_record_is_whole(small, monkeypatch):
    """All that is measured, by a worker in this process: rows that say everything, and
    two peaks."""

    class Here:
        disturbance = 0.0

        def ask(self, task, **question):
            return getattr(small, task)(**question)

        def memory(self):
            return 2300.0

        def close(self):
            pass

    monkeypatch.setattr(microvlm_full, "peer", lambda options: Here())
    options = SimpleNamespace(rounds=1, only="")
    measured = microvlm_full.measure(options)
    assert measured["rows"].keys() == microvlm_full.PARTS.keys()
    assert measured["memory"]["megabytes"] == {"weights": 2300.0, "refvlm": 2300.0}
    assert measured["rows"]["decoder"]["ratios"].keys() == {"decoder alone"}
    assert not list(believable.wrong_rows(measured))


@house
def test_the_rows_can_be_believed():
    """With the cost of each, and times that a machine of this kind could have."""
    table = {}
    for part in microvlm_full.names(None):
        times = {"refvlm": [30.0] * 3}
        if part == microvlm_full.WITH:
            times[microvlm_full.WITHOUT] = [29.0] * 3
        table[part] = rows.row(times, microvlm_full.cost(part), 0.0)
    record = recorded.SOURCE | {"rows": table}
    assert not believable.faults({"roofs": recorded.roofs(), "microvlm-full": record})
