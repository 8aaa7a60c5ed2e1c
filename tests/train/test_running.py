"""The spec of refvlm/train/running.py and refvlm/train/state.py."""

import csv
import itertools

import numpy as np
import pytest

from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError
from refvlm.terminal import fitting
from refvlm.train import running, state
from refvlm.train.loop import begin, train
from refvlm.train.state import load_state

from ..spec import contract, example, law
from .toy import Line


@example
def test_run_writes_its_history_as_a_table(tmp_path):
    """history.csv has a line for each step, and the loss in it falls."""
    running.run(Line(), tmp_path)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(row["step"]) for row in rows] == list(range(1, 61))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 100


@law
@pytest.mark.parametrize("pause", [7, 30, 44])
def test_run_resumes_bit_for_bit(tmp_path, pause):
    """Stopped, saved, loaded and continued, a run ends where the whole one does."""
    whole = running.run(Line(), tmp_path / "whole")
    running.run(Line(), tmp_path / "parts", stop=pause)
    parts = running.run(Line(), tmp_path / "parts")
    for name, array in whole.tensors.items():
        assert np.array_equal(array, parts.tensors[name])
        assert array.dtype == parts.tensors[name].dtype
    assert whole.history == parts.history


@law
def test_run_interrupted_loses_nothing(tmp_path):
    """Ctrl-C anywhere saves the last whole step, and the run goes on from there."""

    class Interrupted(Line):
        def loss(self, weights, shard, training, stage):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 20:  # of this process: every step's, or every other
                raise KeyboardInterrupt
            return super().loss(weights, shard, training, stage)

    with pytest.raises(KeyboardInterrupt):
        running.run(Interrupted(), tmp_path, save_every=1000)
    saved = state.load_state(tmp_path / "state.safetensors", "line")
    assert 9 <= saved.step < 20
    resumed = running.run(Line(), tmp_path)
    whole = running.run(Line(), tmp_path / "whole")
    assert np.array_equal(resumed.tensors["slope"], whole.tensors["slope"])


@law
def test_run_reports_how_it_stands(tmp_path):
    """A report has the step, the loss, the rate and the time that is left."""
    told = []
    running.run(Line(), tmp_path, told.append, report_every=20)
    assert [progress.step for progress in told] == [20, 40, 60]
    assert [progress.stage for progress in told] == ["first", "second", "second"]
    assert told[-1].seconds_left == 0.0
    assert told[0].parts["loss"] > told[-1].parts["loss"]
    assert "loss" in str(told[0]) and "left" in str(told[0])


@law
def test_run_that_is_slow_reports_before_its_steps_are_counted(tmp_path, monkeypatch):
    """After so many seconds, by a clock that each look sets on by two."""
    ticks = itertools.count(0, 2)
    monkeypatch.setattr(running.time, "perf_counter", lambda: float(next(ticks)))
    told = []
    running.run(Line(), tmp_path, told.append, stop=9, patience=5)
    assert [progress.step for progress in told] == [3, 6, 9]
    assert told[1].steps_per_second == 3 / 6


@example
@pytest.mark.parametrize(
    "parts, speed",
    [
        ({"pictures": 16.0}, "66 pictures/s"),
        ({"pictures": 16.0, "tokens": 3012.5}, "12,351 tokens/s"),
        ({}, "4.1 steps/s"),
    ],
)
def test_progress_says_speed_and_time_within_80_columns(parts, speed):
    """Tokens where there are any, else pictures; the time in hours and minutes; what a
    narrow terminal may leave out stands last."""
    noted = {"seen": 0.123456, "loss": 1.23456, **parts, "norm": 0.987654}
    line = str(running.Progress(12500, 17200, "speak", noted, 4.1, 14356.0))
    told = fitting(line, 79)
    assert told.startswith("step 12500/17200  speak  loss 1.235  3 h 59 min left  ")
    assert speed in told and "0 tokens/s" not in line.split("  ")
    assert line.endswith("4.1 steps/s  seen 0.1235  norm 0.9877")


