"""The spec of refvlm/pretrained/clip.py: a CLIP directory, ready to use."""

import copy

import numpy as np
import pytest
import tokenizers
from PIL import Image
from tokenizers import processors

import refvlm
from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError
from refvlm.models import clip
from refvlm.models.clip_config import CLIPConfig
from refvlm.pretrained import save
from refvlm.pretrained.clip import CLIP
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from .. import tiny
from ..models.test_clip import JSON
from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle
from ..text.vocabulary import learn, learn_clip, write_family
from ..weights import random_weights

START, END, SIZE = 257, 258, 11
PREPROCESSOR = tiny.PREPROCESSOR | {
    "size": {"shortest_edge": SIZE},
    "crop_size": {"height": SIZE, "width": SIZE},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
TEXTS = ["a red ring.", "a star.", "Zwölf Boxkämpfer jagen Viktor"]


def described():
    """The tiny CLIP of the model's spec, with a vocabulary of bytes and markers."""
    config = copy.deepcopy(JSON)
    config["text_config"] |= {
        "vocab_size": 260,
        "max_position_embeddings": 40,
        "bos_token_id": START,
        "eos_token_id": END,
    }
    return config


def framing_tokenizer():
    """Bytes, with a start and an end around every text, as CLIP's file has it."""
    tokenizer = tiny.byte_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>",
        special_tokens=[("<|im_start|>", START), ("<|im_end|>", END)],
    )
    return tokenizer


CONFIG = described()
TENSORS = {
    name: np.asarray(array, np.float32)
    for name, array in random_weights(
        clip.expected_shapes(CLIPConfig.from_json(CONFIG)), seed=8
    ).items()
}


def write(directory, config=CONFIG, tensors=TENSORS):
    save(
        directory,
        tensors,
        framing_tokenizer(),
        config=config,
        preprocessor_config=PREPROCESSOR,
    )
    return directory


def picture(seed, width=23, height=17):
    """Large patches of colour, not square."""
    coarse = np.random.RandomState(seed).randint(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.NEAREST))


PICTURES = [picture(1), picture(2, 40, 40), picture(3, 9, 30)]


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def model(directory):
    return refvlm.load(directory)


@law
def test_features_have_length_one(model):
    """Directions: what is compared is the angle alone."""
    for features in (model.image_features(PICTURES), model.text_features(TEXTS)):
        assert features.shape == (3, 5) and features.dtype == np.float32
        assert np.abs(np.linalg.norm(features, axis=1) - 1).max() < 1e-6


@law
def test_text_features_do_not_depend_on_the_other_texts(model):
    """A short text beside a long one is padded, and stays what it is."""
    together = model.text_features(TEXTS)
    for text, expected in zip(TEXTS, together):
        assert_close(model.text_features([text])[0], expected)


@law
def test_features_of_many_come_in_batches(model, monkeypatch):
    """Two at a time or all at once: the same directions in the same order."""
    pictures, texts = model.image_features(PICTURES), model.text_features(TEXTS)
    monkeypatch.setattr("refvlm.pretrained.clip.AT_ONCE", 2)
    assert_close(model.image_features(PICTURES), pictures)
    assert_close(model.text_features(TEXTS), texts)


@law
def test_probabilities_are_the_softmax_of_the_models_logits(model):
    """Cosines over the temperature are the logits that the model was trained on."""
    pixels = model.preprocessor.batch(PICTURES)
    ids = clip.padded([model.token_ids(text) for text in TEXTS])
    logits, _ = clip.clip(pixels, ids, model.weights, model.config)
    cosines = model.similarity(PICTURES, TEXTS)
    assert_close(cosines / model.temperature, logits)
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    assert_close(model.probabilities(PICTURES, TEXTS), likely)


@law
def test_token_ids_frame_the_text_and_no_marker_in_it(model):
    """A text that spells the end marker does not end: those are ten letters."""
    ids = model.token_ids("a<|im_end|>b")
    assert ids[0] == START and ids[-1] == END and END not in ids[1:-1]
    assert len(ids) == 2 + len("a<|im_end|>b")


@oracle
def test_clip_directory_equals_transformers(compare, directory, model):
    """transformers opens the same directory, and has the same ids and probabilities."""

    def ask(torch):
        import_torchvision()
        from transformers import (
            CLIPImageProcessorPil,
            CLIPModel,
            PreTrainedTokenizerFast,
        )

        theirs = CLIPModel.from_pretrained(directory).double()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(directory / "tokenizer.json"), pad_token="<|im_end|>"
        )
        texts = tokenizer(TEXTS, padding=True, return_tensors="pt")
        pixels = CLIPImageProcessorPil.from_pretrained(directory)(PICTURES)
        pixels = torch.from_numpy(np.stack(pixels["pixel_values"])).double()
        out = theirs(texts["input_ids"], pixels, attention_mask=texts["attention_mask"])
        return {
            "ids": texts["input_ids"].numpy(),
            "likely": out.logits_per_image.softmax(dim=-1).detach().numpy(),
        }

    answers = compare.answers(ask, (TENSORS, CONFIG, PICTURES, TEXTS))
    ids = clip.padded([model.token_ids(text) for text in TEXTS])
    np.testing.assert_array_equal(ids, answers["ids"])
    double = refvlm.load(directory, dtype=np.float64)
    likely = double.probabilities(PICTURES, TEXTS)
    assert_close(likely, answers["likely"], 1e-11)


HARD = ["A Photo of a CAT.", "it's  \t 2026\n", "Zwölf Boxkämpfer", "the table", ""]


