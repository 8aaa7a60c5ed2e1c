"""The spec of weights/llava-tiny and weights/textbook-tiny, whose tower is frozen."""

import json

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint, scenes
from refvlm.metrics.scene_scores import score
from refvlm.models import clip, llava, textbook
from refvlm.pretrained import shipped_model
from refvlm.recipes import llava_tiny
from refvlm.text.chat import DESCRIBE

from .oracles import import_torchvision
from .spec import law, oracle

TOWERS = {"llava-tiny": llava.TOWER, "textbook-tiny": textbook.TOWER}
QUESTION = "how many objects are there?"


@pytest.fixture(scope="module", params=TOWERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def vlm(name):
    return refvlm.load(shipped_model(name))


def found(name, file):
    return json.loads((shipped_model(name) / file).read_text())["found"]


@law
def test_it_tells_about_scenes_as_its_card_says(name, vlm):
    """Of forty fresh scenes about as many as of the thousand on the card."""
    report = score(vlm.answers, "train", count=40, seed=5, questions=6)
    for heading, room in (("captions", 0.25), ("questions", 0.12)):
        right, asked = report.shares[heading]
        told, of = found(name, "scores.json")["train"][heading]
        assert abs(right / asked - told / of) < room, heading


@law
def test_it_is_small(name):
    """At most 8 MB in all."""
    sizes = {p.name: p.stat().st_size for p in shipped_model(name).iterdir()}
    assert sum(sizes.values()) <= 8e6, sizes


@law
def test_its_tower_is_that_of_clip_tiny(name, vlm):
    """Number by number: it learnt nothing in any stage."""
    tower = checkpoint.load(shipped_model("clip-tiny")).scope(clip.VISION)
    ours = vlm.weights.scope(TOWERS[name])
    assert sorted(ours) == sorted(tower)
    for tensor in tower:
        np.testing.assert_array_equal(ours[tensor], tower[tensor])


@law
def test_its_card_tells_the_scores(name):
    """Every share is what `score` wrote beside it."""
    card = (shipped_model(name) / "README.md").read_text(encoding="utf-8")
    shares = found(name, "scores.json")
    assert {*shares} == {*scenes.SPLITS}
    for heading in ("captions", "questions", *scenes.KINDS):
        row = [shares[split][heading] for split in scenes.SPLITS]
        assert all(asked >= 100 for _, asked in row)
        cells = [f"{100 * right / asked:.1f} %" for right, asked in row]
        assert f"| {' | '.join([heading, *cells])} |" in card, heading


@law
def test_its_card_tells_the_limits(name):
    """Every row is what `score --limits` wrote beside it, over five seeds."""
    card = (shipped_model(name) / "README.md").read_text(encoding="utf-8")
    for family, rounds in found(name, "limits.json")["captions"].items():
        assert len(rounds) == 5
        shares = [100 * right / asked for right, asked in rounds]
        total = sum(r for r, _ in rounds) / sum(of for _, of in rounds)
        spread = f"{min(shares):.0f} to {max(shares):.0f} %"
        assert f"| {family} | {100 * total:.1f} % | {spread} |" in card, family


def theirs_of(torch, pictures, answers=40):
    """What transformers makes of pictures and a question: its processor's numbers, and
    what the model says."""
    import_torchvision()
    from PIL import Image
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    directory = shipped_model("llava-tiny")
    processor = AutoProcessor.from_pretrained(directory)
    model = LlavaForConditionalGeneration.from_pretrained(directory).eval()
    made = {}
    for number, question in enumerate((DESCRIBE, QUESTION)):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        given = processor(
            images=[Image.fromarray(picture) for picture in pictures],
            text=[prompt] * len(pictures),
            return_tensors="pt",
        )
        read = given["input_ids"].shape[1]
        said = model.generate(
            **given, max_new_tokens=answers, do_sample=False, pad_token_id=0
        )
        new = np.zeros((len(pictures), answers), np.int64)
        new[:, : said.shape[1] - read] = said[:, read:]
        made |= {f"ids{number}": given["input_ids"].numpy(), f"said{number}": new}
    return {**made, "pixels": given["pixel_values"].numpy()}


@oracle
def test_llava_tiny_is_the_same_in_transformers(compare):
    """AutoProcessor makes the same ids and the same pixels, and the model the same
    tokens: the directory is a LLaVA as any other."""
    vlm = refvlm.load(shipped_model("llava-tiny"))
    rng = np.random.default_rng(8)
    pictures = [scenes.draw(scenes.sample(rng)) for _ in range(4)]
    weights = {name: np.asarray(vlm.weights[name]) for name in vlm.weights}
    answers = compare.answers(
        lambda torch: theirs_of(torch, pictures), (pictures, DESCRIBE, weights)
    )
    pixels = vlm.preprocessor.batch(pictures)
    np.testing.assert_allclose(pixels, answers["pixels"], atol=1e-6)
    stop = next(iter(vlm.stop_ids))
    for number, question in enumerate((DESCRIBE, QUESTION)):
        prompt = vlm.prompt_ids(question)
        at = prompt[0].tolist().index(-200)
        image = [vlm.config.image_token_id] * llava_tiny.GRID**2
        framed = [*prompt[0, :at], *image, *prompt[0, at + 1 :]]
        ours = vlm.generate(pixels, np.repeat(prompt, 4, axis=0), 40)
        for row, ids, said in zip(
            ours, answers[f"ids{number}"], answers[f"said{number}"]
        ):
            assert framed == ids.tolist()
            end = row.tolist().index(stop)
            assert row[: end + 1].tolist() == said[: end + 1].tolist()
