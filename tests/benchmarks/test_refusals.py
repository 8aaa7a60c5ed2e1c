"""What is known beforehand is refused before anything is measured, in words."""

from __future__ import annotations

import argparse
import os
import tempfile

import pytest

from benchmarks import __main__ as everything
from benchmarks import (
    fastvlm_05b,
    identity,
    operators,
    records,
    roofs_worker,
    scaling,
    turns,
)

from ..spec import contract, law
from . import recorded

KIND = "amd-epyc-25-1"


@pytest.fixture
def results(monkeypatch, tmp_path):
    """The folder of a machine without records."""
    machine = recorded.SOURCE["machine"]
    monkeypatch.setattr(identity, "machine", lambda: machine)
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(records, "cores", lambda: 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "staged"))
    (tmp_path / "staged").mkdir()
    return tmp_path / KIND


def run(*words, name="operators", measure=None, **more):
    """The status of a benchmark that measures operators without a stopwatch."""
    whole = recorded.operators()
    part = {name: whole[name] for name in ("versions", "disturbance", "rows")}
    words = [*words] if "--into" in words else [*words, "--into", str(records.RESULTS)]
    measure = measure or (lambda options: dict(part))
    return records.benchmark(name, measure, "text", lambda o: ["a"], words, **more)


def never(options):
    """A measurement that must not begin."""
    raise AssertionError("measured in vain")


@contract
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--record", "--only", "a"], "--only is not the whole"),
        (["--only", "b"], "no row has 'b' in its name: a"),
        (["--record"], "no roofs are recorded for amd-epyc-25-1"),
    ],
)
def test_what_cannot_be_recorded_is_not_measured(results, capsys, words, reason):
    """The status is 2."""
    assert run(*words, measure=never) == records.REFUSED
    assert f"refused: {reason}" in capsys.readouterr().out


@contract
@pytest.mark.parametrize("text", ["{", "[]", '{"rows": {"a": {}}}'])
def test_a_damaged_record_is_named(results, capsys, text):
    """Nobody learns of it after ten minutes, by one benchmark or by all."""
    results.mkdir()
    (results / "roofs.json").write_text(text)
    assert run(measure=never) == records.REFUSED
    assert "roofs.json is damaged" in capsys.readouterr().out


@contract
@pytest.mark.parametrize("flag", ["--rounds", "--threads"])
def test_less_than_one_is_refused(results, flag):
    """By the status that argparse has for it, which is that of a refusal."""
    with pytest.raises(SystemExit) as ended:
        run(flag, "0", measure=never)
    assert ended.value.code == records.REFUSED


@contract
def test_a_missing_opponent_is_refused(results, capsys):
    """In words, not by the end of a worker."""
    assert run(measure=never, needs=("torch_of_nowhere",)) == records.REFUSED
    assert "torch_of_nowhere not installed" in capsys.readouterr().out


@contract
def test_a_worker_that_ended_is_a_refusal(results, capsys):
    """Of a module that is not there."""

    def measure(options):
        turns.Peer("nowhere", options=options).ask("versions")

    assert run(measure=measure) == records.REFUSED
    assert "the worker for 'versions' ended" in capsys.readouterr().out
    assert not turns.LIVING


@contract
def test_an_interrupt_is_one_line(results, capsys):
    """And the status that shells give it."""

    def measure(options):
        raise KeyboardInterrupt

    assert run(measure=measure) == records.INTERRUPTED == 130
    assert capsys.readouterr().out == "interrupted\n"


@law
def test_rows_are_chosen_by_their_names():
    """Those that a benchmark prints."""
    options = argparse.Namespace(threads=2)
    assert "token, without threadpoolctl" in fastvlm_05b.names(options)
    assert "token 16, 1 thread" in scaling.names(options)
    assert "encode 1024, 2 threads" not in scaling.names(options)


@law
@pytest.mark.parametrize(
    ("only", "rows"),
    [
        ("tower", ["tower"]),
        ("token", ["token"]),
        ("e", ["tower", "token"]),
        ("without", []),
    ],
)
def test_only_measures_the_rows_that_it_names(monkeypatch, only, rows):
    """Not those whose name it contains."""
    answers = {"tower": 1.0, "text": {"prompt": 1.0, "token": 1.0}}

    def take(rounds, asked):
        return {w: [answers[q["task"]]] for w, (_, q) in asked.items()}, 0.0

    monkeypatch.setattr(fastvlm_05b, "take_turns", take)
    options = argparse.Namespace(only=only, rounds=1)
    table = fastvlm_05b.compare({"refvlm": (None, {}, {})}, options, "", [])
    assert list(table) == rows


