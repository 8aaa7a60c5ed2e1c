"""The spec of refvlm/image/values.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import image
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    check_dtype,
    contract,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)
from .pictures import noise, transforms

PIXELS = tensors(st.tuples(st.integers(1, 4), st.integers(1, 4), st.just(3)), 0, 1)


@example
def test_rescale_takes_bytes_to_the_unit_interval():
    """51 of 255 is a fifth."""
    values = image.rescale(np.array([0, 51, 255], np.uint8))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array([0, 0.2, 1], np.float32))


@example
def test_normalize_measures_from_the_mean():
    """0.7 is one deviation of 0.2 above a mean of 0.5; 0.1 is two below."""
    pixels = np.array([[[0.7, 0.5, 0.1]]])
    values = image.normalize(pixels, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    np.testing.assert_allclose(values, [[[1, 0, -2]]], atol=1e-15)


@example
def test_to_channels_first_gathers_planes():
    """Two pixels, (1, 2, 3) and (4, 5, 6), are three planes of two."""
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]])
    planes = image.to_channels_first(pixels)
    np.testing.assert_array_equal(planes, [[[1, 4]], [[2, 5]], [[3, 6]]])


@law
def test_rescale_keeps_all_256_levels_apart():
    """Nothing is lost: times 255 and rounded, every byte comes back."""
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(np.rint(image.rescale(levels) * 255), levels)


@law
@given(PIXELS)
def test_normalize_is_undone_by_its_inverse(pixels):
    """sigma z + mu is the pixel again."""
    z = image.normalize(pixels, image.IMAGENET_MEAN, image.IMAGENET_STD)
    back = z * np.array(image.IMAGENET_STD) + np.array(image.IMAGENET_MEAN)
    np.testing.assert_allclose(back, pixels, atol=1e-12)


@law
@given(PIXELS)
def test_normalize_with_its_own_statistics_standardises(pixels):
    """Mean 0 and deviation 1, when mu and sigma are the picture's own."""
    pixels = pixels + random_arrays()(*pixels.shape)
    std = pixels.std(axis=(0, 1)) + (pixels[..., 0].size == 1)
    z = image.normalize(pixels, pixels.mean(axis=(0, 1)), std)
    np.testing.assert_allclose(z.mean(axis=(0, 1)), 0, atol=1e-9)
    if pixels[..., 0].size > 1:
        np.testing.assert_allclose(z.std(axis=(0, 1)), 1, atol=1e-9)


@law
def test_normalize_with_the_constants_of_fastvlm_changes_nothing():
    """FastVLM was trained on plain intensities: mean 0, deviation 1."""
    pixels = random_arrays()(2, 3, 3)
    values = image.normalize(pixels, image.FASTVLM_MEAN, image.FASTVLM_STD)
    np.testing.assert_array_equal(values, pixels)


@law
@given(tensors(st.tuples(*[st.integers(1, 4)] * 4)))
def test_to_channels_last_undoes_to_channels_first(pixels):
    """The layout is a question of order, not of values; batches keep their axes."""
    planes = image.to_channels_first(pixels)
    n, height, width, channels = pixels.shape
    assert planes.shape == (n, channels, height, width)
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(image.to_channels_last(planes), pixels)


@law
def test_values_keep_their_dtype():
    """float16 stays float16, and the given picture is left as it was."""
    pixels = random_arrays()(4, 5, 3)
    check_dtype(image.rescale, pixels)
    check_dtype(image.normalize, pixels, image.CLIP_MEAN, image.CLIP_STD)
    check_dtype(image.to_channels_first, pixels)
    check_dtype(image.to_channels_last, pixels)


@oracle
def test_rescale_and_normalize_equal_transformers_bit_for_bit(compare):
    """The same float32 numbers, because the same roundings in the same order."""
    pixels = noise(5, 4)

    def ask(torch):
        last = {"input_data_format": "channels_last"}
        rescaled = transforms().rescale(pixels, 1 / 255, **last)
        normalize = transforms().normalize
        return {
            "rescaled": rescaled,
            "normalized": normalize(rescaled, image.CLIP_MEAN, image.CLIP_STD, **last),
        }

    answers = compare.answers(ask, pixels)
    rescaled = image.rescale(pixels)
    normalized = image.normalize(rescaled, image.CLIP_MEAN, image.CLIP_STD)
    np.testing.assert_array_equal(rescaled, answers["rescaled"])
    np.testing.assert_array_equal(normalized, answers["normalized"])


@oracle
def test_normalize_equals_torchvision(compare):
    """torchvision's Normalize, which has its channels first."""
    pixels = random_arrays(3)(4, 5, 3)
    constants = image.IMAGENET_MEAN, image.IMAGENET_STD

    def ask(torch):
        import_torchvision()
        from torchvision.transforms import Normalize

        planes = torch.from_numpy(image.to_channels_first(pixels))
        return {"output": Normalize(*constants)(planes).numpy()}

    answer = compare.answers(ask, (pixels, constants))["output"]
    ours = image.to_channels_first(image.normalize(pixels, *constants))
    assert_close(ours, answer)


@contract
def test_normalize_wants_a_constant_for_each_channel():
    """Channels are last here; a picture with channels first is told so."""
    with pytest.raises(ShapeError, match="have 5 channels in their last axis"):
        image.normalize(np.zeros((3, 4, 5)), image.CLIP_MEAN, image.CLIP_STD)


@contract
@pytest.mark.parametrize("mean, std", [(0, 0), (np.nan, 1), (0, np.inf)])
def test_normalize_refuses_constants_that_give_nan(mean, std):
    """No deviation, no measure."""
    with pytest.raises(ValueError, match="std finite and not zero"):
        image.normalize(np.zeros((2, 2, 3)), (mean,) * 3, (std,) * 3)


@contract
@pytest.mark.parametrize("function", ["to_channels_first", "to_channels_last"])
def test_to_channels_needs_three_axes(function):
    """A grey picture has no channels to move."""
    with pytest.raises(ShapeError, match="at least 3 axes"):
        getattr(image, function)(np.zeros((4, 5)))
