"""A record is complete, compared with the one before, and written only when asked."""

import argparse
import json
import statistics

import pytest

from benchmarks import __main__ as everything
from benchmarks import identity, operator_cases, records, roofline, turns

from ..spec import contract, example, house, law
from . import recorded


class Clock:
    """A peer whose answers and disturbances are written down beforehand."""

    def __init__(self, answers, disturbances=None):
        self.answers = iter(answers)
        self.disturbances = iter(disturbances or [0.0] * 100)

    def ask(self, task):
        self.disturbance = next(self.disturbances)
        return next(self.answers)


@example
def test_the_first_round_warms_up_and_disturbed_answers_do_not_count(monkeypatch):
    """Who was disturbed is asked again, in the same round."""
    monkeypatch.setattr(turns, "PAUSE", 0)
    one = Clock([9, 1, 2, 3], [0.0, 0.0, 0.4, 0.01])
    other = Clock([90, 10, 20], [0.4, 0.02, 0.0])
    asked = {"one": (one, {"task": "t"}), "other": (other, {"task": "t"})}
    assert turns.take_turns(2, asked) == ({"one": [1, 3], "other": [10, 20]}, 0.02)


@contract
def test_a_busy_machine_is_refused(monkeypatch):
    """After a few tries it is said that there is no quiet."""
    monkeypatch.setattr(turns, "PAUSE", 0)
    asked = {"one": (Clock([1] * 30, [0.5] * 30), {"task": "t"})}
    with pytest.raises(turns.RefusedError, match=r"20 times others took more than 5%"):
        turns.take_turns(2, asked)


@law
def test_who_cannot_is_not_asked_again():
    """The others go on."""
    asked = {
        who: (Clock(a), {"task": "t"}) for who, a in dict(a=[1] * 3, b=[None]).items()
    }
    assert turns.take_turns(2, asked)[0] == {"a": [1, 1], "b": None}


@law
def test_seconds_is_a_median_without_the_first_calls(monkeypatch):
    """A slow first call leaves no trace."""
    ticks, times = [0.0], iter([5.0, 1.0, 2.0, 3.0, 9.0])
    monkeypatch.setattr(turns.time, "perf_counter", lambda: ticks[0])

    def call():
        ticks[0] += next(times)

    assert turns.seconds(call, at_least=0.5) == statistics.median([1.0, 2.0, 3.0])


@house
def test_this_machine_has_an_identity():
    """Every part that a record must have is found here."""
    here = identity.machine()
    assert here["cores"] >= 1 and identity.kind(here, "avx2").endswith("-avx2")
    assert {"numpy", "BLAS", "refvlm"} <= set(identity.numpy_versions())


def options(tmp_path, **changed):
    """What a benchmark was told."""
    usual = dict(threads=2, kernels="native", rounds=5, only="", record=True)
    return argparse.Namespace(**usual | {"command": "c", "into": tmp_path} | changed)


@pytest.fixture
def here(monkeypatch, tmp_path):
    """The machine of the made-up records, with its roofs recorded in tmp_path."""
    roofs = recorded.roofs()
    monkeypatch.setattr(identity, "machine", lambda: roofs["machine"])
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    records.write_all(tmp_path / "amd-epyc-25-1", {"roofs": roofs})
    return tmp_path / "amd-epyc-25-1"


def measured(**changed):
    """What a benchmark of operators gives."""
    whole = recorded.operators()
    return {name: whole[name] for name in ("versions", "disturbance", "rows")} | changed


@law
def test_a_record_is_written_only_when_asked(here, tmp_path):
    """`--record` writes it under the kind of processor."""
    records.conclude("operators", options(tmp_path, record=False), measured())
    assert not (here / "operators.json").exists()
    records.conclude("operators", options(tmp_path), measured())
    record = json.loads((here / "operators.json").read_text())
    assert record["machine"]["family"] == 25 and record["settings"]["threads"] == 2


