"""The spec of refvlm/commands/learning.py: `train` and `score`."""

import functools
import json
import os
import re
import signal
import time

import pytest

from refvlm import cli
from refvlm.commands.learning import WIDTH
from refvlm.metrics.scene_scores import HEADINGS
from refvlm.metrics.shares import Share
from refvlm.pretrained import shipped_model
from refvlm.recipes import clip_tiny, fastvlm_tiny
from refvlm.scenes.beyond import ALONE, SEVERAL, UNSAYABLE
from refvlm.scenes.rewording import REQUESTS
from refvlm.train.state import load_state

from ..spec import contract, law


@functools.cache
def short_recipe():
    return fastvlm_tiny.recipe(3, 1)


@pytest.fixture
def short(monkeypatch):
    """The recipe with three steps of the first stage and one of the second."""
    recipe = short_recipe()
    monkeypatch.setattr(fastvlm_tiny, "recipe", lambda: recipe)


@law
def test_train_stops_resumes_and_writes_the_model(short, tmp_path, capsys):
    """Stopped after two steps, the same command ends the run and names the model."""
    command = ["train", "fastvlm-tiny", "--run", str(tmp_path)]
    assert cli.main([*command, "--stop", "2"]) == 0
    told = capsys.readouterr()
    assert told.out == "" and "without --stop 2 continues" in told.err
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
    assert f"saved: the same command continues from {tmp_path}" in told(capsys)
    assert load_state(tmp_path / "state.safetensors", "fastvlm-tiny").step == 0


@law
def test_train_says_so_if_nothing_was_saved(short, tmp_path, monkeypatch, capsys):
    """Ctrl-C before there is anything to save promises nothing."""

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastvlm_tiny.FastVLMTiny, "initial", interrupted)
    assert cli.main(["train", "fastvlm-tiny", "--run", str(tmp_path)]) == 130
    assert "begins anew" in told(capsys)
    assert not list(tmp_path.iterdir())


@law
def test_train_takes_a_closed_terminal_for_ctrl_c(short, tmp_path, monkeypatch):
    """SIGHUP and SIGTERM save the run; afterwards they mean what they meant before."""
    before = signal.getsignal(signal.SIGTERM)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's, which is kept
    batch = fastvlm_tiny.FastVLMTiny.batch

    def hung_up(self, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(1)
        return batch(self, step)

    monkeypatch.setattr(fastvlm_tiny.FastVLMTiny, "batch", hung_up)
    assert cli.main(["train", "fastvlm-tiny", "--run", str(tmp_path)]) == 130
    assert load_state(tmp_path / "state.safetensors", "fastvlm-tiny").step >= 1
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.signal(signal.SIGHUP, ignored) is signal.SIG_DFL


def told(capsys):
    """What has gone to standard error."""
    return capsys.readouterr().err


@law
def test_score_counts_scenes_of_every_kind(tmp_path, capsys):
    """Pairs of training, unseen pairs and other hands, on the screen and in a file."""
    file = tmp_path / "scores.json"
    model = str(shipped_model("fastvlm-tiny"))
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
        ["score", "--scenes", "0"],
        ["score", "--json", "there/is/no/such/folder.json"],
        ["ask", "picture.png", " "],
        ["describe", "picture.png", "--prompt", ""],
        ["describe", "picture.png", "--show-attention", "."],
    ],
)
def test_wrong_words_are_wrong_usage(arguments, capsys):
    """What cannot be meant is refused before anything is made."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage:" in capsys.readouterr().err


@law
def test_score_of_a_clip_counts_what_it_is_asked(tmp_path, monkeypatch, capsys):
    """The number of pictures and the seed reach the count; the form is the same."""
    asked = {}

    def counted(model, pictures, rounds, seed, progress):
        asked.update(pictures=pictures, rounds=rounds, seed=seed)
        return {"train": {"zero-shot": Share(3, 7)}}

    monkeypatch.setattr(clip_tiny, "clip_scores", counted)
    file = tmp_path / "scores.json"
    model = str(shipped_model("clip-tiny"))
    arguments = ["score", model, "--scenes", "7", "--seed", "3", "--json", str(file)]
    assert cli.main(arguments) == 0
    assert asked == {"pictures": 7, "rounds": 1, "seed": 2**31 + 3}
    assert json.loads(file.read_text())["found"] == {"train": {"zero-shot": [3, 7]}}
    assert capsys.readouterr().out == f"train\n  {'zero-shot':<36}   42.9 % of 7\n"


@contract
def test_train_refuses_a_file_for_a_folder(short, tmp_path, capsys):
    """One line says what to do, and the file stays what it was."""
    file = tmp_path / "file"
    file.write_text("mine")
    assert cli.main(["train", "fastvlm-tiny", "--run", str(file)]) == 1
    assert "give another folder" in told(capsys)
    assert file.read_text() == "mine"


@contract
@pytest.mark.parametrize("option", ["--run", "--out"])
def test_train_refuses_what_cannot_be_written(short, tmp_path, monkeypatch, option):
    """Before it trains, and without a trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("refvlm.train.running.run", None)
    assert cli.main(["train", "fastvlm-tiny", option, "/proc/none/there"]) == 1
    assert not list(tmp_path.iterdir())