@law
def test_save_state_keeps_every_bit(tmp_path):
    """What is loaded is what was saved: arrays, kinds of numbers, history."""
    *_, before = train(Line(), begin(Line()), stop=12)
    state.save_state(tmp_path / "s.safetensors", before, "line")
    after = state.load_state(tmp_path / "s.safetensors", "line")
    assert after.step == 12 and after.history == before.history
    for kept, found in (
        (before.tensors, after.tensors),
        (before.moments, after.moments),
    ):
        assert kept.keys() == found.keys()
        assert all(np.array_equal(kept[name], found[name]) for name in kept)
        assert all(kept[name].dtype == found[name].dtype for name in kept)


@contract
def test_load_state_refuses_another_recipe(tmp_path):
    """A directory of another run is not continued by mistake."""
    running.run(Line(), tmp_path, stop=3)
    with pytest.raises(CheckpointError, match="no state of a curve run"):
        running.run(Line(name="curve"), tmp_path)


@contract
def test_load_state_refuses_a_damaged_file(tmp_path):
    """A file that was cut short is an error, not a fresh start; and nobody can
    download it again."""
    running.run(Line(), tmp_path, stop=3)
    path = tmp_path / "state.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-9], whole[:5], b"", b"\xff" * 99):
        path.write_bytes(damaged)
        for read in (state.load_state, state.saved_step):
            with pytest.raises(CheckpointError, match="damaged: give another direct"):
                read(path, "line")


@contract
def test_run_refuses_weights_of_another_shape(tmp_path):
    """A recipe that has changed since does not go on with what it cannot use."""

    class Wider(Line):
        def initial(self):
            return {**super().initial(), "slope": np.zeros((1, 4), np.float32)}

    running.run(Line(), tmp_path, stop=3)
    wrong = r"slope is float32 of shape \(1, 3\) and should be float32 of shape \(1, 4"
    with pytest.raises(CheckpointError, match=wrong):
        running.run(Wider(), tmp_path)


@contract
def test_run_does_not_overwrite_another(tmp_path):
    """Two runs in one directory: whoever saves second is stopped, and told why."""

    class Overtaken(Line):
        def batch(self, step):
            if step == 5:
                running.run(Line(), tmp_path, stop=20, save_every=20)
            return super().batch(step)

    with pytest.raises(CheckpointError, match="by another run meanwhile"):
        running.run(Overtaken(), tmp_path, save_every=10)
    assert load_state(tmp_path / running.STATE, "line").step == 20


@contract
@pytest.mark.parametrize(
    "damage",
    [
        {"recipe.line": np.array([3, 3])},
        {"recipe.line": np.array(-1)},
        {"recipe.line": np.array(3.0)},
        {"recipe.line": np.array(2**60)},
        {"noted.loss": np.array([0.0, 1.0, 2.0])},
        {"noted.loss": np.array([0, 1, 99])},
        {"noted.loss": np.array([0, 1])},
        {"noted.loss": None},
    ],
)
def test_load_state_refuses_what_does_not_fit_together(tmp_path, damage):
    """Counts that are none, and a history without its steps."""
    with pytest.raises(CheckpointError, match="is damaged"):
        state.load_state(damaged(tmp_path, damage), "line")


@contract
@pytest.mark.parametrize(
    "damage",
    [
        {"recipe.line": np.array(61)},
        {"moments.first": np.zeros(1, np.float32)},
        {"moments.first": None},
        {"tensors.slope": np.zeros((1, 3))},
        {"tensors.offset": None},
        {"tensors.more": np.zeros(2, np.float32)},
    ],
)
def test_run_refuses_a_state_of_another_recipe(tmp_path, damage):
    """What the optimiser would have stumbled over, or silently believed."""
    damaged(tmp_path, damage)
    with pytest.raises(CheckpointError, match="does not fit the recipe"):
        running.run(Line(), tmp_path)


def damaged(directory, damage):
    """The state of three steps, with some of its arrays exchanged or left out."""
    running.run(Line(), directory, stop=3)
    path = directory / running.STATE
    stored = checkpoint.load(path, dtype=None)
    arrays = {name: np.array(stored[name]) for name in stored} | damage
    checkpoint.save(path, {n: a for n, a in arrays.items() if a is not None})
    return path


@contract
def test_run_leaves_the_history_of_somebody_else(tmp_path):
    """A history.csv without a state is not this run's: it is not written over."""
    (tmp_path / "history.csv").write_text("mine")
    with pytest.raises(CheckpointError, match="holds a history.csv"):
        running.run(Line(), tmp_path)
    assert (tmp_path / "history.csv").read_text() == "mine"
