"""The spec of benchmarks/runs.py."""

import pytest

from benchmarks import runs

from ..spec import example, law


@example
def test_means_are_of_some_steps_each():
    """The last ones may be fewer."""
    history = [{"loss": value, "rate": 0.0} for value in (1.0, 2.0, 5.0)]
    assert runs.means(history, "loss", 2) == [1.5, 5.0]
    assert runs.means(history, "loss", 5, digits=1) == [2.7]


@law
def test_kept_counts_once(tmp_path):
    """What a file says is not counted again, in whatever folder it will lie."""
    path = tmp_path / "new" / "counted.json"
    assert runs.kept(path, lambda: {"all": [3, 4]}) == {"all": [3, 4]}
    assert runs.kept(path, pytest.fail) == {"all": [3, 4]}
