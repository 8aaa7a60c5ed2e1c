"""The spec of `classify`: the likeliest classes of a picture
(refvlm/commands/classifying.py)."""

import io
import json
from types import SimpleNamespace

import pytest
from PIL import Image

import refvlm
from refvlm import cli, pretrained

from ..pretrained.test_vision_model import PICTURES, described, tensors_of, write
from ..spec import contract, law


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A picture in a file, and a tiny ViT that names three things."""
    folder = tmp_path_factory.mktemp("classify")
    Image.fromarray(PICTURES[0]).save(folder / "some picture.png")
    write(folder, described("vit"), tensors_of("vit"))
    return SimpleNamespace(model=folder, picture=folder / "some picture.png")


def said(capsys, *arguments):
    """What a command that goes well prints, and nothing on standard error."""
    assert cli.main(["classify", *map(str, arguments)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


@law
def test_classify_prints_what_the_model_says(capsys, files):
    """The same classes in the same order, in percent or in full."""
    named = refvlm.load(files.model).classify(files.picture)
    lines = said(capsys, files.picture, "--model", files.model).splitlines()
    assert [line.split("%  ")[1] for line in lines] == [name for name, _ in named]
    told = json.loads(said(capsys, files.picture, "--model", files.model, "--json"))
    assert [(c["label"], c["probability"]) for c in told["classes"]] == named
    assert set(told) == {"classes", "seconds"}


@law
def test_classify_reads_standard_input_and_gives_as_many_as_asked(
    capsys, files, monkeypatch
):
    """A picture through a pipe, and the best class alone."""
    pipe = SimpleNamespace(
        buffer=io.BytesIO(files.picture.read_bytes()), isatty=lambda: False
    )
    best = said(capsys, files.picture, "--model", files.model, "--top", 1)
    monkeypatch.setattr("sys.stdin", pipe)
    assert said(capsys, "-", "--model", files.model, "--top", 1) == best
    assert best.count("\n") == 1


@contract
def test_classify_refuses_a_model_without_classes(capsys, files):
    """A CLIP has sentences, not classes."""
    model = pretrained.shipped_model("clip-tiny")
    assert cli.main(["classify", str(files.picture), "--model", str(model)]) == 1
    assert "holds a CLIP, which has no classes" in capsys.readouterr().err


@contract
@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "--model"),
        (("--model", "nowhere", "--top", "0"), "a whole number from 1 up"),
        (("second.png", "--model", "nowhere"), "one picture at a time"),
    ],
)
def test_classify_refuses_wrong_usage(capsys, files, arguments, message):
    """Before anything is opened."""
    with pytest.raises(SystemExit) as left:
        cli.main(["classify", str(files.picture), *arguments])
    assert left.value.code == 2
    assert message in capsys.readouterr().err