@contract
def test_what_cannot_be_is_not_written(here, tmp_path, capsys):
    """The reason is printed."""
    impossible = {"a": recorded.row(10**12, 10**7, refvlm=0.016, eager=0.02)}
    with pytest.raises(turns.RefusedError, match="not believable"):
        records.conclude("operators", options(tmp_path), measured(rows=impossible))
    assert not (here / "operators.json").exists()
    assert "a: eager's 0.02 s lie below the floor" in capsys.readouterr().out


@law
def test_worse_and_better_are_told_beyond_the_spreads(here, tmp_path, capsys):
    """A slower ratio is worse, by the status too; the same one is neither."""
    records.conclude("operators", options(tmp_path), measured())
    asked = options(tmp_path, record=False)
    assert records.conclude("operators", asked, measured()) == records.BETTER
    assert "than recorded" not in capsys.readouterr().out
    slower = {"a": recorded.row(2 * 10**9, 10**7, refvlm=0.02, contiguous=0.018)}
    status = records.conclude("operators", asked, measured(rows=slower))
    assert status == records.WORSE
    assert "WORSE than recorded: a, ratio to pytorch: 1.11" in capsys.readouterr().out
    quicker = {"a": recorded.row(2 * 10**9, 10**7, refvlm=0.014, contiguous=0.018)}
    records.conclude("operators", asked, measured(rows=quicker))
    assert "better than recorded: a, ratio to pytorch" in capsys.readouterr().out


@law
def test_all_records_are_kept_together_or_not_at_all(here, tmp_path):
    """Roofs that an older record contradicts are kept when it is measured anew too."""
    records.write_all(here, {"operators": recorded.operators()})
    lower, staged = recorded.roofs(), tmp_path / "staged"
    for rate in lower["products"]["2"].values():
        rate["value"] = 81.0
    records.write_all(staged, {"roofs": lower})
    with pytest.raises(turns.RefusedError, match="nothing was recorded"):
        everything.keep(staged, here)
    slow = recorded.row(2 * 10**9, 10**7, refvlm=0.03, contiguous=0.03)
    records.write_all(staged, {"operators": recorded.operators(a=slow)})
    everything.keep(staged, here)
    assert records.load_all(here)["roofs"] == lower


@example
def test_floors_by_hand():
    """Two FLOPs at 160 GFLOP/s; bytes first from the caches, then from memory."""
    roofs = recorded.roofs()
    assert roofline.peak(roofs, 2) == 160e9 and roofline.peak(roofs, 1) == 80e9
    assert roofline.balance(roofs, 2) == pytest.approx(160 / 30)
    assert roofline.arrival(1 << 16, roofs, 2) == 0  # the two L1
    own = (1 << 20) / 120e9  # both L2, 60 GB/s each
    assert roofline.arrival((1 << 16) + (1 << 20), roofs, 2) == pytest.approx(own)
    caches = (1 << 16) + (1 << 20) + (1 << 25)
    far = own + (1 << 25) / 95e9 + 3e9 / 30e9
    assert roofline.arrival(caches + 3 * 10**9, roofs, 2) == pytest.approx(far)
    assert roofline.floor({"flops": 16 * 10**9, "bytes": 8}, roofs, 2) == 0.1


@example
def test_costs_by_hand():
    """A 1 x 1 convolution, a padded one, attention, and one token to the words."""
    cases = operator_cases.CASES
    pointwise = cases["conv 1x1, 96 to 96 at 256"].cost()
    assert pointwise["flops"] == 2 * 96 * 96 * 256**2
    assert pointwise["bytes"] == 4 * (2 * 96 * 256**2 + 96 * 96 + 96)
    padded = cases["depthwise 3x3, 384 at 64"].cost()
    assert padded["flops"] == 2 * 384 * (3 * 64 - 2) ** 2
    causal = cases["attention, causal, grouped, 288"].cost()
    assert causal["flops"] == 4 * 14 * 64 * 288 * 289 // 2
    token = cases["linear, one token to 151936"].cost()
    assert token == {"flops": 2 * 896 * 151936, "bytes": 4 * (896 * 151937 + 151936)}
