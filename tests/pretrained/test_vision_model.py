"""The spec of refvlm/pretrained/vision_model.py: a classifier's directory, opened."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import refvlm
from refvlm.checkpoint import CheckpointError
from refvlm.models.fields import ConfigError
from refvlm.models.vision_models import VISION_MODELS
from refvlm.models.vit_config import ViTConfig
from refvlm.pretrained import VisionModel
from refvlm.quantize import formats
from refvlm.shapes import ShapeError

from ..image.pictures import noise
from ..models.test_vit import JSON, TEACHER
from ..models.test_vit_names import DISTILLED, TIMM, shapes_of_timm
from ..oracles import import_torchvision
from ..spec import assert_close, contract, law, oracle
from ..weights import random_weights

SIZE = {"height": 13, "width": 13}
PREPROCESSOR = {"image_processor_type": "ViTImageProcessor", "size": SIZE}
PICTURES = [noise(20, 17, seed=1), noise(9, 30, seed=2)]
NAMES = {
    "vit": "ViTForImageClassification",
    "deit": "DeiTForImageClassificationWithTeacher",
}


def described(kind):
    """A config.json of the kind, with its architecture."""
    base = TEACHER if kind == "deit" else JSON
    return base | {"architectures": [NAMES[kind]]}


def tensors_of(kind, labels=3):
    """A checkpoint's tensors, every one random."""
    family, config = VISION_MODELS[kind], ViTConfig.from_json(described(kind))
    shapes = family.expected_shapes(config, next(iter(family.heads)), labels)
    made = random_weights(shapes, seed=8)
    return {name: array.astype(np.float32) for name, array in made.items()}


def write(directory, document, tensors, preprocessor=PREPROCESSOR):
    """A directory as transformers saves one."""
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    files = {"config": document, "preprocessor_config": preprocessor}
    for name, content in files.items():
        if content is not None:
            (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A directory of each kind."""
    return {
        kind: write(tmp_path_factory.mktemp(kind), described(kind), tensors_of(kind))
        for kind in NAMES
    }


@pytest.fixture(params=NAMES)
def model(request, folders):
    return refvlm.load(folders[request.param])


@law
def test_classify_gives_the_likeliest_first(model):
    """As many as are asked for, or as there are; together they are certain."""
    said = model.classify(PICTURES[0])
    likely = [probability for _, probability in said]
    assert sorted(name for name, _ in said) == ["cross", "ring", "star"]
    assert likely == sorted(likely, reverse=True) and abs(sum(likely) - 1) < 1e-12
    assert model.classify(PICTURES[0], top=1) == said[:1]


@law
def test_classify_is_the_softmax_of_the_logits(model):
    """Preprocessed, scored, and named by the rows of id2label."""
    logits = model.logits(model.preprocessor.batch(PICTURES))
    assert logits.shape == (2, 3) and logits.dtype == np.float32
    for row, picture in zip(logits, PICTURES):
        scores = np.exp(row.astype(float) - row.max())
        expected = dict(zip(("ring", "star", "cross"), scores / scores.sum()))
        for name, probability in model.classify(picture):
            assert abs(expected[name] - probability) < 1e-5


@law
def test_features_are_every_token(model):
    """The class, the teacher's where there is one, and nine patches."""
    seen = model.features(model.preprocessor.batch(PICTURES))
    assert seen.shape == (2, 9 + model.config.prefix, 12)
    wide = np.zeros((1, 3, 9, 30), np.float32)
    wider = model.features(wide, interpolate=True)
    assert wider.shape == (1, 14 + model.config.prefix, 12)


@law
def test_vision_model_opens_a_tower_without_a_head(tmp_path, folders):
    """A ViTModel's names have no `vit.`, and its pooler is not asked for."""
    tower = {
        name.removeprefix("vit."): array
        for name, array in tensors_of("vit").items()
        if name.startswith("vit.")
    }
    pooler = {"pooler.dense.weight": (12, 12), "pooler.dense.bias": (12,)}
    document = described("vit") | {"architectures": ["ViTModel"]}
    bare = refvlm.load(write(tmp_path, document, tower | random_weights(pooler)))
    pixels = bare.preprocessor.batch(PICTURES)
    whole = refvlm.load(folders["vit"])
    np.testing.assert_array_equal(bare.features(pixels), whole.features(pixels))
    with pytest.raises(ValueError, match="has no head that classifies"):
        bare.classify(PICTURES[0])


@law
def test_vision_model_without_labels_counts_its_rows(tmp_path):
    """A head of three rows, and nobody who names them."""
    document = {k: v for k, v in described("vit").items() if k != "id2label"}
    model = refvlm.load(write(tmp_path, document, tensors_of("vit")))
    assert model.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]


