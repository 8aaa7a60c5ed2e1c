"""The spec of weights/clip-tiny: small, whole, and right about single shapes."""

import json

import numpy as np
import pytest

import refvlm
from refvlm import scenes
from refvlm.metrics.clip_scores import clip_scores
from refvlm.pretrained import shipped_model
from refvlm.scenes.beyond import ALONE

from .oracles import import_torchvision
from .spec import assert_close, law, oracle

DIRECTORY = shipped_model("clip-tiny")


@pytest.fixture(scope="module")
def clip():
    return refvlm.load(DIRECTORY)


@law
def test_clip_tiny_names_colours_and_shapes(clip):
    """Without having learnt classes, it names most of them. (The card has the shares
    of a thousand; a hundred may be off by a few.)"""
    scores = clip_scores(clip, pictures=100, rounds=1, seed=2**31 + 5)
    assert scores["train"]["zero-shot"].right >= 90
    assert scores["retrieval"]["image to text, first 5"].right >= 80


@law
def test_clip_tiny_is_small():
    """At most 8 MB in all."""
    sizes = {path.name: path.stat().st_size for path in DIRECTORY.iterdir()}
    assert sum(sizes.values()) <= 8e6, sizes


@law
def test_clip_card_tells_the_scores():
    """The shares on the card are those that `score` wrote beside it."""
    card = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    found = json.loads((DIRECTORY / "scores.json").read_text())["found"]
    for tests in (scenes.SPLITS, ["retrieval"]):
        for heading in found[tests[0]]:
            cells = [heading]
            for right, asked in (found[test][heading] for test in tests):
                assert asked >= 1000
                cells.append(f"{100 * right / asked:.1f} %")
            assert f"| {' | '.join(cells)} |" in card


@law
def test_clip_card_tells_the_limits():
    """Every row is what `score --limits` wrote beside it, over five seeds."""
    card = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    found = json.loads((DIRECTORY / "limits.json").read_text())["found"]["zero-shot"]
    assert set(found) == set(ALONE)
    for name, rounds in found.items():
        shares = [100 * right / of for right, of in rounds]
        total = 100 * sum(right for right, _ in rounds) / sum(of for _, of in rounds)
        ends = f"{min(shares):.0f} to {max(shares):.0f} %"
        assert f"| {name} | {total:.1f} % | {ends} |" in card
        assert len(rounds) == 5


@oracle
def test_clip_tiny_looks_the_same_in_transformers(clip, compare):
    """transformers opens the directory; its logits are these."""
    rng = np.random.default_rng(3)
    pictures = [scenes.draw(scenes.sample(rng, count=1)) for _ in range(4)]
    pixels = clip.preprocessor.batch(pictures)
    said = ["a large red ring.", "a small blue star."]

    def ask(torch):
        import_torchvision()
        from transformers import AutoTokenizer, CLIPModel

        given = AutoTokenizer.from_pretrained(DIRECTORY)(
            said, padding=True, return_tensors="pt"
        )
        model = CLIPModel.from_pretrained(DIRECTORY).eval()
        logits = model(pixel_values=torch.from_numpy(pixels), **given).logits_per_image
        return {"logits": logits.detach().numpy()}

    weights = {name: np.asarray(clip.weights[name]) for name in clip.weights}
    answers = compare.answers(ask, (pixels, weights))
    ours = clip.similarity(pictures, said) / clip.temperature
    assert_close(ours, answers["logits"], 1e-4)
