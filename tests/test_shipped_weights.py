"""The spec of weights/: what comes along is small, whole, and right about scenes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import refvlm
from refvlm import checkpoint, cli, scenes
from refvlm.generate import Confidence
from refvlm.metrics.limits import UNSURE, drawn
from refvlm.metrics.scene_scores import score
from refvlm.pretrained import shipped_model
from refvlm.recipes.fastvlm_tiny import scene_tokenizer
from refvlm.scenes import wording
from refvlm.scenes.beyond import ALONE, SEVERAL, UNSAYABLE
from refvlm.scenes.rewording import REQUESTS, WORDINGS
from refvlm.text.chat import DESCRIBE

from .oracles import import_torchvision
from .spec import example, law, oracle

ROOT = Path(__file__).parent.parent
DIRECTORY = shipped_model("fastvlm-tiny")
PICTURE = ROOT / "book" / "images" / "shapes.png"


@pytest.fixture(scope="module")
def vlm():
    return refvlm.load(DIRECTORY)


@example
def test_describe_is_right_about_the_picture_of_the_readme():
    """`python -m refvlm describe book/images/shapes.png` says what the README shows."""
    told = subprocess.run(
        [sys.executable, "-m", "refvlm", "describe", str(PICTURE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert told.stdout.strip() in readme
    objects = scenes.parse(told.stdout.strip())
    assert len(objects.objects) == 3


@example
def test_ask_answers_in_a_word(capsys):
    """`ask` takes the question on the command line."""
    assert cli.main(["ask", str(PICTURE), "how many objects are there?"]) == 0
    assert capsys.readouterr().out == "three\n"


@law
def test_show_attention_writes_a_tile_for_each_word(tmp_path, capsys):
    """The picture of attention is a PNG, and the answer is printed all the same."""
    out = tmp_path / "looked.png"
    arguments = ["describe", str(PICTURE), "--show-attention", str(out)]
    assert cli.main(arguments) == 0
    assert "large" in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.format == "PNG" and sheet.width > 500


@law
@pytest.mark.parametrize("split, least", [("train", 0.92), ("unseen", 0.85)])
def test_fastvlm_tiny_describes_scenes(vlm, split, least):
    """Of fresh scenes, nearly all captions are true in every fact. (The card has the
    shares of a thousand; forty may be off by a few.)"""
    report = score(vlm.answers, split, count=40, seed=5, questions=6)
    for heading in ("captions", "questions"):
        right, asked = report.shares[heading]
        assert right / asked >= least, (heading, report.mistakes[:3])


@law
def test_fastvlm_tiny_is_small():
    """At most 8 MB in all."""
    sizes = {path.name: path.stat().st_size for path in DIRECTORY.iterdir()}
    assert sum(sizes.values()) <= 8e6, sizes


@law
def test_card_tells_the_scores():
    """The shares on the card are those that `score` wrote beside it."""
    card = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    found = json.loads((DIRECTORY / "scores.json").read_text())["found"]
    for split in scenes.SPLITS:
        for heading in ("captions", "questions"):
            right, asked = found[split][heading]
            assert asked >= 1000
            assert f"{100 * right / asked:.1f} %" in card, (split, heading)
    for kind in scenes.KINDS:
        right, asked = found["train"][kind]
        assert f"{100 * right / asked:.1f} %" in card, kind


def cells(rounds):
    """(share, its least and largest by seed) as a card has them."""
    asked = [(right, of) for right, of in rounds if of]
    shares = [100 * right / of for right, of in asked]
    total = 100 * sum(right for right, _ in asked) / sum(of for _, of in asked)
    return f"{total:.1f} %", f"{min(shares):.0f} to {max(shares):.0f} %"


@law
def test_card_tells_the_limits():
    """Every row is what `score --limits` wrote beside it, over five seeds."""
    card = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    found = json.loads((DIRECTORY / "limits.json").read_text())["found"]
    for name, rounds in found["captions"].items():
        assert len(rounds) == 5 and sum(of for _, of in rounds) >= 500
        row = name, *cells(rounds), cells(found["unsure"][name])[0]
        assert f"| {' | '.join(row)} |" in card
    for name in UNSAYABLE:
        assert f"| {name} | | | {cells(found['unsure'][name])[0]} |" in card
    for name in WORDINGS:
        kinds = found[f"questions, {name}"]
        told = (cells(kinds[kind])[0] if kind in kinds else "" for kind in scenes.KINDS)
        assert f"| {' | '.join([name, *cells(kinds['all']), *told])} |" in card
    for request in REQUESTS:
        row = request, *cells(found["requests in other words"][request])
        assert f"| {' | '.join(row)} |" in card
    for name in ("right captions", "right answers"):
        share = cells(found["unsure"][name])[0]
        assert f"{name}, {share}" in card or f"{name}, that are {share}" in card
        assert float(share.split()[0]) < 1


@law
def test_limits_are_found_again(vlm):
    """With other seeds, twenty of a few kinds: about what the card has."""
    found = json.loads((DIRECTORY / "limits.json").read_text())["found"]
    families = ALONE | SEVERAL | UNSAYABLE
    for name in (
        "of radius 0.25 to 0.32",
        "two to four in a row",
        "eight to ten objects",
    ):
        some, pictures = drawn(families[name], name, 20, 77)
        said = vlm.replies(pictures, [DESCRIBE] * 20)
        counted = {"unsure": sum(reply.confidence < UNSURE for reply in said)}
        if name not in UNSAYABLE:
            judged = [scenes.judge(reply.text, s) for reply, s in zip(said, some)]
            counted["captions"] = sum(j.true and j.complete for j in judged)
        for test, right in counted.items():
            rounds = found[test][name]
            share = sum(r for r, _ in rounds) / sum(of for _, of in rounds)
            assert abs(right / 20 - share) < 0.25, (name, test)


@law
@pytest.mark.parametrize("file", [ROOT / "README.md", DIRECTORY / "README.md"])
def test_questions_are_listed_word_for_word(file):
    """In the README and on the card, and none that is not asked."""
    listed = re.findall(r"(?m)^\| (\w+) \| `(.*\?)` \|$", file.read_text())
    forms = wording.FORMS.items()
    assert listed == [(kind, form) for kind, some in forms for form in some]
    for name, words in wording.WORDS.items():
        assert f"`{name}` for {', '.join(words)}" in file.read_text()
    assert f"`THING` for `{wording.THING}`" in file.read_text()
    assert f"`{DESCRIBE}`" in file.read_text()


@law
def test_answers_are_drawn_row_by_row(vlm):
    """With a generator for each prompt, company changes nothing, nor does the length
    of other prompts; without one for each, it is said."""
    picture = np.asarray(Image.open(PICTURE).convert("RGB"))
    prompts = [DESCRIBE, "how many objects are there?", DESCRIBE]
    hot = {"do_sample": True, "temperature": 2.5}
    rngs = [np.random.default_rng(i) for i in range(3)]
    together = vlm.answers([picture] * 3, prompts, rng=rngs, **hot)
    for i, prompt in enumerate(prompts):
        rng = np.random.default_rng(i)
        assert vlm.describe(picture, prompt, 96, rng=rng, **hot) == together[i]
    assert together[0] != together[2]
    with pytest.raises(ValueError, match="2 generators for 3 rows"):
        vlm.answers([picture] * 3, prompts, rng=rngs[:2], **hot)
    with pytest.raises((TypeError, ValueError), match="default_rng"):
        vlm.answers([picture], [DESCRIBE], rng=7, **hot)


@law
def test_one_answer_is_one(vlm):
    """Several sequences are what generate returns; describe has one text."""
    with pytest.raises(ValueError, match="num_return_sequences is 2, but one answer"):
        vlm.describe(PICTURE, num_beams=2, num_return_sequences=2)
    reply = vlm.replies([PICTURE], [DESCRIBE], num_beams=2)[0]
    assert reply.text == vlm.describe(PICTURE, num_beams=2)
    assert np.isnan(reply.confidence)


@law
def test_replies_are_the_answers(vlm):
    """And as sure as the command is of one picture alone."""
    picture = np.asarray(Image.open(PICTURE).convert("RGB"))
    prompts = [DESCRIBE, "how many objects are there?"]
    replies = vlm.replies([picture] * 2, prompts)
    assert [text for text, _ in replies] == vlm.answers([picture] * 2, prompts)
    for prompt, (text, sure) in zip(prompts, replies):
        alone = Confidence(vlm.stop_ids)
        pieces = vlm.describe_stream(picture, prompt, watch=alone)
        assert "".join(piece for _, piece in pieces).strip() == text
        assert alone.least[0] == pytest.approx(sure, rel=1e-4)


@oracle
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 3, "length_penalty": 0.5},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "min_new_tokens": 9},
    ],
    ids=["greedy", "beams", "rules"],
)
def test_fastvlm_tiny_speaks_the_same_in_transformers(vlm, compare, options):
    """transformers opens the directory and generates the same tokens."""
    rng = np.random.default_rng(8)
    drawn = [scenes.sample(rng) for _ in range(4)]
    pictures = [scenes.draw(scene) for scene in drawn]
    pixels = vlm.preprocessor.batch(pictures)
    place = vlm.config.image_token_id
    asked = [DESCRIBE, "how many objects are there?"]
    prompts = [vlm.prompt_ids(prompt)[0].tolist() for prompt in asked]

    def ask(torch):
        import_torchvision()
        from transformers import FastVlmForConditionalGeneration

        theirs = FastVlmForConditionalGeneration.from_pretrained(DIRECTORY).eval()
        answers = {}
        for number, prompt in enumerate(prompts):
            at = prompt.index(-200)
            ids = torch.tensor([[*prompt[:at], *[place] * 16, *prompt[at + 1 :]]] * 4)
            made = theirs.generate(
                input_ids=ids,
                pixel_values=torch.from_numpy(pixels),
                max_new_tokens=40,
                do_sample=False,
                pad_token_id=0,
                **options,
            )
            new = np.zeros((4, 40), np.int64)
            new[:, : made.shape[1] - ids.shape[1]] = made[:, ids.shape[1] :]
            answers[str(number)] = new
        return answers

    stored = checkpoint.load(DIRECTORY, dtype=None)
    weights = {name: np.asarray(stored[name]) for name in stored}
    answers = compare.answers(ask, (pixels, prompts, weights, options))
    stop = next(iter(vlm.stop_ids))
    for number, prompt in enumerate(prompts):
        ours = vlm.generate(pixels, np.array([prompt] * 4), 40, **options)
        for row, theirs in zip(ours.tolist(), answers[str(number)].tolist()):
            assert row[: row.index(stop)] == theirs[: theirs.index(stop)]


@law
def test_fastvlm_tiny_reads_every_word_as_one_token(vlm):
    """The tokenizer that comes along knows the words of its world."""
    said = "a large red circle to the left of a small blue square."
    assert len(vlm.tokenizer.encode(said)) == len(said.split()) + 1


@law
def test_recipe_makes_the_tokenizer_that_comes_along(vlm):
    """Trained anew, it is the same file: the recipe is still that of the weights."""
    assert scene_tokenizer().to_json() == vlm.tokenizer.to_json()
