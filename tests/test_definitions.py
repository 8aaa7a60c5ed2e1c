"""The spec of the switch: whole models, computed by nothing but their formulas."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import kernels, scenes

from .spec import assert_close, law

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "book" / "images" / "shapes.png"
QUESTIONS = ["how many objects are there?", "what color is the star?"]


@pytest.fixture(scope="module")
def vlm():
    return refvlm.load(ROOT / "weights" / "fastvlm-tiny")


@law
def test_fastvlm_tiny_says_the_same_words_by_definition(vlm):
    """Every kernel off: the same description of the picture of the README."""
    picture = Image.open(PICTURE)
    sooner = vlm.describe(picture)
    with kernels.definitions():
        assert vlm.describe(picture) == sooner
    assert len(sooner.split()) > 10


@law
def test_fastvlm_tiny_answers_the_same_by_definition(vlm):
    """And the same answers to questions about it."""
    pictures = [Image.open(PICTURE)] * len(QUESTIONS)
    sooner = vlm.answers(pictures, QUESTIONS)
    with kernels.definitions():
        assert vlm.answers(pictures, QUESTIONS) == sooner
    assert sooner[0].startswith("three")


@law
def test_clip_tiny_has_the_same_features_by_definition():
    """Of pictures and of words, within 1e-5 of their size."""
    clip = refvlm.load(ROOT / "weights" / "clip-tiny")
    rng = np.random.default_rng(3)
    pictures = [scenes.draw(scenes.sample(rng, count=1)) for _ in range(3)]
    texts = ["a large red ring.", "a small blue star."]
    sooner = clip.image_features(pictures), clip.text_features(texts)
    with kernels.definitions():
        defined = clip.image_features(pictures), clip.text_features(texts)
    for ours, theirs in zip(defined, sooner):
        assert_close(ours, theirs, 1e-5)
