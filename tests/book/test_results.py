"""Recorded measurements: found by kind and name, told in words, never just absent."""

from __future__ import annotations

import pytest

from benchmarks import records
from refvlm_book import results

from ..benchmarks import recorded


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Two kinds of processor, of which the second has been measured less."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    for kind, written in {
        "amd-epyc-25-1": {
            "roofs": recorded.roofs(),
            "operators": recorded.operators(),
        },
        "amd-epyc-25-1-avx2": {"roofs": recorded.roofs()},
    }.items():
        records.write_all(tmp_path / kind, written)
    return tmp_path


def test_kinds_are_the_processors_with_records(stored):
    """All of them, or those with a record of one name."""
    assert results.kinds() == ["amd-epyc-25-1", "amd-epyc-25-1-avx2"]
    assert results.kinds("operators") == ["amd-epyc-25-1"]


def test_load_reads_what_the_benchmarks_wrote(stored):
    """Of the kind that is asked for, or of the first."""
    assert results.load("operators") == recorded.operators()
    assert results.load("roofs", "amd-epyc-25-1-avx2") == recorded.roofs()


def test_load_of_a_missing_record_says_what_there_is(stored):
    """The reader is told which records there are."""
    with pytest.raises(FileNotFoundError, match="operators on amd-epyc-25-1,") as error:
        results.load("operators", "amd-epyc-25-1-avx2")
    assert "benchmarks/README.md" in str(error.value)


def test_a_record_that_cannot_be_stops_the_book(stored):
    """Every record of a kind is checked, whichever of them is asked for."""
    impossible = {"a": recorded.row(10**12, 8, refvlm=0.016)}
    written = {"operators": recorded.operators(**impossible)}
    records.write_all(stored / "amd-epyc-25-1", written)
    with pytest.raises(ValueError, match="a: refvlm's 0.016 s lie below the floor"):
        results.load("roofs")


def test_measured_on_names_machine_versions_and_date():
    """A speed without its machine is not a measurement."""
    settings = {"threads": 1, "kernels": "avx2", "rounds": 5}
    assert results.measured_on(recorded.roofs() | {"settings": settings}) == (
        "AMD EPYC (family 25, model 1, AVX2); 2 cores, of which 1 in use; all "
        "libraries held to AVX2; Python 3.11; NumPy 2.4; BLAS o; refvlm 0.1; other "
        "programs took at most 2% of it; measured on 2026-01-02"
    )


@pytest.mark.parametrize(
    ("ratio", "words"), [(0.5, "is 2.0 times as fast"), (3, "takes 3.00 times as long")]
)
def test_verdict_turns_a_ratio_into_words(ratio, words):
    """A ratio below one says that NumPy took less time."""
    assert results.verdict(ratio) == words
