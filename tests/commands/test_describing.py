"""The spec of `describe` and `ask`: the question asked, the answer, and what is said
beside it (refvlm/commands/describing.py, notices.py)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refvlm import cli, scenes
from refvlm.commands import describing
from refvlm.models import blip
from refvlm.models.blip_config import BlipConfig

from .. import blip_files, tiny
from ..spec import contract, example, law

PICTURE = str(Path(__file__).parents[2] / "book" / "images" / "shapes.png")


def said(capsys, *arguments):
    """(standard output, standard error) of a command that goes well."""
    assert cli.main([*map(str, arguments)]) == 0
    return capsys.readouterr()


def told(capsys, *arguments):
    """The JSON object of a command, which prints nothing else."""
    out, error = said(capsys, *arguments, "--json")
    assert error == "" and out.count("\n") == 1
    return json.loads(out)


@law
@pytest.mark.parametrize(
    "question",
    [
        ["what colour is the star?"],
        ["  what colour is \t the star?\n"],
        ["what\u00a0colour is the star?"],
        ["what", "colour", "is", "the", "star?"],
        ["what colour", " is the star? "],
    ],
)
def test_ask_minds_no_spaces_and_no_quotes(capsys, question):
    """A question without quotes comes in words; spaces around and between words are
    not the question. --json tells what was asked of the model."""
    answer = told(capsys, "ask", PICTURE, *question)
    assert answer["prompt"] == "what colour is the star?"
    assert answer["text"] == "yellow" and answer["notices"] == []


@law
def test_ask_says_what_a_model_that_captions_does_with_a_question(capsys, tmp_path):
    """It goes on from it; `describe` begins with nothing, or with what it is given."""
    config = blip_files.described("BlipForConditionalGeneration")
    shapes = blip.captioning_shapes(BlipConfig.from_json(config))
    blip_files.write(tmp_path, config, blip_files.tensors(shapes, 4))
    model = "--model", tmp_path, "--max-new-tokens", 5
    asked = told(capsys, "ask", PICTURE, "what is this?", *model)
    assert any("writes captions and answers no" in n for n in asked["notices"])
    begun = told(capsys, "describe", PICTURE, "--prompt", "what is this?", *model)
    assert begun["text"] == asked["text"]
    plain = told(capsys, "describe", PICTURE, *model)
    for caption, prompt in ((begun, "what is this?"), (plain, "")):
        assert caption["prompt"] == prompt
        assert not any("writes captions" in n for n in caption["notices"])


@law
def test_describe_strips_a_prompt_and_keeps_its_lines(capsys):
    """A request to a larger model may have lines; what is around them is nothing."""
    answer = told(capsys, "describe", PICTURE, "--prompt", " a\n\n  b? ")
    assert answer["prompt"] == "a\n\n  b?"


@law
def test_describe_says_what_its_json_says(capsys):
    """The fields of the module's docstring are those of the object."""
    answer = told(capsys, "describe", PICTURE)
    words = [line.split() for line in describing.__doc__.splitlines()]
    assert [line[0] for line in words if len(line) > 3][2:] == list(answer)
    assert answer["finished"] is True and 0.5 <= answer["confidence"] <= 1
    with pytest.raises(SystemExit):
        cli.main(["describe", "--help"])
    shown = capsys.readouterr().out
    assert all(field in shown for field in answer)


@law
def test_describe_says_that_an_answer_was_cut(capsys):
    """In a notice on standard error, or in --json; an answer that ends at the limit by
    itself is not cut."""
    out, error = said(capsys, "describe", PICTURE, "--max-new-tokens", 4)
    assert out == "from top to bottom\n"
    assert error == "refvlm: cut at --max-new-tokens 4: a larger number lets it go on\n"
    assert not told(capsys, "describe", PICTURE, "--max-new-tokens", 4)["finished"]
    whole = told(capsys, "describe", PICTURE)
    exact = ("describe", PICTURE, "--max-new-tokens", whole["tokens"])
    assert told(capsys, *exact)["finished"] and said(capsys, *exact).err == ""


@example
@pytest.mark.parametrize(
    "question, notice",
    [
        ("How many objects are there?", '"how many objects are there?"'),
        ("what color is the star", '"what colour is the star?"'),
        ("what is this?", "`refvlm ask --questions` lists them"),
        ("describe the image", '"Describe the image."'),
        ("Describe the image.", None),
        ("how many objects are there?", None),
    ],
)
def test_ask_says_which_questions_the_weights_know(capsys, question, notice):
    """The words stay as they are; the notice says how they were in training."""
    answer = told(capsys, "ask", PICTURE, question)
    found = [text for text in answer["notices"] if not text.startswith("unsure")]
    assert answer["prompt"] == question
    assert [notice in text for text in found] == ([True] if notice else [])
    assert said(capsys, "ask", PICTURE, question).err.count("\n") == len(
        answer["notices"]
    )


