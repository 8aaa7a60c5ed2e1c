"""Recorded measurements: found by name, told in words, and never silently absent."""

from __future__ import annotations

import pytest

from refvlm_book import results

MEASURED = {
    "measured": "2026-01-02",
    "machine": {
        "processor": "An abacus",
        "cores": 2,
        "threads": 1,
        "kernels": "avx2",
        "python": "3.11.7",
    },
    "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
}


def test_load_reads_what_the_benchmarks_wrote(tmp_path, monkeypatch):
    """A result is a JSON document, found by its name."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    (tmp_path / "machine-mine.json").write_text('{"memory": {"copy": 20.0}}')
    assert results.load("machine-mine") == {"memory": {"copy": 20.0}}


def test_load_of_a_missing_result_says_how_to_measure_it(tmp_path, monkeypatch):
    """The reader is told which results there are, and the command that makes one."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    (tmp_path / "machine-mine.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="there are: machine-mine") as error:
        results.load("operators-mine")
    assert "python -m benchmarks.operators --name operators-mine" in str(error.value)


def test_measured_on_names_machine_versions_and_date():
    """A speed without its machine is not a measurement."""
    assert results.measured_on(MEASURED) == (
        "An abacus; 2 cores, of which 1 in use; all libraries held to AVX2; "
        "Python 3.11.7; NumPy 2.4.6; PyTorch 2.13.0; measured on 2026-01-02"
    )


def test_measured_on_does_without_versions():
    """The roofs of a machine are measured with one library alone."""
    without = {key: MEASURED[key] for key in ("measured", "machine")}
    assert results.measured_on(without).endswith(
        "Python 3.11.7; measured on 2026-01-02"
    )


def test_measured_on_admits_what_else_was_running():
    """The worst share counts, whether it was noted for a row or for the whole run."""
    rows = {"gelu": {"disturbance": 0.031}, "silu": {"disturbance": 0.012}}
    words = results.measured_on(MEASURED | {"rows": rows})
    assert "other programs took at most 3% of it" in words


@pytest.mark.parametrize(
    ("ratio", "words"), [(0.5, "is 2.0 times as fast"), (3, "takes 3.00 times as long")]
)
def test_verdict_turns_a_ratio_into_words(ratio, words):
    """A ratio below one says that NumPy took less time."""
    assert results.verdict(ratio) == words


def test_balance_is_the_best_product_over_the_best_walk():
    """The ridge of the roofline: below it memory sets the pace, above it arithmetic."""
    memory = {"copy": 10.0, "add": 20.0}
    machine = {"products": {"256": 40.0, "512": 80.0}, "memory": memory}
    assert results.balance(machine) == 4.0