@law
def test_a_part_of_a_sweep_has_no_fit():
    """One size says nothing of growth; all sizes on one thread do."""
    sweep = scaling.SWEEPS["token"]
    every = scaling.places(sweep, [1, 2])
    assert scaling.is_whole(sweep, every)
    assert scaling.is_whole(sweep, [place for place in every if place[1] == 1])
    assert not scaling.is_whole(sweep, [(16, 1)])


@law
@pytest.mark.parametrize("hands", [1, 2, 16, 64])
@pytest.mark.parametrize(("second", "third"), [(19, 25), (20, 24), (21, 25), (20, 28)])
def test_walks_lie_where_they_say(second, third, hands):
    """In half of L3 but beyond L2, and beyond all caches."""
    caches = {"L2": 1 << second, "L3": 1 << third}
    found = roofs_worker.places(caches, hands)
    assert 2 * caches["L2"] < found["L3"] <= caches["L3"] // 2
    assert found["memory"] >= 2 * caches["L3"]


@pytest.fixture
def all_of_it(results, monkeypatch):
    """Everything in turn, where that is operators alone, and its roofs are recorded."""
    records.write_all(results, {"roofs": recorded.roofs()})
    monkeypatch.setattr(everything, "TURNS", (("operators", False, ()),))
    monkeypatch.setattr(operators, "NEEDS", ())
    monkeypatch.setattr(operators, "main", lambda words: run(*words))
    return results


def staged(results):
    """What lies in the folder for what is not recorded yet."""
    return list((results.parent / "staged").iterdir())


@law
def test_all_in_turn_leaves_records_and_nothing_else(all_of_it, capsys):
    """What is only staged is not told."""
    assert everything.main([]) == records.BETTER
    assert not (all_of_it / "operators.json").exists()
    assert "wrote" not in capsys.readouterr().out
    assert everything.main(["--record"]) == records.BETTER
    assert (all_of_it / "operators.json").exists() and not staged(all_of_it)
    assert capsys.readouterr().out.count("wrote") == 1


@contract
def test_what_could_not_be_recorded_is_kept(all_of_it, monkeypatch, capsys):
    """Its folder is named; without `--record` nobody wants it."""
    replace = os.replace

    def full(source, target):
        if "staged" not in str(target):
            raise OSError("no space")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert everything.main(["--record"]) == records.REFUSED
    (kept,) = staged(all_of_it)
    told = capsys.readouterr().out
    assert "could not be written: no space" in told and f"lies in {kept}" in told
    assert not list(all_of_it.glob("*.unfinished"))


@contract
def test_with_one_refused_nothing_is_recorded(all_of_it, monkeypatch, capsys):
    """What the others measured is kept beside, and its folder named."""
    both = operators.__name__.rpartition(".")[2]
    monkeypatch.setattr(
        everything, "TURNS", ((both, False, ()), (both, False, ("--rounds", "1")))
    )
    monkeypatch.setattr(
        operators,
        "main",
        lambda words: records.REFUSED if words[-1] == "1" else run(*words),
    )
    assert everything.main(["--record"]) == records.REFUSED
    assert not (all_of_it / "operators.json").exists() and staged(all_of_it)
    assert "not recorded, lies in" in capsys.readouterr().out


@contract
def test_an_interrupt_ends_all_of_it(all_of_it, monkeypatch, capsys):
    """Without a summary."""
    monkeypatch.setattr(operators, "main", lambda words: records.INTERRUPTED)
    assert everything.main(["--record"]) == records.INTERRUPTED
    assert not staged(all_of_it) and "recorded" not in capsys.readouterr().out


@contract
@pytest.mark.parametrize("flag", ["--only", "--threads"])
def test_all_of_it_is_run_whole(flag):
    """Flags for parts are not offered."""
    with pytest.raises(SystemExit) as ended:
        everything.main([flag, "1"])
    assert ended.value.code == records.REFUSED