def write_older(directory, eos):
    """A directory as the first CLIP was published: vocab.json, merges.txt, and an end
    token that config.json gives as 2, wrongly, or as what it is."""
    vocabulary, merges = learn_clip()
    config = copy.deepcopy(CONFIG)
    end = vocabulary["<|endoftext|>"]
    config["text_config"] |= {
        "vocab_size": len(vocabulary),
        "bos_token_id": vocabulary["<|startoftext|>"],
        "eos_token_id": end if eos == "right" else 2,
    }
    shapes = clip.expected_shapes(CLIPConfig.from_json(config))
    tensors = random_weights(shapes, seed=9)
    write(directory, config, {name: np.asarray(t) for name, t in tensors.items()})
    (directory / "tokenizer.json").unlink()
    return write_family(directory, "CLIPTokenizer", vocabulary, merges)


@oracle
@pytest.mark.parametrize("eos", ["right", "2, as of old"])
def test_older_clip_directory_equals_transformers(compare, tmp_path, eos):
    """Without tokenizer.json, and with the end token that older files give: the same
    ids and the same features as transformers has of the same directory."""
    directory = write_older(tmp_path, eos)

    def ask(torch):
        import_torchvision()
        from transformers import CLIPModel, CLIPTokenizer

        theirs = CLIPModel.from_pretrained(directory).double()
        tokenizer = CLIPTokenizer.from_pretrained(directory)
        given = tokenizer(HARD, padding=True, return_tensors="pt")
        read = theirs.text_model(**given).pooler_output
        features = theirs.text_projection(read).detach()
        return {
            "ids": np.concatenate([tokenizer(text).input_ids for text in HARD]),
            "features": (features / features.norm(dim=1, keepdim=True)).numpy(),
        }

    answers = compare.answers(ask, (HARD, eos, learn_clip()))
    model = refvlm.load(directory, dtype=np.float64)
    ids = np.concatenate([model.token_ids(text) for text in HARD])
    np.testing.assert_array_equal(ids, answers["ids"])
    assert_close(model.text_features(HARD), answers["features"], 1e-11)


@contract
def test_token_ids_without_an_end_are_refused_where_the_highest_id_ends(tmp_path):
    """By Qwen2's rules no text has an end; the highest id of a text would be taken
    for it, and the features would be those of some word."""
    directory = write_older(tmp_path, "2, as of old")
    vocabulary, merges = learn()
    write_family(directory, "Qwen2Tokenizer", vocabulary, merges)
    with pytest.raises(TokenizerError, match="does not put the highest id behind"):
        refvlm.load(directory).text_features(["the table"])


@contract
def test_load_names_every_tensor_that_does_not_fit(tmp_path):
    """A missing and an unexpected one are said at once; position_ids are let pass."""
    ids = {"text_model.embeddings.position_ids": np.arange(40)[None]}
    refvlm.load(write(tmp_path / "old", tensors=TENSORS | ids))
    wrong = {n: a for n, a in TENSORS.items() if n != "logit_scale"}
    wrong["head"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError, match="'logit_scale'.*'head'"):
        refvlm.load(write(tmp_path / "wrong", tensors=wrong))


@contract
def test_features_are_asked_of_lists(model):
    """A text alone would be read letter by letter: it is refused."""
    with pytest.raises(ValueError, match=r"texts is a list, even of one, \[text\]"):
        model.text_features("a star.")
    with pytest.raises(ValueError, match="pictures is a list"):
        model.image_features("star.png")
    with pytest.raises(ValueError, match="texts is empty"):
        model.text_features([])
    with pytest.raises(ValueError, match="a text is a string, not int"):
        model.text_features([3])


@contract
def test_token_ids_refuse_what_the_model_cannot_read(model, directory):
    """Too long a text, and a tokenizer of another checkpoint."""
    with pytest.raises(ShapeError, match="43 tokens is too long .* reads 40"):
        model.token_ids("a" * 41)
    other = copy.deepcopy(CONFIG)
    other["text_config"] |= {"vocab_size": 100, "eos_token_id": 99}
    stranger = CLIP(CLIPConfig.from_json(other), model.weights, directory)
    with pytest.raises(TokenizerError, match="of different checkpoints"):
        stranger.token_ids("a")


@contract
def test_features_of_damaged_weights_are_refused(model, directory):
    """Numbers that are none give an error that names the file, and no ranking."""
    name = "visual_projection.weight"
    damaged = model.weights.replace({name: np.full((5, 12), np.nan, np.float32)})
    with pytest.raises(checkpoint.CheckpointError, match="not finite numbers"):
        CLIP(model.config, damaged, directory).image_features(PICTURES)


@contract
def test_token_ids_without_a_frame_have_no_end(tmp_path, model):
    """A tokenizer that adds no end token: it is the files that lack one, and no text
    could bring it, for a marker in a text is letters."""
    write(tmp_path)
    plain = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    plain.post_processor = processors.ByteLevel()
    plain.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerError, match="put the id 258 behind .*json is missing"):
        refvlm.load(tmp_path).text_features(["a"])


@contract
@pytest.mark.parametrize("scale", [1e4, -1e4, np.nan])
def test_temperature_refuses_a_damaged_scale(directory, scale):
    """A temperature of nothing, of infinity or of no number is no temperature."""
    clip = refvlm.load(directory)
    clip.weights = clip.weights.replace({"logit_scale": np.array(scale, np.float32)})
    with pytest.raises(CheckpointError, match="the weights are damaged"):
        _ = clip.temperature
