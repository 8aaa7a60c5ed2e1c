"""The spec of refvlm/pretrained/matching.py: a judge's directory, ready to use."""

import copy
import json

import numpy as np
import pytest

import refvlm
from refvlm.checkpoint import CheckpointError
from refvlm.models import blip
from refvlm.models.blip_config import BlipConfig
from refvlm.models.fields import ConfigError
from refvlm.pretrained.matching import Matcher, padded
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from .. import blip_files
from ..oracles import import_torchvision
from ..spec import assert_close, contract, example, law, oracle

CONFIG = blip_files.described("BlipForImageTextRetrieval")
TENSORS = blip_files.tensors(blip.matching_shapes(BlipConfig.from_json(CONFIG)), 9)
TEXTS = ["A red ring.", "blue stars", "a picture of a star and a ring"]
PICTURES = blip_files.PICTURES


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return blip_files.write(tmp_path_factory.mktemp("itm"), CONFIG, TENSORS)


@pytest.fixture(scope="module")
def model(directory):
    return refvlm.load(directory)


@example
def test_padded_continues_a_text_and_hides_it():
    """The last id goes on; the mask says that it does not count."""
    ids, mask = padded([[2, 9, 3], [2, 3]])
    np.testing.assert_array_equal(ids, [[2, 9, 3], [2, 3, 3]])
    np.testing.assert_array_equal(mask, [[True] * 3, [True, True, False]])


@law
def test_matching_judges_each_pair_by_itself(model):
    """Neither the other pictures nor the other texts change what is said of two."""
    together = model.matching(PICTURES, TEXTS)
    assert together.shape == (3, 3) and together.dtype == np.float32
    assert ((together > 0) & (together < 1)).all() and together.std() > 0.01
    alone = model.matching(PICTURES[1:2], TEXTS[2:])
    assert_close(alone[0, 0], together[1, 2], 1e-5)


@law
def test_matching_of_many_comes_in_batches(model, monkeypatch):
    """Two texts at a time or all at once: the same answers in the same order."""
    likely = model.matching(PICTURES, TEXTS)
    cosines = model.similarity(PICTURES, TEXTS)
    monkeypatch.setattr("refvlm.pretrained.matching.AT_ONCE", 2)
    monkeypatch.setattr("refvlm.pretrained.clip.AT_ONCE", 2)
    assert_close(model.matching(PICTURES, TEXTS), likely)
    assert_close(model.similarity(PICTURES, TEXTS), cosines)


@law
def test_features_have_length_one(model):
    """Directions of one space: what is compared is the angle alone."""
    for features in (model.image_features(PICTURES), model.text_features(TEXTS)):
        assert features.shape == (3, 5)
        assert np.abs(np.linalg.norm(features, axis=1) - 1).max() < 1e-6


@law
def test_token_ids_frame_the_text_and_no_marker_in_it(model):
    """A text that spells [SEP] does not end there."""
    ids = model.token_ids("a [SEP] star")
    assert ids[0] == 2 and ids[-1] == 3 and 3 not in ids[1:-1]


@oracle
def test_matching_directory_equals_transformers(compare, directory):
    """transformers opens the same directory, and judges and compares alike."""

    def ask(torch):
        import_torchvision()
        from transformers import BertTokenizer, BlipForImageTextRetrieval
        from transformers.models.blip.image_processing_pil_blip import (
            BlipImageProcessorPil,
        )

        theirs = BlipForImageTextRetrieval.from_pretrained(directory).double()
        tokenizer = BertTokenizer.from_pretrained(directory)
        given = tokenizer(TEXTS, padding=True, return_tensors="pt")
        texts = {name: given[name] for name in ("input_ids", "attention_mask")}
        pixels = BlipImageProcessorPil.from_pretrained(directory)(PICTURES)
        pixels = torch.from_numpy(np.stack(pixels["pixel_values"])).double()
        judged = [
            theirs(pixel_values=one[None].expand(3, -1, -1, -1), **texts).itm_score
            for one in pixels
        ]
        compared = theirs(pixel_values=pixels, use_itm_head=False, **texts).itm_score
        return {
            "likely": torch.stack(judged).softmax(-1)[..., 1].detach().numpy(),
            "cosines": compared.detach().numpy(),
            "ids": np.concatenate([tokenizer(text).input_ids for text in TEXTS]),
        }

    answers = compare.answers(ask, (TENSORS, CONFIG, PICTURES, TEXTS))
    double = refvlm.load(directory, dtype=np.float64)
    ids = np.concatenate([double.token_ids(text) for text in TEXTS])
    np.testing.assert_array_equal(ids, answers["ids"])
    assert_close(double.matching(PICTURES, TEXTS), answers["likely"], 1e-11)
    assert_close(double.similarity(PICTURES, TEXTS), answers["cosines"], 1e-11)