@law
@pytest.mark.parametrize("distilled", [False, True])
def test_vision_model_opens_timms_directory(tmp_path, distilled):
    """timm's config.json says what the network is, and what is done to pictures."""
    document = DISTILLED if distilled else TIMM
    document = document | {"pretrained_cfg": {"input_size": [3, 12, 12]}}
    tensors = random_weights(shapes_of_timm(distilled), 4)
    model = refvlm.load(write(tmp_path, document, tensors, None))
    assert isinstance(model, VisionModel)
    named = {name for name, _ in model.classify(PICTURES[0])}
    assert named == set(model.labels) == {"LABEL_0", "LABEL_1", "LABEL_2"}


@law
@pytest.mark.parametrize("pretrained", [False, True])
def test_vision_model_calls_the_classes_as_timm_does(tmp_path, pretrained):
    """label_names stand beside the architecture, or among what it was trained on."""
    names = {"label_names": ["ring", "star", "cross"]}
    trained = {"input_size": [3, 12, 12]} | (names if pretrained else {})
    document = TIMM | {"pretrained_cfg": trained} | ({} if pretrained else names)
    tensors = random_weights(shapes_of_timm(False), 4)
    model = refvlm.load(write(tmp_path, document, tensors, None))
    assert model.labels == ["ring", "star", "cross"]


@law
@pytest.mark.parametrize(
    "count, problem", [(1, None), (3, "multi_label_classification")]
)
def test_classify_takes_the_sigmoid_where_labels_do_not_compete(
    tmp_path, count, problem
):
    """One label is not certain because there is no other; of several, all may hold."""
    document = described("vit") | {"problem_type": problem, "id2label": None}
    model = refvlm.load(write(tmp_path, document, tensors_of("vit", count)))
    logits = model.logits(model.preprocessor.batch(PICTURES[:1]))[0]
    said = dict(model.classify(PICTURES[0]))
    likely = np.array([said[f"LABEL_{i}"] for i in range(count)])
    assert_close(likely, 1 / (1 + np.exp(-logits.astype(float))))


@law
def test_vision_model_of_timm_classifies_in_fewer_bits(tmp_path):
    """config.json says itself how the file is packed, in whosever words it is."""
    (tmp_path / "float").mkdir()
    (tmp_path / "again").mkdir()
    document = TIMM | {"pretrained_cfg": {"input_size": [3, 12, 12]}}
    tensors = random_weights(shapes_of_timm(False), 4)
    folder = write(tmp_path / "float", document, tensors, None)
    report = refvlm.pretrained.quantize(folder, tmp_path / "nf4", "nf4")
    assert len(report.layers) >= 8
    packed = refvlm.load(tmp_path / "nf4")
    assert len(packed.classify(PICTURES[0])) == 3
    said = json.loads((tmp_path / "nf4" / "config.json").read_text())
    rounded = formats.load(tmp_path / "nf4", said, np.float32)
    unpacked = {name: rounded.tensor(name).array() for name in rounded}
    assert any((unpacked[name] != tensors[name]).any() for name in tensors)
    again = refvlm.load(write(tmp_path / "again", document, unpacked, None))
    pixels = again.preprocessor.batch(PICTURES)
    assert_close(packed.logits(pixels), again.logits(pixels))


@oracle
@pytest.mark.parametrize("kind", NAMES)
def test_vision_model_equals_transformers(compare, folders, kind):
    """transformers opens the same directory, and gives the same probabilities."""

    def ask(torch):
        import_torchvision()
        import transformers
        from transformers.models.vit.image_processing_pil_vit import (
            ViTImageProcessorPil,
        )

        model = getattr(transformers, NAMES[kind]).from_pretrained(folders[kind])
        steps = ViTImageProcessorPil.from_pretrained(folders[kind])
        pixels = steps(PICTURES, return_tensors="pt")["pixel_values"]
        logits = model.double().eval()(pixels.double()).logits
        return {"likely": logits.softmax(-1).detach().numpy()}

    given = (tensors_of(kind), PICTURES, described(kind), PREPROCESSOR)
    expected = compare.answers(ask, given)["likely"]
    assert expected.std() > 0.05
    model = refvlm.load(folders[kind], dtype=np.float64)
    for picture, row in zip(PICTURES, expected):
        said = dict(model.classify(picture))
        assert_close(np.array([said[n] for n in ("ring", "star", "cross")]), row, 1e-11)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"id2label": {"0": "a", "1": "b"}}, "has 3 rows, but id2label .* names 2"),
        ({"id2label": {"0": "a", "9": "b"}}, "config.json: id2label has the keys"),
        ({"image_size": 17}, r"position_embeddings.* is \(1, 10, 12\) and should be"),
        ({"patch_size": 6}, r"projection.weight.* is \(12, 3, 4, 4\) and should be"),
        ({"num_hidden_layers": 3}, "missing: .*encoder.layer.2"),
        ({"hidden_act": "relu"}, "config.json: hidden_act is 'relu'"),
        ({"model_type": "deit"}, "missing"),
    ],
)
def test_vision_model_refuses_what_does_not_fit(tmp_path, change, message):
    """Another head, position table, patch or depth than the file's: one clear error."""
    write(tmp_path, described("vit") | change, tensors_of("vit"))
    with pytest.raises((CheckpointError, ConfigError), match=message):
        refvlm.load(tmp_path)


