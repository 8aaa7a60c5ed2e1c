"""The spec of refvlm/commands/learning.py: `train` and `score`."""

import json
from pathlib import Path

import pytest

from refvlm import cli
from refvlm.train import fastvlm_tiny
from refvlm.train.state import load_state

from ..spec import contract, law

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.fixture
def short(monkeypatch):
    """The recipe with three steps of each stage."""
    recipe = fastvlm_tiny.recipe(3, 1)
    monkeypatch.setattr(fastvlm_tiny, "recipe", lambda: recipe)


@law
def test_train_stops_resumes_and_writes_the_model(short, tmp_path, capsys):
    """Stopped after two steps, the same command ends the run and names the model."""
    command = ["train", "fastvlm-tiny", "--run", str(tmp_path)]
    assert cli.main([*command, "--stop", "2"]) == 0
    told = capsys.readouterr()
    assert told.out == "" and "the same command continues" in told.err
    assert load_state(tmp_path / "state.safetensors", "fastvlm-tiny").step == 2
    assert cli.main(command) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'model'}\n"
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json"}


@law
def test_train_says_how_to_go_on_when_interrupted(short, tmp_path, monkeypatch, capsys):
    """Ctrl-C is not a failure: the state is saved and the status is 130."""

    def interrupted(self, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastvlm_tiny.FastVLMTiny, "batch", interrupted)
    assert cli.main(["train", "fastvlm-tiny", "--run", str(tmp_path)]) == 130
    assert f"the same command continues from {tmp_path}" in capsys.readouterr().err


@law
def test_score_counts_scenes_of_every_kind(tmp_path, capsys):
    """Pairs of training, unseen pairs and other hands, on the screen and in a file."""
    file = tmp_path / "scores.json"
    model = str(WEIGHTS / "fastvlm-tiny")
    assert cli.main(["score", model, "--scenes", "5", "--json", str(file)]) == 0
    told = json.loads(file.read_text())
    assert told["scenes"] == 5
    assert told["found"]["train"]["captions"][1] == 5
    assert told["found"]["unseen"]["questions"][1] > 20
    shown = capsys.readouterr().out
    assert all(name in shown for name in told["found"])


@contract
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "gpt-5"],
        ["train", "fastvlm-tiny", "--stop", "-1"],
        ["score", "--scenes", "many"],
    ],
)
def test_wrong_words_are_wrong_usage(arguments, capsys):
    """What cannot be meant is refused before anything is made."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


@contract
def test_score_needs_a_model(tmp_path, capsys):
    """An empty folder is one line on standard error."""
    assert cli.main(["score", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
