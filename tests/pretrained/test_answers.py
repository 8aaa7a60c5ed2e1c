"""vlm.answers: lists of pictures and prompts, as people give them."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm.checkpoint import CheckpointError
from refvlm.image import ImageError

from .. import tiny
from ..spec import contract, example, law

PICTURES = [np.full((20, 30, 3), level, np.uint8) for level in (10, 120, 250)]
PROMPTS = ["What is this?", "Why?", "Who was here?"]


@pytest.fixture(scope="module")
def vlm(tmp_path_factory):
    return refvlm.load(tiny.write_checkpoint(tmp_path_factory.mktemp("tiny")))


@example
def test_answers_are_what_each_prompt_gets_alone(vlm):
    """Together or one by one, and whatever the lengths of the prompts."""
    alone = [vlm.describe(*pair, 5) for pair in zip(PICTURES, PROMPTS)]
    assert vlm.answers(PICTURES, PROMPTS, 5) == alone
    assert len(set(alone)) > 1, "all alike would prove nothing"


@law
def test_answers_take_lists_of_any_kind(vlm, tmp_path):
    """Tuples, generators, a batch of NumPy's, and sources of every kind mixed."""
    expected = vlm.answers(PICTURES, PROMPTS, 5)
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    data = io.BytesIO()
    Image.fromarray(PICTURES[1]).save(data, "PNG")
    mixed = [tmp_path / "a.png", data.getvalue(), Image.fromarray(PICTURES[2])]
    assert vlm.answers(tuple(PICTURES), tuple(PROMPTS), 5) == expected
    assert vlm.answers((p for p in PICTURES), iter(PROMPTS), 5) == expected
    assert vlm.answers(np.stack(PICTURES), np.array(PROMPTS), 5) == expected
    assert vlm.answers(mixed, PROMPTS, 5) == expected


@law
def test_answers_read_a_stream_once_for_all_who_ask(vlm):
    """The same stream beside three prompts is one picture, and cannot be read twice."""
    data = io.BytesIO()
    Image.fromarray(PICTURES[1]).save(data, "PNG")
    data.seek(0)
    expected = vlm.answers([PICTURES[1]] * 3, PROMPTS, 5)
    assert vlm.answers([data] * 3, PROMPTS, 5) == expected


@law
def test_answers_to_nothing_are_none(vlm):
    """No pictures and no prompts: no answers, and no error."""
    assert vlm.answers([], []) == vlm.answers((), iter(())) == []


@contract
@pytest.mark.parametrize("pictures, prompts", [(2, 3), (3, 2), (1, 3), (0, 1), (1, 0)])
def test_answers_want_a_picture_beside_each_prompt(vlm, pictures, prompts):
    """Neither is cut to the length of the other; the message says what to do."""
    said = rf"answers: pictures has {pictures}, prompts {prompts}, but .*\[picture\]"
    with pytest.raises(ValueError, match=said):
        vlm.answers(PICTURES[:pictures], PROMPTS[:prompts], 5)


@law
def test_answers_follow_their_own_advice(vlm):
    """One picture that several prompts ask about, repeated as the error says."""
    picture = PICTURES[0]
    assert len(vlm.answers([picture] * len(PROMPTS), PROMPTS, 2)) == 3


@contract
@pytest.mark.parametrize(
    "alone",
    ["a.png", b"bytes", io.BytesIO(b"a"), Image.new("RGB", (9, 9)), PICTURES[0], None],
)
def test_answers_refuse_one_picture_for_a_list(vlm, alone):
    """A path is not a list of letters, a picture not a list of rows."""
    with pytest.raises(ValueError, match=r"answers: pictures is a list, even of one"):
        vlm.answers(alone, PROMPTS)


@contract
def test_answers_refuse_what_is_no_prompt_and_no_picture(vlm, monkeypatch):
    """And before a picture is looked at."""
    monkeypatch.setattr(vlm, "family", replace(vlm.family, encode_image=None))
    with pytest.raises(ValueError, match=r"prompts is a list, even of one, \[prompt\]"):
        vlm.answers(PICTURES, "What?")
    with pytest.raises(ValueError, match="a prompt is a text, not NoneType"):
        vlm.answers(PICTURES, ["What?", None, "Why?"])
    with pytest.raises(ValueError, match="max_new_tokens must be a whole number"):
        vlm.answers([], [], -1)
    with pytest.raises(ImageError, match="there is no file 'nowhere.png'"):
        vlm.answers(["nowhere.png"], ["What?"])
    with pytest.raises(ImageError, match="rescale them"):
        vlm.answers([np.full((4, 4, 3), 255.0)], ["What?"])
    with pytest.raises(ImageError, match="without NaN"):
        vlm.answers([np.full((4, 4, 3), np.nan)], ["What?"])


@contract
@pytest.mark.parametrize("ask", ["logits", "generate"])
def test_pixels_of_0_to_255_are_refused(vlm, ask):
    """They would be answered with nonsense; so would NaN, and bytes."""
    pixels = tiny.pictures(1).astype(np.float32)
    rest = ([[72, -200, 63]], *([2] if ask == "generate" else []))
    getattr(vlm, ask)(pixels, *rest)
    for wrong, said in (
        (pixels * 255, "as bytes do, but must be as vlm.preprocessor"),
        (np.where(pixels > 0.5, np.nan, pixels), "has NaN"),
        ((pixels * 255).astype(np.uint8), "must be floating"),
    ):
        with pytest.raises(ValueError, match=said):
            getattr(vlm, ask)(wrong, *rest)


@contract
def test_preprocessor_that_makes_no_pixels_is_refused(tmp_path):
    """A configuration that leaves bytes as they are is not to be fed to the model."""
    path = tiny.write_checkpoint(tmp_path) / "preprocessor_config.json"
    path.write_text(json.dumps({**tiny.PREPROCESSOR, "do_rescale": False}))
    with pytest.raises(CheckpointError, match=r"makes 0 to 255 of black and white"):
        refvlm.load(tmp_path).answers(PICTURES, PROMPTS)
