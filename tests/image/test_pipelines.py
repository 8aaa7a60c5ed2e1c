"""The spec of refvlm/image/pipelines.py."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refvlm import image

from ..spec import contract, example, law, oracle
from .pictures import file_of, in_mode, noise, processor

EDGES = st.integers(1, 30)
MEAN, STD = (0.48, 0.45, 0.41), (0.27, 0.26, 0.28)

CASES = {
    "square": ("RGB", 9, 9),
    "landscape": ("RGB", 13, 22),
    "portrait": ("RGB", 31, 10),
    "tiny": ("RGB", 1, 2),
    "thread": ("RGB", 2, 90),
    "transparent": ("RGBA", 17, 15),
    "grey": ("L", 8, 21),
    "black and white": ("1", 12, 11),
    "print": ("CMYK", 11, 12),
}

CONFIGS = {
    "crop": {"size": {"shortest_edge": 12}, "crop_size": {"height": 12, "width": 12}},
    "crop an odd rest": {
        "size": {"shortest_edge": 13},
        "crop_size": {"height": 10, "width": 9},
        "resample": 1,
    },
    "crop beyond the picture": {
        "size": {"shortest_edge": 8},
        "crop_size": {"height": 11, "width": 14},
    },
    "squeeze": {
        "size": {"height": 9, "width": 12},
        "do_center_crop": False,
        "resample": 2,
    },
    "raw": {"do_resize": False, "crop_size": {"height": 6, "width": 6}}
    | {"do_rescale": False, "do_normalize": False},
}


@example
def test_pipeline_apple_shows_all_and_huggingface_the_middle():
    """Of a red, a green and a blue pixel in a row, one pipeline sees only the green."""
    row = np.eye(3, dtype=np.uint8)[None] * 255
    whole = image.fastvlm_apple(3).frame(row)
    middle = image.fastvlm_huggingface(3).frame(row)
    np.testing.assert_array_equal(whole[1], row[0])
    assert not whole[[0, 2]].any()
    green = middle.reshape(-1, 3).mean(axis=0)
    assert green[1] > 200 and green[[0, 2]].max() < 30


@law
@given(EDGES, st.integers(1, 20))
def test_pipelines_of_fastvlm_agree_on_squares(edge, size):
    """A square needs no bars and loses no ends."""
    square = noise(edge, edge)
    apple, other = image.fastvlm_apple(size), image.fastvlm_huggingface(size)
    np.testing.assert_array_equal(apple(square), other(square))


@law
@given(EDGES, EDGES)
def test_pipelines_of_fastvlm_differ_on_everything_else(height, width):
    """Which pipeline a checkpoint was trained with is therefore not a detail."""
    assume(height != width)
    picture = np.maximum(noise(height, width), 1)
    apple, other = image.fastvlm_apple(32), image.fastvlm_huggingface(32)
    assert not np.array_equal(apple(picture), other(picture))


@law
@pytest.mark.parametrize("name", image.PIPELINES)
@given(EDGES, EDGES)
def test_pipeline_gives_one_shape_whatever_it_is_given(name, height, width):
    """Float32, channels first, at the size that was asked for."""
    pixels = image.pipeline(name, 8)(noise(height, width))
    assert pixels.shape == (3, 8, 8) and pixels.dtype == np.float32
    assert pixels.flags.c_contiguous


@law
@pytest.mark.parametrize("name", ["fastvlm_apple", "fastvlm_huggingface"])
@given(EDGES, EDGES)
def test_pipeline_of_fastvlm_stays_in_the_unit_interval(name, height, width):
    """Mean 0 and deviation 1 leave plain intensities, bicubic overshoot clipped."""
    pixels = image.pipeline(name, 8)(noise(height, width))
    assert pixels.min() >= 0 and pixels.max() <= 1


@law
def test_pipeline_batch_is_its_pictures_stacked():
    """A batch is no more than pictures that came out at one size."""
    pictures = [noise(5, 9), file_of(noise(9, 5), "PNG"), in_mode("RGBA")]
    steps = image.clip(6)
    batch = steps.batch(pictures)
    assert batch.shape == (3, 3, 6, 6)
    for pixels, picture in zip(batch, pictures):
        np.testing.assert_array_equal(pixels, steps(picture))


@law
@pytest.mark.parametrize(
    "name, size",
    [("fastvlm_apple", 1024), ("fastvlm_huggingface", 1024), ("clip", 224)],
)
def test_pipeline_has_a_size_of_its_own(name, size):
    """Unless another is asked for, the size that the model was trained at."""
    steps = image.pipeline(name)
    assert steps.crop_to == (size, size) and steps.shortest_edge == size


@oracle
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("kind", ["CLIP", "Llava"])
def test_preprocessor_equals_transformers_bit_for_bit(compare, kind, config):
    """Every picture comes out as from CLIP's processor, or padded, from LLaVA's."""
    config = {"image_mean": list(MEAN), "image_std": list(STD)} | config
    if kind == "Llava":
        config |= {"do_pad": True, "image_processor_type": "LlavaImageProcessor"}
    pictures = {name: in_mode(*case) for name, case in CASES.items()}
    if config.get("do_center_crop") is False:
        pictures = {name: pictures[name] for name in ("landscape", "transparent")}

    def ask(torch):
        peer = processor(kind, config)
        return {
            name: peer(picture, return_tensors="np")["pixel_values"][0]
            for name, picture in pictures.items()
        }

    inputs = {name: np.array(picture) for name, picture in pictures.items()}
    steps = image.preprocessor_from_json(config)
    for name, answer in compare.answers(ask, (inputs, config)).items():
        np.testing.assert_array_equal(steps(pictures[name]), answer, name)


@oracle
def test_preprocessor_of_blip_equals_transformers_bit_for_bit(compare):
    """The whole picture, squashed; published files ask for padding that is not done."""
    config = {
        "image_processor_type": "BlipImageProcessor",
        "size": {"height": 12, "width": 9},
        "do_pad": True,
        "size_divisor": 32,
    }
    pictures = {name: in_mode(*case) for name, case in CASES.items()}

    def ask(torch):
        peer = processor("Blip", config)
        return {
            name: peer(picture, return_tensors="np")["pixel_values"][0]
            for name, picture in pictures.items()
        }

    inputs = {name: np.array(picture) for name, picture in pictures.items()}
    steps = image.preprocessor_from_json(config)
    for name, answer in compare.answers(ask, (inputs, config)).items():
        assert answer.shape == (3, 12, 9)
        np.testing.assert_array_equal(steps(pictures[name]), answer, name)


@contract
@pytest.mark.parametrize(
    "options, message",
    [
        ({"shortest_edge": 0}, "shortest_edge is 0, .* from 1 to 8192"),
        ({"shortest_edge": 8193}, "from 1 to 8192"),
        ({"shortest_edge": 2.5}, "whole number"),
        ({"shortest_edge": True}, "whole number"),
        ({"resize_to": (4, -4)}, "resize_to is -4"),
        ({"crop_to": (4, "4")}, "crop_to is '4'"),
        ({"crop_to": (4,)}, "two"),
        ({"shortest_edge": 4, "resize_to": (4, 4)}, "not both"),
        ({"resample": "cubic"}, "must be one of nearest"),
        ({"factor": 0}, "factor is 0"),
        ({"factor": float("nan")}, "factor is nan"),
        ({"mean": MEAN}, "give both or neither"),
        ({"mean": (0, 0), "std": (1, 1)}, "three finite numbers"),
        ({"mean": (0, 0, 10**400), "std": STD}, "three finite numbers"),
        ({"mean": MEAN, "std": (1, 0, 1)}, "std is .* above 0"),
        ({"fill": (0, 0, 256)}, "three of 0 to 255"),
        ({"fill": (0.5, 0, 0)}, "three of 0 to 255"),
    ],
)
def test_preprocessor_refuses_steps_that_make_no_sense(options, message):
    """A preprocessor that could be made can be used."""
    with pytest.raises(ValueError, match=message):
        image.Preprocessor(**options)


@contract
def test_pipeline_names_the_pipelines_that_there_are():
    """A name that is not known is answered with those that are."""
    with pytest.raises(ValueError, match="fastvlm_apple, fastvlm_huggingface, clip"):
        image.pipeline("fastvlm")


@contract
def test_pipeline_batch_refuses_pictures_of_several_sizes():
    """Without a crop, pictures keep their proportions, and do not stack."""
    steps = image.Preprocessor(shortest_edge=4)
    with pytest.raises(image.ImageError, match="come out at one size"):
        steps.batch([noise(4, 4), noise(4, 8)])
    with pytest.raises(image.ImageError, match="give at least one"):
        steps.batch([])


@contract
def test_pipeline_batch_refuses_one_picture_for_several():
    """A path alone would be read letter by letter, a picture row by row."""
    steps = image.Preprocessor(crop_to=(4, 4))
    for alone in ("photo.jpg", noise(4, 4), b"bytes"):
        with pytest.raises(ValueError, match=r"sources is a list, even of one"):
            steps.batch(alone)
    several = (noise(4, 4, seed=seed) for seed in (1, 2))
    assert steps.batch(several).shape == (2, 3, 4, 4)
