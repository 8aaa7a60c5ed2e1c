"""The spec of `remember`, `forget` and `ask --memory` (refvlm/commands/remembering.py,
recalling.py): several calls share one file, and nothing in it is lost."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import cli
from refvlm.commands import recalling, remembering

from .. import microvlm_files
from ..spec import contract, example, law

ROOT = Path(__file__).parents[2]
QUESTION = "in which picture was the ring?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return microvlm_files.write(tmp_path_factory.mktemp("microvlm"))


@pytest.fixture
def folder(tmp_path):
    """Four pictures, a.png to d.png, and nothing else."""
    for name, picture in zip("abcd", microvlm_files.drawn(4)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def run(model, capsys, folder, monkeypatch):
    """Run a command in the folder: (status, output, error). To random tensors pictures
    are much alike, and all would fade: that is not told here."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("refvlm.pretrained.memory.FADED", 0.0)

    def run(*arguments, memory="it.memory"):
        given = [*map(str, arguments), "--memory", memory, "--model", str(model)]
        if arguments[0] == "ask":
            given += ["--max-new-tokens", "4"]
        try:
            status = cli.main(given)
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


def told(run, *arguments, **options):
    status, out, err = run(*arguments, "--json", **options)
    assert (status, err) == (0, "") and out.count("\n") == 1
    return json.loads(out)


@example
def test_the_memory_of_the_readme_answers_as_it_shows(tmp_path, monkeypatch, capsys):
    """Each command of its block, in a folder that has its pictures and nothing else."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("$ cd book/images\n")[1].split("```")[0]
    for file in (ROOT / "book" / "images").glob("*day.png"):
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    assert sum("remember" in line for line in commands) == 2
    told = ""
    for line in commands:
        python, *arguments = shlex.split(line.removeprefix("$ "))
        assert (python, arguments[:2]) == ("python", ["-m", "refvlm"])
        assert cli.main(arguments[2:]) == 0
        out, error = capsys.readouterr()
        told += f"{line}\n{out}"
        assert error == ""
    assert told == block


@law
@pytest.mark.parametrize(
    "question, notice",
    [
        ("in which picture was the red star?", None),
        ("what colour is the star?", None),
        ("In the second picture, what color was the star", "what colour was the star?"),
        ("how many objects are there?", "`refvlm ask --questions` lists them"),
    ],
)
def test_ask_says_which_questions_the_weights_that_remember_know(
    tmp_path, capsys, question, notice
):
    """Those of episodes: a question of a single scene is another world's."""
    monday = str(ROOT / "book" / "images" / "monday.png")
    memory = ["--memory", str(tmp_path / "it.memory")]
    assert cli.main(["remember", monday, *memory]) == 0
    capsys.readouterr()
    assert cli.main(["ask", question, *memory, "--json"]) == 0
    notices = json.loads(capsys.readouterr().out)["notices"]
    found = [text for text in notices if "these weights know" in text]
    assert [notice in text for text in found] == ([True] if notice else [])


@law
def test_ask_says_that_nothing_like_it_is_remembered(tmp_path, capsys):
    """Of a picture that was forgotten; not of those that are remembered, nor of one
    that is there."""
    images = ROOT / "book" / "images"
    days = [str(images / f"{day}.png") for day in ("monday", "tuesday", "wednesday")]
    memory = ["--memory", str(tmp_path / "it.memory")]
    assert cli.main(["remember", *days, *memory]) == 0
    assert cli.main(["forget", "2", *memory]) == 0
    said = {}
    for words in (
        ["in which picture was the blue circle?"],
        ["in the third picture, what colour was the square?"],
        ["in which picture was the yellow cross?"],
        ["in the second picture, what colour was the cross?"],
        [days[1], "what colour is the cross?"],
    ):
        capsys.readouterr()
        assert cli.main(["ask", *words, *memory]) == 0
        error = capsys.readouterr().err
        said[words[-1]] = (
            "nothing like what is asked about" in error,
            "the second picture was forgotten" in error,
        )
    new, gone, neither = (True, False), (False, True), (False, False)
    assert [*said.values()] == [neither, neither, new, gone, neither]


@law
def test_several_calls_share_one_memory(run, model, folder):
    """Three commands are three calls of one model, to the bit."""
    assert run("remember", "a.png", "b.png") == (0, "1  a.png\n2  b.png\n", "")
    assert run("remember", "c.png") == (0, "3  c.png\n", "")
    assert run("forget", 2) == (0, "", "")
    assert run("remember") == (0, "1  a.png\n3  c.png\n", "")
    here = refvlm.load(model)
    here.remember(folder / "a.png", folder / "b.png")
    here.remember(folder / "c.png")
    here.forget(2)
    there = refvlm.load(model)
    there.memory.load(folder / "it.memory")
    for ours, theirs in zip(here.memory.belief, there.memory.belief):
        np.testing.assert_array_equal(ours, theirs)
    for picture in ((), ("d.png",)):
        reply = here.recall(QUESTION, *picture, max_new_tokens=4)
        answer = told(run, "ask", *picture, QUESTION)
        assert answer["text"] == reply.text
        assert answer["confidence"] == reply.confidence
    assert {file.name for file in folder.iterdir()} == {
        *("a.png", "b.png", "c.png", "d.png", "it.memory")
    }


