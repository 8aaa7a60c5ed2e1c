"""The spec of refvlm/models/vision_models.py."""

import pytest

from refvlm import ops
from refvlm.checkpoint import Weights
from refvlm.models.fields import ConfigError
from refvlm.models.vision_models import VISION_MODELS, labels_of, linear_heads, spelled

from ..spec import assert_close, contract, example, law, random_arrays
from .test_vit import JSON


@example
def test_linear_heads_say_the_mean_of_what_each_says():
    """A class token that votes for the first class, a teacher's for the second."""
    head = linear_heads("a", "b")
    draw = random_arrays(3)
    tokens, names = draw(2, 4, 3), ("a", "b")
    matrices = {f"{n}.weight": draw(5, 3) for n in names}
    matrices |= {f"{n}.bias": draw(5) for n in names}
    said = [
        ops.linear(tokens[:, i], matrices[f"{n}.weight"], matrices[f"{n}.bias"])
        for i, n in enumerate(names)
    ]
    assert_close(head.logits(tokens, Weights(matrices), None), (said[0] + said[1]) / 2)


@law
@pytest.mark.parametrize("kind", VISION_MODELS)
def test_vision_models_have_a_head_by_the_name_of_its_weight(kind):
    """The first tensor of a head tells which it is."""
    family = VISION_MODELS[kind]
    for key, head in family.heads.items():
        config = family.config({"model_type": kind})
        shapes = head.shapes(config, 3)
        assert shapes[f"{key}.weight"][0] == 3
        assert not any(name.startswith(f"{family.scope}.") for name in shapes)


@law
def test_head_of_goes_by_the_tensors_and_then_by_the_architecture():
    """A file without a head that should have one is not a tower: the head lacks."""
    family = VISION_MODELS["deit"]
    names = {"deit.layernorm.weight": random_arrays(1)(3)}
    classifies = {"architectures": ["DeiTForImageClassificationWithTeacher"]}
    assert family.head_of(Weights(names), {}) is None
    assert family.head_of(Weights(names), {"architectures": ["DeiTModel"]}) is None
    assert family.head_of(Weights(names), classifies) == "cls_classifier"
    names["classifier.weight"] = random_arrays(1)(3, 3)
    assert family.head_of(Weights(names), classifies) == "classifier"


@law
def test_spelled_leaves_transformers_words_alone():
    """Only a document without a model_type is another's."""
    assert spelled(JSON) is JSON
    timm = {"architecture": "vit_small_patch16_224.augreg", "num_classes": 10}
    assert spelled(timm)["model_type"] == "vit"
    assert spelled(timm)["num_labels"] == 10


@law
@pytest.mark.parametrize(
    "document",
    [
        {"id2label": {"1": "star", "0": "ring"}},
        {"id2label": None, "label2id": {"star": 1, "ring": 0}},
        {"label_names": ["ring", "star"]},
        {"label_names": {"1": "star", "0": "ring"}},
    ],
)
def test_labels_of_reads_names_wherever_they_stand(document):
    """transformers' table, its inverse alone, timm's list or table."""
    assert labels_of(document) == ["ring", "star"]
    assert labels_of({"id2label": None}) is None


@contract
def test_labels_of_refuses_two_names_of_one_row():
    """Of an inverse alone, one of them would be lost."""
    with pytest.raises(ConfigError, match="label2id has the values .* 2 labels"):
        labels_of({"label2id": {"ring": 0, "star": 0}})


@contract
@pytest.mark.parametrize(
    "named, message",
    [
        (["ring"], "id2label must be an object"),
        ({"0": "ring", "2": "star"}, "2 labels are numbered from 0 to 1"),
        ({"ring": 0}, "1 labels are numbered"),
    ],
)
def test_labels_of_refuses_what_has_no_order(named, message):
    """A class without a number has no row."""
    with pytest.raises(ConfigError, match=message):
        labels_of({"id2label": named})
