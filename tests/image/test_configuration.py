"""The spec of refvlm/image/configuration.py."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import image
from refvlm.checkpoint import CheckpointError

from ..spec import contract, example, law, oracle
from .pictures import noise, processor

FASTVLM = {
    "crop_size": {"height": 1024, "width": 1024},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [1.0, 1.0, 1.0],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 1024},
}


NEXT = {
    "image_processor_type": "LlavaNextImageProcessor",
    "do_pad": True,
    "size": {"shortest_edge": 336},
    "crop_size": {"height": 336, "width": 336},
}
CONVNEXT = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 224},
    "do_center_crop": False,
}


def checkpoint(folder, **files):
    """A directory with these JSON files in it."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@example
def test_read_preprocessor_tells_apple_from_huggingface(tmp_path):
    """One word in config.json is all the difference: image_aspect_ratio."""
    checkpoint(tmp_path, preprocessor_config=FASTVLM, config={"model_type": "fast_vlm"})
    assert image.read_preprocessor(tmp_path) == image.fastvlm_huggingface()
    checkpoint(tmp_path, config={"image_aspect_ratio": "pad"})
    assert image.read_preprocessor(tmp_path) == image.fastvlm_apple()


@example
def test_read_preprocessor_finds_the_size_in_the_name_of_the_tower(tmp_path):
    """Apple's checkpoints may have no preprocessor file; the tower's name will do."""
    config = {"mm_vision_tower": "mobileclip_l_384", "image_aspect_ratio": "pad"}
    checkpoint(tmp_path, config=config)
    assert image.read_preprocessor(tmp_path) == image.fastvlm_apple(384)


@law
def test_read_preprocessor_looks_inside_a_processor_config(tmp_path):
    """Newer checkpoints keep text and image settings in one file."""
    whole = {"image_processor": FASTVLM, "processor_class": "LlavaProcessor"}
    checkpoint(tmp_path, processor_config=whole)
    assert image.read_preprocessor(str(tmp_path)) == image.fastvlm_huggingface()


@law
def test_preprocessor_from_json_takes_sizes_in_their_older_forms():
    """A number was once enough: the shorter edge, and the side of a square."""
    old = image.preprocessor_from_json({"size": 336, "crop_size": 336})
    new = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    assert old == image.preprocessor_from_json(new)
    square = image.preprocessor_from_json({"size": 336, "default_to_square": True})
    assert square.resize_to == (336, 336)


@law
def test_preprocessor_from_json_leaves_out_what_is_switched_off():
    """A step that is not done leaves no trace."""
    steps = ("resize", "center_crop", "rescale", "normalize")
    off = {f"do_{step}": False for step in steps}
    bare = image.Preprocessor(factor=None)
    assert image.preprocessor_from_json(off) == bare


@law
def test_preprocessor_from_json_reads_null_as_silence():
    """transformers writes null for what it leaves to its defaults."""
    silent = dict.fromkeys([*FASTVLM, "do_pad", "pad_size", "data_format"])
    assert image.preprocessor_from_json(silent) == image.clip()


@law
def test_preprocessor_from_json_pads_with_the_mean():
    """Bars of the mean's colour become zeros, to one grey level."""
    steps = image.preprocessor_from_json({"size": 8, "crop_size": 8}, pad=True)
    assert steps.fill == (122, 116, 104)
    bars = steps(np.full((1, 8, 3), 255, np.uint8))[:, 0]
    assert np.abs(bars).max() <= 1 / 255 / min(image.CLIP_STD)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["height", "width", "shortest_edge"]), inner)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from([*FASTVLM, "do_pad", "pad_size", "default_to_square"])


@law
@given(st.dictionaries(KEYS, VALUES, max_size=3), st.booleans())
def test_preprocessor_from_json_gives_a_preprocessor_or_a_value_error(changes, pad):
    """Whatever stands in the file, there is no third outcome."""
    try:
        steps = image.preprocessor_from_json(FASTVLM | changes, pad)
    except ValueError:
        return
    assert isinstance(steps, image.Preprocessor)


HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
SILENT = {
    "CLIP": image.clip(),
    "Llava": image.clip(),
    "Blip": image.Preprocessor(
        resize_to=(384, 384), mean=image.CLIP_MEAN, std=image.CLIP_STD
    ),
    "ViT": image.Preprocessor(resize_to=(224, 224), resample="bilinear", **HALF),
    "DeiT": image.Preprocessor(resize_to=(256, 256), crop_to=(224, 224), **HALF),
    "ConvNext": image.Preprocessor(resize_to=(384, 384), **HALF),
}


@oracle
@pytest.mark.parametrize("kind", SILENT)
def test_preprocessor_from_json_assumes_what_transformers_assumes(compare, kind):
    """A silent configuration and the one that transformers writes mean the same."""

    def ask(torch):
        text = processor(kind, {}).to_json_string()
        return {"json": np.frombuffer(text.encode(), np.uint8)}

    written = json.loads(compare.answers(ask, kind)["json"].tobytes())
    silent = {"image_processor_type": written["image_processor_type"]}
    assert set(written) - set(silent) >= {"size", "resample", "image_mean"}
    ours = image.preprocessor_from_json
    assert ours(silent) == ours(written) == SILENT[kind]