@law
def test_remember_says_what_its_json_says(run):
    """The fields of the module's docstring are those of the object."""
    object_of = told(run, "remember", "a.png", "b.png")
    lines = remembering.__doc__.partition("print one object")[2].splitlines()
    starts = [line.split()[0] for line in lines if line[4:5].strip()]
    assert starts == list(object_of)
    assert object_of["memory"] == "it.memory" and object_of["new"] == [1, 2]
    assert [one["name"] for one in object_of["pictures"]] == ["a.png", "b.png"]
    assert all(0 < one["left"] < 1 for one in object_of["pictures"])
    assert (object_of["facts"], object_of["slots"]) == (6, 7)
    assert told(run, "remember", "c.png")["new"] == [3]
    left = told(run, "forget", 1, 3)
    assert left["new"] == [] and [one["number"] for one in left["pictures"]] == [2]


@law
def test_ask_says_what_the_memory_had_to_do_with_it(run):
    """In --json, by the fields of the docstring, and in words with --verbose; without
    --memory the object is what it always was."""
    run("remember", "a.png", "b.png")
    memory = told(run, "ask", QUESTION)["memory"]
    lines = recalling.__doc__.splitlines()
    starts = [
        line.split()[0] for line in lines if line[4:5].strip() and line[:1] == " "
    ]
    assert starts == list(memory)
    assert memory["pictures"] == 2 and [*memory["shares"]] == ["1", "2"]
    assert sum(memory["shares"].values()) == pytest.approx(1)
    assert memory["open"] == (memory["gate"] > 0.5)
    error = run("ask", QUESTION, "--verbose")[2]
    assert "the memory's gate was" in error and "was of picture" in error


@law
def test_ask_says_that_without_a_picture_it_guesses(tmp_path, capsys):
    """Where the question is not one for the memory, or counts to a picture that was
    never there or is there no more."""
    images = ROOT / "book" / "images"
    monday, tuesday = (str(images / f"{day}.png") for day in ("monday", "tuesday"))
    memory = ["--memory", str(tmp_path / "it.memory")]
    assert cli.main(["remember", monday, tuesday, *memory]) == 0
    assert cli.main(["forget", "1", *memory]) == 0
    said = {}
    for words in (
        ["what colour is the star?"],
        [monday, "what colour is the star?"],
        ["in the seventh picture, what colour was the star?"],
        ["in the first picture, what colour was the star?"],
        ["in the second picture, what colour was the cross?"],
    ):
        capsys.readouterr()
        assert cli.main(["ask", *words, *memory, "--json"]) == 0
        notices = json.loads(capsys.readouterr().out)["notices"]
        said[" ".join(words)[-40:]] = [n for n in notices if "is a guess" in n]
    closed, with_picture, seventh, first, second = said.values()
    assert "the gate was closed" in closed[0] and with_picture == second == []
    assert seventh == [
        "there is no seventh picture: 2 were remembered: the answer is a guess"
    ]
    assert first == ["the first picture was forgotten: the answer is a guess"]


@law
def test_what_has_faded_is_told_in_the_commands_own_words(folder, capsys, monkeypatch):
    """What makes room is a command, and no function of the library's."""
    monkeypatch.chdir(folder)
    document = microvlm_files.described(memory={"noise": 100.0})
    forgetful = microvlm_files.write(folder / "forgetful", document)
    given = ["--memory", "its.memory", "--model", str(forgetful)]
    assert cli.main(["remember", "a.png", *given]) == 0
    error = capsys.readouterr().err
    assert "`refvlm forget NUMBER --memory FILE` makes room" in error
    assert "forget()" not in error


@contract
def test_help_tells_what_belongs_to_a_memory(run):
    """What may be left out, which model it takes, and what --json says of it."""
    _, out, _ = run("ask", "--help")
    assert "--memory FILE [IMAGE] QUESTION" in out
    said = " ".join(out.split())
    assert "with --memory a MicroVLM-V" in said
    assert "memory: pictures, gate, open, novelty and shares" in said
    _, out, _ = run("forget", "--help")
    assert "begun" not in out