@law
@pytest.mark.parametrize("name", ["llava-tiny", "textbook-tiny", "microvlm-tiny"])
def test_ask_says_it_of_every_model_of_scenes(capsys, name):
    """Each that comes along knows the drawn world alone."""
    question = "who painted this?", "--model", name
    answer = told(capsys, "ask", PICTURE, *question)
    assert any("`refvlm ask --questions`" in text for text in answer["notices"])


@law
def test_ask_lists_the_questions(capsys):
    """`ask --questions` needs no picture, and prints the list alone, one a line: its
    help says that --json does nothing to it."""
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["ask", "--questions", *more])
        shown = capsys.readouterr()
        assert stop.value.code == 0 and shown.err == ""
        assert "what colour is the [SIZE] SHAPE?\n" in shown.out
    with pytest.raises(SystemExit):
        cli.main(["ask", "--help"])
    help = " ".join(capsys.readouterr().out.split())
    assert "one a line whatever else is given, and exit" in help


@law
def test_describe_is_unsure_of_nothing(capsys, tmp_path):
    """An empty ground gets a shape, with a notice; scenes of its world get none."""
    rng = np.random.default_rng(0)
    notices = []
    for number in range(6):
        scene = scenes.sample(rng)
        scene = replace(scene, objects=()) if number % 2 else scene
        path = tmp_path / f"{number}.png"
        Image.fromarray(scenes.draw(scene)).save(path)
        notices.append(said(capsys, "describe", path).err)
    assert notices[::2] == ["", "", ""]
    assert all(text.startswith("refvlm: unsure: ") for text in notices[1::2])


@law
def test_other_models_are_not_held_against_the_drawn_world(capsys, tmp_path):
    """A model of one's own has neither its questions nor its threshold."""
    model = tiny.write_checkpoint(tmp_path / "tiny")
    options = ["--model", model, "--max-new-tokens", 3]
    answer = told(capsys, "ask", PICTURE, "What is this?", *options)
    assert answer["confidence"] < 0.45
    assert [text[:3] for text in answer["notices"]] == ["cut"]


@law
@pytest.mark.parametrize(
    "suffix, kind",
    [(".png", "PNG"), (".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP")],
)
def test_show_attention_writes_what_the_suffix_says(capsys, tmp_path, suffix, kind):
    """And prints the answer all the same."""
    path = tmp_path / f"looked{suffix}"
    assert "star" in said(capsys, "describe", PICTURE, "--show-attention", path).out
    with Image.open(path) as sheet:
        assert sheet.format == kind
    assert list(tmp_path.iterdir()) == [path]


@law
def test_show_attention_of_no_words_is_no_picture(capsys, tmp_path, monkeypatch):
    """An answer without words has nothing to show: a notice, and no white sheet."""
    stop = 1

    def stream(vlm, *_, **__):
        yield next(iter(vlm.stop_ids)), ""
        yield -stop, ""

    monkeypatch.setattr("refvlm.pretrained.VLM.describe_stream", stream)
    path = tmp_path / "looked.png"
    error = said(capsys, "describe", PICTURE, "--show-attention", path).err
    assert "has no words" in error and error.count("\n") == 1 and not path.exists()


@contract
@pytest.mark.parametrize(
    "name, message",
    [
        ("mine.png", "is there already"),
        ("linked.png", "is there already"),
        ("dangling.png", "is there already"),
        ("folder", "is a folder"),
        ("none/a.png", "there is no folder"),
        ("a.tif", "a picture that ends in .png, .jpg, .jpeg, .webp"),
        ("a", "a picture that ends in"),
        ("mine.png/a.png", "there is no folder"),
    ],
)
def test_show_attention_replaces_nothing(capsys, tmp_path, monkeypatch, name, message):
    """Neither the picture itself, by whatever name, nor any other file; and nothing is
    loaded before that is clear."""
    monkeypatch.setattr("refvlm.pretrained.load", None)
    mine = tmp_path / "mine.png"
    mine.write_bytes(Path(PICTURE).read_bytes())
    (tmp_path / "linked.png").hardlink_to(mine)
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit) as stop:
        cli.main(["describe", str(mine), "--show-attention", str(tmp_path / name)])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert mine.read_bytes() == Path(PICTURE).read_bytes()


@contract
@pytest.mark.parametrize(
    "arguments",
    [
        ["describe", PICTURE, "--show-attention", "/proc/none.png"],
        ["score", "--json", "/proc/none.json"],
    ],
)
def test_new_files_want_a_folder_that_takes_them(capsys, arguments):
    """Said before the work, not after it."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "cannot be written: " in capsys.readouterr().err