@oracle
@pytest.mark.parametrize("edge", [8, 383, 384])
@pytest.mark.parametrize("share", [0.875, 0.95, 1.0])
def test_preprocessor_crops_a_share_as_convnext_does(compare, edge, share):
    """Bit for bit: a smaller edge is cropped, a larger one squeezed."""
    config = {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": edge},
        "crop_pct": share,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    picture = noise(13, 22)

    def ask(torch):
        peer = processor("ConvNext", config)
        pixels = peer(picture, return_tensors="np")["pixel_values"][0]
        return {"sum": pixels.sum(axis=1), "corner": pixels[:, :8, :8].copy()}

    answers = compare.answers(ask, (config, picture))
    ours = image.preprocessor_from_json(config)(picture)
    assert ours.shape == (3, edge, edge)
    np.testing.assert_array_equal(ours.sum(axis=1), answers["sum"])
    np.testing.assert_array_equal(ours[:, :8, :8], answers["corner"])


@law
def test_read_tiler_finds_what_read_preprocessor_refuses(tmp_path):
    """One directory holds one or the other, and each says where to turn."""
    checkpoint(tmp_path, preprocessor_config=NEXT)
    assert image.read_tiler(tmp_path) == image.Tiler(image.clip(336))
    with pytest.raises(CheckpointError, match="read it by read_tiler"):
        image.read_preprocessor(tmp_path)
    checkpoint(tmp_path, preprocessor_config=FASTVLM)
    with pytest.raises(CheckpointError, match="read it by read_preprocessor"):
        image.read_tiler(tmp_path)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_grid_pinpoints": []}, "must be a list of at least one"),
        ({"image_grid_pinpoints": [[336, 300]]}, "no multiple of a tile of 336"),
        ({"image_grid_pinpoints": [[336]]}, "two whole numbers"),
        ({"image_grid_pinpoints": [336, 672]}, "two whole numbers"),
        ({"image_grid_pinpoints": "all"}, "must be a list of at least one"),
        ({"crop_size": 99999}, "from 1 to 8192"),
        ({"size": {"longest_edge": 9}}, "size is"),
        ({"crop_pct": 0.9}, "may change the pixels"),
    ],
)
def test_read_tiler_names_the_file_and_the_fault(tmp_path, change, message):
    """Grids come from outside, too."""
    checkpoint(tmp_path, preprocessor_config=NEXT | change)
    with pytest.raises(CheckpointError, match=f"preprocessor_config.json: .*{message}"):
        image.read_tiler(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="there is no preprocessor_config.json"):
        image.read_tiler(tmp_path)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"resample": 7}, r"resample is 7, .* 0 \(nearest\)"),
        ({"resample": True}, "resample is True"),
        ({"resample": "bicubic"}, r"3 \(bicubic\)"),
        ({"size": {"longest_edge": 9}}, "height: ..., width: ...}, or {shortest_edge"),
        ({"size": {"shortest_edge": 9999}}, "from 1 to 8192"),
        ({"crop_size": [224, 224]}, "crop_size is"),
        ({"crop_size": {"height": 1e3, "width": 5}}, "whole number"),
        ({"do_resize": 1}, "do_resize is 1, but must be true or false"),
        ({"image_mean": "grey"}, "three numbers"),
        ({"image_std": [1, 1, 0]}, "above 0"),
        ({"rescale_factor": "1/255"}, "factor is"),
        ({"do_pad": True}, "LlavaImageProcessor only"),
        ({"image_grid_pinpoints": [[1, 2]]}, "may change the pixels"),
        ({"image_processor_type": "SamImageProcessor"}, "only CLIPImageProcessor"),
        ({"image_processor_type": "LlavaNextImageProcessor"}, "by read_tiler"),
        (CONVNEXT | {"crop_pct": 0}, "crop_pct is 0, but must be above 0"),
        (CONVNEXT | {"crop_pct": "all"}, "crop_pct is"),
        (CONVNEXT | {"size": {"height": 9, "width": 9}}, "where there is a crop_pct"),
        (CONVNEXT | {"do_center_crop": True}, "crop_pct crops already"),
    ],
)
def test_read_preprocessor_names_the_file_and_the_fault(tmp_path, change, message):
    """A key that might change the pixels is understood or refused, never ignored."""
    checkpoint(tmp_path, preprocessor_config=FASTVLM | change)
    with pytest.raises(CheckpointError, match=f"preprocessor_config.json: .*{message}"):
        image.read_preprocessor(tmp_path)


@contract
@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "choose a pipeline by name"),
        ({"config": {"mm_vision_tower": "clip"}}, "choose a pipeline by name"),
        ({"config": {"mm_vision_tower": "mobileclip_l_99999"}}, "from 1 to 8192"),
        ({"config": {"image_aspect_ratio": "anyres"}}, "'pad' and 'square'"),
        ({"preprocessor_config": []}, "not an object"),
        ({"processor_config": {"image_processor": 3}}, "must be an object"),
    ],
)
def test_read_preprocessor_says_what_is_missing(tmp_path, files, message):
    """Without its preprocessor a checkpoint's pixels would be a guess."""
    with pytest.raises(CheckpointError, match=message):
        image.read_preprocessor(checkpoint(tmp_path, **files))


@contract
def test_read_preprocessor_refuses_what_is_not_json(tmp_path):
    """A damaged file is named."""
    (tmp_path / "preprocessor_config.json").write_bytes(b"{\xff")
    with pytest.raises(CheckpointError, match="preprocessor_config.json"):
        image.read_preprocessor(tmp_path)