@law
@pytest.mark.parametrize(
    "words",
    [
        ["ask", QUESTION],
        ["ask", "--json", QUESTION],
        ["ask", "--temperature", "0.5", "--seed", "1", QUESTION],
    ],
)
def test_ask_takes_a_question_alone_or_beside_a_picture(run, words):
    """Options may stand in front, between and behind."""
    run("remember", "a.png")
    assert run(*words)[0] == 0
    assert run(words[0], "b.png", *words[1:])[0] == 0


@law
def test_ask_joins_words_behind_a_picture(run):
    """A question without quotes, where it is known which word is the picture."""
    run("remember", "a.png")
    answer = told(run, "ask", "b.png", "where", "is", "it?")
    assert answer["prompt"] == "where is it?"
    assert told(run, "ask", "  where \n is it? ")["prompt"] == "where is it?"


@law
def test_ask_before_anything_is_remembered_says_so(run):
    """The answer is given, and what it is worth; with a picture it is that of `ask`
    without a memory."""
    status, out, error = run("ask", QUESTION)
    assert status == 0 and "nothing is remembered in it.memory, and no picture" in error
    assert "the answer is a guess" in error and out
    answer = told(run, "ask", "a.png", QUESTION)
    assert any("nothing is remembered" in notice for notice in answer["notices"])
    assert answer["memory"] == {
        "pictures": 0,
        "gate": None,
        "open": False,
        "novelty": None,
        "shares": {},
    }
    run("remember", "a.png")
    run("forget", 1)
    again = told(run, "ask", "a.png", QUESTION)
    assert again["text"] == answer["text"] and again["memory"]["pictures"] == 0
    assert "nothing is remembered" in run("remember")[2]


@law
def test_remember_says_what_has_faded(folder, capsys, monkeypatch):
    """Once, with the number and the name of what is lost; line breaks in a name do not
    break the line."""
    monkeypatch.chdir(folder)
    document = microvlm_files.described(memory={"noise": 100.0})
    forgetful = microvlm_files.write(folder / "forgetful", document)
    name = "a\nb.png"
    os.rename("a.png", name)
    given = ["--memory", "its.memory", "--model", str(forgetful)]
    assert cli.main(["remember", name, *given]) == 0
    out, error = capsys.readouterr()
    assert out == "1  a\\nb.png\n" and error.count("\n") == 1
    assert "picture 1 ('a\\nb.png') has faded: more of it is lost than is left" in error
    assert cli.main(["remember", "b.png", *given]) == 0
    error = capsys.readouterr().err
    assert "picture 2 ('b.png') has faded" in error and "picture 1" not in error