@contract
def test_vision_model_refuses_damaged_weights(tmp_path):
    """A NaN is found when it is read, an overflow when something is computed."""
    tensors = tensors_of("vit")
    tensors["classifier.weight"][1, 2] = np.nan
    with pytest.raises(CheckpointError, match="classifier.weight.* holds nan"):
        refvlm.load(write(tmp_path, described("vit"), tensors)).classify(PICTURES[0])
    tensors["classifier.weight"][1, 2] = 3e38
    tensors["classifier.weight"][1, 3] = 3e38
    tensors["vit.layernorm.weight"][:] = 1e3
    with pytest.raises(CheckpointError, match="are not finite numbers"):
        refvlm.load(write(tmp_path, described("vit"), tensors)).classify(PICTURES[0])


@contract
def test_vision_model_refuses_parts_that_are_missing(tmp_path):
    """A classifier without its head, and a preprocessor that makes another size."""
    tensors = tensors_of("vit")
    tower = {n: a for n, a in tensors.items() if not n.startswith("classifier")}
    with pytest.raises(CheckpointError, match="2 missing: .*classifier.weight"):
        refvlm.load(write(tmp_path, described("vit"), tower))
    larger = PREPROCESSOR | {"size": {"height": 26, "width": 26}}
    model = refvlm.load(write(tmp_path, described("vit"), tensors, larger))
    with pytest.raises(ShapeError, match="learnt on 13 x 13: .* `size` in prepro"):
        model.classify(PICTURES[0])
    assert len(model.classify(PICTURES[0], interpolate=True)) == 3
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="there is no preprocessor_config.json"):
        refvlm.load(tmp_path).classify(PICTURES[0])


@contract
@pytest.mark.parametrize("top", [0, -1, 2.0, True])
def test_classify_refuses_a_number_that_is_none(folders, top):
    """At least one class is named."""
    with pytest.raises(ValueError, match="classify: top must be"):
        refvlm.load(folders["vit"]).classify(PICTURES[0], top=top)


@contract
def test_classify_refuses_what_is_no_class(tmp_path):
    """A regression's numbers are no scores; another word is no problem we know."""
    document = described("vit") | {"problem_type": "regression"}
    model = refvlm.load(write(tmp_path, document, tensors_of("vit")))
    with pytest.raises(ValueError, match="problem_type is 'regression'"):
        model.classify(PICTURES[0])
    assert model.logits(model.preprocessor.batch(PICTURES)).shape == (2, 3)
    write(tmp_path, document | {"problem_type": "guess"}, tensors_of("vit"))
    with pytest.raises(ConfigError, match="problem_type is 'guess'"):
        refvlm.load(tmp_path)


@contract
@pytest.mark.parametrize(
    "pixels, message",
    [
        (np.full((1, 3, 13, 13), np.nan), "pixel_values has NaN"),
        (np.full((1, 3, 13, 13), 255.0), "as bytes do, but must be as model.prepro"),
        (np.zeros((1, 3, 13, 13), np.uint8), "is uint8, but must be floating"),
        (np.zeros((1, 3, 13, 13), complex), "is complex128, but must be floating"),
        (np.zeros((1, 3, 13, 13), object), "is object, but must be floating"),
        (np.zeros((3, 13, 13)), r"is \(3, 13, 13\), but must be"),
        ("photo.jpg", r"model.preprocessor\(picture\)\[None\] makes one"),
    ],
)
def test_vision_model_refuses_pixels_that_no_preprocessor_makes(
    folders, pixels, message
):
    """The pixels are to blame, not the weights that they would meet."""
    model = refvlm.load(folders["vit"])
    for ask in (model.features, model.logits):
        with pytest.raises(ValueError, match=message):
            ask(pixels)
