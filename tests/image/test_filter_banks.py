"""The spec of refvlm/image/filter_banks.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.image import filter_banks
from refvlm.image.filter_banks import gabor, gabor_bank, sobel

from ..spec import assert_close, contract, example, law, oracle, random_arrays
from .pictures import in_mode, noise


def grating(wavelength, angle, size=48):
    """A picture of one wave."""
    u, v = np.meshgrid(np.arange(size), np.arange(size))
    along = u * math.cos(angle) + v * math.sin(angle)
    return np.cos(2 * math.pi * along / wavelength + 0.7)


@example
def test_sobel_of_a_step_is_four_and_of_a_ramp_eight():
    """Two columns feel a step of 1; a slope of 1 a pixel is felt everywhere."""
    step = np.array([[0.0, 0.0, 1.0, 1.0]] * 3)
    np.testing.assert_array_equal(sobel(step)[0], [[0, 4, 4, 0]] * 3)
    assert not sobel(step)[1].any()
    ramp = np.arange(5.0)[:, None] * np.ones(4)
    np.testing.assert_array_equal(sobel(ramp)[1, 1:-1], np.full((3, 4), 8.0))


@example
def test_gabor_of_no_angle_is_a_wave_to_the_right():
    """Its rows are alike but for their strength, its middle is its largest."""
    wave = gabor(9, 4, 0.0)
    assert np.unravel_index(wave.argmax(), wave.shape) == (4, 4)
    np.testing.assert_allclose(wave, wave[:, ::-1], atol=1e-15)
    np.testing.assert_allclose(gabor(9, 4, math.pi / 2), wave.T, atol=1e-15)


@law
@given(st.floats(2, 12), st.floats(0, 3.2), st.floats(0, 6.3))
def test_gabor_says_nothing_of_flat_areas_and_has_length_one(wavelength, angle, phase):
    """Only change is seen, and filters can be compared with one another."""
    wave = gabor(13, wavelength, angle, phase)
    assert abs(wave.sum()) < 1e-12
    assert abs(np.square(wave).sum() - 1) < 1e-12


@law
@pytest.mark.parametrize("wavelength", [4, 8])
@pytest.mark.parametrize("turn", range(4))
def test_textures_know_their_own_wave(wavelength, turn):
    """Of eight pairs, the one of that length and direction answers most, everywhere."""
    angle = turn * math.pi / 4
    found = filter_banks.textures(grating(wavelength, angle), gabor_bank())
    inner = found[:, 12:-12, 12:-12]
    expected = turn + (0 if wavelength == 4 else 4)
    assert (inner.argmax(axis=0) == expected).all()
    assert inner[expected].std() < 0.1 * inner[expected].mean()


@law
def test_edge_strength_turns_with_the_picture():
    """A quarter turn moves every edge and changes none."""
    x = random_arrays(1)(7, 9)
    turned = filter_banks.edge_strength(sobel(np.ascontiguousarray(np.rot90(x))))
    assert_close(turned, np.rot90(filter_banks.edge_strength(sobel(x))))


@law
def test_feature_hierarchy_is_ever_coarser():
    """Pooled windows are the means of their textures, the whole that of its windows."""
    x = random_arrays(2)(32, 40)
    levels = filter_banks.feature_hierarchy(x, window=8)
    assert levels.edges.shape == (2, 32, 40)
    assert levels.textures.shape == (8, 32, 40)
    assert levels.pooled.shape == (8, 4, 5)
    window = levels.textures[:, 8:16, 16:24].mean(axis=(1, 2))
    assert_close(levels.pooled[:, 1, 2], window)
    assert_close(levels.whole, levels.textures.mean(axis=(1, 2)), 1e-11)


@oracle
def test_sobel_equals_scipy(compare):
    """scipy.ndimage.sobel along both axes, borders included."""
    x = random_arrays(3)(7, 10)

    def ask(torch):
        from scipy import ndimage

        return {"across": ndimage.sobel(x, 1), "down": ndimage.sobel(x, 0)}

    answers = compare.answers(ask, (x,))
    assert_close(sobel(x), np.stack([answers["across"], answers["down"]]))


@oracle
def test_textures_equal_scipy(compare):
    """The pairs by scipy.ndimage.correlate, of a size that is no multiple of theirs."""
    x, bank = random_arrays(4)(17, 20), gabor_bank(7, (3, 5), 3)

    def ask(torch):
        from scipy import ndimage

        pairs = [
            [ndimage.correlate(x, each, mode="nearest") for each in pair]
            for pair in bank
        ]
        return {"energies": np.hypot(*np.moveaxis(np.array(pairs), 1, 0))}

    answers = compare.answers(ask, (x,))
    assert_close(filter_banks.textures(x, bank), answers["energies"])
    rounded = filter_banks.textures(x.astype(np.float32), bank)
    assert_close(rounded, answers["energies"].astype(np.float32))


@oracle
def test_luminance_equals_pillow(compare):
    """Before Pillow rounds to whole levels, within one of them."""
    picture = in_mode("RGB", 9, 7)

    def ask(torch):
        return {"grey": np.array(picture.convert("L"))}

    answers = compare.answers(ask, (np.array(picture),))
    ours = filter_banks.luminance(np.array(picture)) * 255
    assert ours.dtype == np.float32
    assert np.abs(ours - answers["grey"]).max() <= 0.51


@contract
def test_filter_banks_refuse_waves_and_windows_that_do_not_fit():
    """A wave needs two pixels, a bank a wave, a window a place."""
    with pytest.raises(ValueError, match="wavelength must be a number of at least 2"):
        gabor(9, 1.5, 0.0)
    with pytest.raises(ValueError, match="angle must be a number"):
        gabor(9, 4, math.nan)
    with pytest.raises(ValueError, match="size must be a whole number"):
        gabor(2, 4, 0.0)
    with pytest.raises(ValueError, match="wavelengths is empty"):
        gabor_bank(9, ())
    with pytest.raises(ValueError, match="window must be a whole number"):
        filter_banks.feature_hierarchy(np.zeros((4, 9)), window=5)
    with pytest.raises(ValueError, match="pixels"):
        filter_banks.luminance(noise(4, 4)[..., :2])