@law
def test_remember_takes_standard_input(model, folder):
    """`-` is the picture on it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "refvlm", "remember", "b.png", "-"),
            *("--memory", "m", "--model", str(model)),
        ],
        input=(folder / "a.png").read_bytes(),
        capture_output=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"1  b.png\n2  standard input\n"


@contract
def test_remember_is_all_or_nothing(run, folder):
    """One picture that cannot be read, and the file is what it was."""
    run("remember", "a.png")
    before = (folder / "it.memory").read_bytes()
    status, out, error = run("remember", "b.png", "none.png")
    assert (status, out) == (1, "") and "there is no file 'none.png'" in error
    status, out, error = run("forget", 1, 7)
    assert status == 1 and "there is no picture 7" in error
    assert (folder / "it.memory").read_bytes() == before


@contract
@pytest.mark.parametrize("command", [["remember", "a.png"], ["ask", QUESTION]])
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n and so on", b"\0" * 99])
def test_a_damaged_memory_is_one_clear_error(run, folder, command, content):
    """One line, status 1, and the file is not touched."""
    (folder / "it.memory").write_bytes(content)
    status, out, error = run(*command)
    assert (status, out) == (1, "") and error.count("\n") == 1
    assert "it.memory is damaged, or no memory that refvlm wrote" in error
    assert (folder / "it.memory").read_bytes() == content


@contract
def test_the_memory_of_another_model_is_one_clear_error(run, folder, capsys):
    """It says which file, and to give the model that wrote it."""
    other = microvlm_files.write(folder / "other", seed=6)
    run("remember", "a.png")
    for command in (["remember", "b.png"], ["ask", QUESTION], ["forget", "1"]):
        given = [*command, "--memory", "it.memory", "--model", str(other)]
        assert cli.main(given) == 1
        assert "it.memory is the memory of another model" in capsys.readouterr().err


@law
def test_calls_at_once_lose_nothing(model, folder):
    """Three programs, of which the first to come begins the file: each waits for the
    one before, and all pictures are there."""
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "refvlm", "remember", f"{name}.png"),
                *("--memory", "it.memory", "--model", str(model)),
            ],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in "abc"
    ]
    said = sorted(each.communicate()[0].decode() for each in running)
    assert [each.returncode for each in running] == [0, 0, 0]
    assert [line[:3] for line in said] == ["1  ", "2  ", "3  "]
    there = refvlm.load(model)
    there.memory.load(folder / "it.memory")
    names = [kept.name for kept in there.memory.receipts.values()]
    assert [f"{n}  {name}\n" for n, name in enumerate(names, 1)] == said
    assert sorted(names) == ["a.png", "b.png", "c.png"]
    assert {file.suffix for file in folder.iterdir()} == {".png", ".memory"}


@law
def test_remember_alone_only_lists(run, folder):
    """Nothing is written: the file may be protected."""
    run("remember", "a.png")
    memory = folder / "it.memory"
    memory.chmod(0o444)
    before = memory.stat()
    assert run("remember") == (0, "1  a.png\n", "")
    assert memory.stat() == before
    status, out, error = run("remember", "b.png")
    assert (status, out) == (2, "") and "it is write-protected" in error
    assert run("forget", 1)[0] == 2 and memory.stat() == before


@law
def test_remember_without_pictures_wants_no_leave_to_write(run, monkeypatch):
    """In a folder that can only be read."""
    run("remember", "a.png")
    monkeypatch.setattr(
        "refvlm.commands.outputs.unwritable", lambda folder: "read only"
    )
    monkeypatch.setattr("refvlm.checkpoint.locked", None)
    assert run("remember") == (0, "1  a.png\n", "")
    assert run("remember", "b.png")[0] == 2


@contract
def test_forget_begins_no_file(run, folder):
    """It says that there is none."""
    status, out, error = run("forget", 1)
    assert (status, out) == (1, "") and "there is no memory it.memory" in error
    assert not (folder / "it.memory").exists()


@contract
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["remember", "a.png", "a.png", "it.png"], "it.png is one of the pictures"),
        (["remember", "-", "-"], "standard input is one picture: give - once"),
        (["forget"], "the following arguments are required: NUMBER"),
        (["forget", "0"], "a whole number from 1 up"),
        (["forget", "a.png"], "a whole number from 1 up"),
        (["ask"], "the following arguments are required: QUESTION"),
        (["ask", "a.png"], "the following arguments are required: QUESTION"),
        (["ask", "-"], "the following arguments are required: QUESTION"),
        (["ask", "  "], "a text with words in it, not an empty one"),
        (["ask", "a.png", "  "], "a text with words in it, not an empty one"),
        (["ask", "where", "is", "it?"], "there is no picture 'where'; a question that"),
        (["ask", "a.png", "b?", "--show-attention", "x.png"], "exclude each other"),
    ],
)
def test_memory_commands_refuse_wrong_usage(run, folder, arguments, message):
    """Status 2, and what to give."""
    memory = "it.memory"
    if "it.png" in arguments:
        os.rename("b.png", "it.png")
        memory = "it.png"
    status, out, error = run(*arguments, memory=memory)
    assert (status, out) == (2, "") and message in error
    assert not (folder / "it.memory").exists()


@contract
@pytest.mark.parametrize(
    "memory, message",
    [
        (".", "is a folder: give the name of a new file"),
        ("none/a.memory", "there is no folder 'none'"),
        ("a.png/a.memory", "there is no folder 'a.png'"),
    ],
)
def test_remember_wants_a_file_that_can_be_written(run, memory, message):
    """Told before any work."""
    status, out, error = run("remember", "a.png", memory=memory)
    assert (status, out) == (2, "") and message in error


@contract
def test_ask_takes_a_folder_for_no_memory(run):
    """Bad input, in one line."""
    status, _, error = run("ask", QUESTION, memory=".")
    assert status == 1 and "is not an ordinary file" in error


@contract
def test_ask_without_a_memory_still_wants_a_question(capsys):
    """One word too few is wrong usage, as it always was."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["ask", "a.png"])
    assert stop.value.code == 2
    assert "arguments are required: QUESTION" in capsys.readouterr().err


@contract
def test_remember_refuses_a_model_without_a_memory(run, folder, capsys):
    """It says which kind remembers."""
    given = ["--memory", "it.memory", "--model", "fastvlm-tiny"]
    for command in (["remember", "a.png"], ["ask", QUESTION]):
        assert cli.main([*command, *given]) == 1
        error = capsys.readouterr().err
        assert "remembers no pictures: give a MicroVLM-V" in error
    assert not (folder / "it.memory").exists()


@contract
def test_an_interrupted_remember_leaves_the_old_memory(run, folder, monkeypatch):
    """Ctrl-C while it is being written: 130, and the file is what it was."""
    run("remember", "a.png")
    before = (folder / "it.memory").read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("refvlm.checkpoint.saving.os.replace", stop)
    assert run("remember", "b.png")[0] == 130
    assert (folder / "it.memory").read_bytes() == before
    assert {file.suffix for file in folder.iterdir()} == {".png", ".memory"}