@contract
def test_train_writes_into_no_folder_of_others(short, tmp_path, monkeypatch, capsys):
    """A folder for the model is new or empty; a run's own is written again."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "training.csv").write_text("mine")
    run = ["train", "fastvlm-tiny", "--run", str(tmp_path / "run")]
    assert cli.main([*run, "--out", str(full)]) == 1
    assert "is not empty" in told(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    assert (full / "training.csv").read_text() == "mine"
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "config.json").write_text("mine")
    assert cli.main(run) == 1
    (tmp_path / "run" / "model" / "config.json").unlink()
    assert cli.main(run) == 0 and cli.main(run) == 0


@law
@pytest.mark.parametrize("is_seen, reports", [(True, 4), (False, 0)])
def test_train_is_heard_of_on_a_terminal(
    short, tmp_path, monkeypatch, is_seen, reports
):
    """Every few seconds, here at each step; a file has a line each 50 steps."""
    lines = []
    monkeypatch.setattr("refvlm.commands.learning.PATIENCE", 0.0)
    monkeypatch.setattr("refvlm.commands.learning.is_terminal", lambda _: is_seen)
    monkeypatch.setattr("refvlm.commands.learning.show_line", lines.append)
    assert cli.main(["train", "fastvlm-tiny", "--run", str(tmp_path)]) == 0
    assert len(lines) == reports


@law
def test_train_says_from_which_step_it_goes_on(short, tmp_path, capsys):
    """A run that is begun says nothing of the kind."""
    command = ["train", "fastvlm-tiny", "--run", str(tmp_path / "run"), "--stop"]
    assert cli.main([*command, "1"]) == 0
    assert "from step" not in told(capsys)
    assert cli.main([*command, "2"]) == 0
    assert "run, from step 1 of 4; Ctrl-C saves" in told(capsys)


@law
def test_recipes_note_what_their_speed_is_told_in(short, tmp_path):
    """Pictures from the first step on, and tokens where there are any."""
    command = ["train", "fastvlm-tiny", "--run", str(tmp_path)]
    assert cli.main(command) == 0
    rows = load_state(tmp_path / "state.safetensors", "fastvlm-tiny").history
    assert [row["pictures"] for row in rows] == [16] * 4
    assert ["tokens" in row for row in rows] == [False, False, False, True]


@law
def test_help_tells_every_default():
    """Each option that takes a value says what it is where it is not given. (Those of
    `spec` choose among tests: without them it is all.)"""
    parser = cli._parser()
    (commands,) = (a for a in parser._actions if isinstance(a.choices, dict))
    untold = [
        (name, action.option_strings[-1])
        for name, command in commands.choices.items()
        for action in command._actions
        if name != "spec" and action.option_strings and action.nargs != 0
        if not action.required and "(default: " not in (action.help or "")
    ]
    assert not untold and len(commands.choices) >= 6


@law
def test_score_prints_every_model_in_one_form(capsys):
    """A title, and lines of heading, share and count in the same columns."""
    model = str(shipped_model("clip-tiny"))
    assert cli.main(["score", model, "--scenes", "5", "--limits"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "zero-shot" and len(lines) == len(ALONE)
    for line in lines:
        assert re.fullmatch(r"  .{36}  [ \d]{3}\.\d % of 5 \(\d+ to \d+\)", line)
    others = *HEADINGS, *SEVERAL, *UNSAYABLE, *REQUESTS
    assert max(map(len, others)) <= WIDTH == 36


@contract
def test_score_replaces_no_file(tmp_path, monkeypatch, capsys):
    """Not even one of its own: the numbers of another day may be wanted."""
    file = tmp_path / "scores.json"
    file.write_text("mine")
    monkeypatch.setattr("refvlm.pretrained.load", None)
    with pytest.raises(SystemExit) as stop:
        cli.main(["score", "--json", str(file)])
    assert stop.value.code == 2 and "is there already" in told(capsys)
    assert file.read_text() == "mine"


@contract
def test_score_needs_a_model(tmp_path, capsys):
    """An empty folder is one line on standard error."""
    assert cli.main(["score", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