@contract
def test_load_tells_the_kinds_of_blip_apart(tmp_path):
    """One model_type is several models; what is not here is named."""
    for names in (["BlipForQuestionAnswering"], None, "Blip", []):
        config = CONFIG | {"architectures": names}
        folder = blip_files.write(tmp_path / str(names), config, TENSORS)
        with pytest.raises(ConfigError, match="architectures is .* is implemented"):
            refvlm.load(folder)
    assert isinstance(refvlm.load(blip_files.write(tmp_path, CONFIG, TENSORS)), Matcher)


@contract
def test_load_names_every_tensor_that_does_not_fit(tmp_path):
    """A missing and an unexpected one are said at once; position_ids are let pass."""
    ids = {"text_encoder.embeddings.position_ids": np.arange(40)[None]}
    refvlm.load(blip_files.write(tmp_path / "old", CONFIG, TENSORS | ids))
    wrong = {name: a for name, a in TENSORS.items() if name != "itm_head.bias"}
    wrong["head"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError, match="'itm_head.bias'.*'head'"):
        refvlm.load(blip_files.write(tmp_path / "wrong", CONFIG, wrong))


@contract
def test_matching_refuses_what_it_cannot_judge(model, tmp_path):
    """No lists, texts too long, pictures that come out at another size."""
    with pytest.raises(ValueError, match=r"texts is a list, even of one, \[text\]"):
        model.matching(PICTURES, "a star.")
    with pytest.raises(ValueError, match="matching: pictures is empty"):
        model.matching([], TEXTS)
    with pytest.raises(ValueError, match="a text is a string, not int"):
        model.matching(PICTURES, [3])
    with pytest.raises(ShapeError, match="43 tokens is too long .* reads 40: shorten"):
        model.text_features(["a " * 41])
    small = copy.deepcopy(blip_files.PREPROCESSOR)
    small["size"] = {"height": 8, "width": 8}
    folder = blip_files.write(tmp_path, CONFIG, TENSORS, preprocessor=small)
    with pytest.raises(ShapeError, match="this tower sees 12 x 12: resize"):
        refvlm.load(folder).matching(PICTURES, TEXTS)


@contract
def test_matching_refuses_files_of_different_checkpoints(tmp_path):
    """Ids beyond the table, and a tokenizer without a frame."""
    config = copy.deepcopy(CONFIG)
    config["text_config"] |= {"vocab_size": 12, "bos_token_id": 2}
    shapes = blip.matching_shapes(BlipConfig.from_json(config))
    folder = blip_files.write(tmp_path, config, blip_files.tensors(shapes, 1))
    with pytest.raises(TokenizerError, match="vocabulary ends at 11: .* different"):
        refvlm.load(folder).text_features(["picture"])
    folder = blip_files.write(tmp_path, CONFIG, TENSORS)
    described = json.loads((folder / "tokenizer.json").read_text())
    described["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(TokenizerError, match=r"between \[CLS\] and \[SEP\], the id 3"):
        refvlm.load(folder).text_features(["a star"])


@contract
def test_matching_refuses_damaged_weights(tmp_path):
    """Numbers beyond float32 in the judge make no probability."""
    broken = TENSORS | {"itm_head.weight": np.full((2, 12), 3e38, np.float32)}
    folder = blip_files.write(tmp_path, CONFIG, broken)
    with pytest.raises(CheckpointError, match="the scores are not finite numbers"):
        refvlm.load(folder).matching(PICTURES, TEXTS)
