"""The spec of refvlm/recipes/publishing.py."""

from refvlm.recipes import publishing
from refvlm.train.state import State

from ..spec import law


@law
def test_write_curve_holds_the_means_of_what_was_noted(tmp_path):
    """Fifty steps to a row, the last one shorter; what was not noted stays empty."""
    history = [{"loss": float(step)} for step in range(60)]
    history += [{"loss": 1.0, "speaking": 2.0} for _ in range(15)]
    path = tmp_path / "training.csv"
    publishing.write_curve(path, State(75, {}, {}, history))
    assert path.read_text().splitlines() == [
        "step,loss,speaking",
        "50,24.5,",
        "75,22.4,2",
    ]
