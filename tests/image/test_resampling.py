"""The spec of refvlm/image/resampling.py."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refvlm import image

from ..spec import assert_close, contract, example, law, oracle, random_arrays
from .pictures import noise

SIZE = st.integers(1, 20)
KERNELS = {
    "bilinear": image.linear_kernel,
    "bicubic": image.cubic_kernel,
    "bicubic, sharper": functools.partial(image.cubic_kernel, a=-0.75),
}
MATRICES = {
    "resize": image.resize_matrix,
    "interpolation": image.interpolation_matrix,
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
every_matrix = pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)


@example
def test_resize_matrix_halves_a_line():
    """A tent twice as wide over four pixels: 3 : 3 : 1, and the other way round."""
    weights = image.resize_matrix(4, 2, image.linear_kernel)
    np.testing.assert_allclose(weights * 7, [[3, 3, 1, 0], [0, 1, 3, 3]])


@example
def test_interpolation_matrix_halves_a_line():
    """Without antialiasing a new pixel is the mean of two; others are skipped."""
    weights = image.interpolation_matrix(8, 2, image.linear_kernel)
    expected = [[0, 0.5, 0.5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.5, 0.5, 0]]
    np.testing.assert_array_equal(weights, expected)


@example
def test_cubic_kernel_overshoots():
    """Half-way between pixels the neighbours count 9/16, those beyond -1/16."""
    values = image.cubic_kernel(np.array([-1.5, -0.5, 0.5, 1.5])) * 16
    np.testing.assert_array_equal(values, [-1, 9, 9, -1])


@law
@every_kernel
def test_cubic_kernel_is_one_at_its_own_pixel_and_zero_at_the_others(kernel):
    """So a line resized to its own length is the line itself."""
    np.testing.assert_array_equal(kernel(np.arange(-3.0, 4)), [0, 0, 0, 1, 0, 0, 0])


@law
@every_matrix
@every_kernel
@given(SIZE, SIZE)
def test_resize_matrix_rows_sum_to_one(matrix, kernel, size_in, size_out):
    """Every new pixel is a weighted mean, so a plain line stays plain."""
    sums = matrix(size_in, size_out, kernel).sum(axis=1)
    np.testing.assert_allclose(sums, np.ones(size_out), atol=1e-12)


@law
@every_matrix
@every_kernel
@given(SIZE, SIZE)
def test_resize_matrix_is_the_same_from_either_end(matrix, kernel, size_in, size_out):
    """A mirrored line is resized to the mirrored result."""
    weights = matrix(size_in, size_out, kernel)
    np.testing.assert_allclose(weights[::-1, ::-1], weights, atol=1e-12)


@law
@given(st.integers(1, 4), st.floats(-2, 2), st.floats(-2, 2))
def test_resize_matrix_reproduces_a_parabola(times, slope, curve):
    """With a = -1/2, and far from the ends, bicubic enlarging is exact for t^2."""
    old, new = np.arange(12) + 0.5, (np.arange(12 * times) + 0.5) / times
    inside = (new > 2) & (new < 10)
    for matrix in MATRICES.values():
        enlarged = matrix(12, 12 * times) @ (curve * old**2 + slope * old)
        expected = curve * new**2 + slope * new
        np.testing.assert_allclose(enlarged[inside], expected[inside], atol=1e-9)


@law
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@given(SIZE, SIZE, SIZE, SIZE)
def test_resize_by_definition_equals_resize(name, height, width, to_h, to_w):
    """Pillow counts in integers and rounds twice: it is never off by more than one."""
    picture = noise(height, width, seed=height * width)
    picture = picture // 2 + 64  # room for bicubic to overshoot without clipping
    ours = image.resize_by_definition(picture, to_h, to_w, KERNELS[name])
    pillow = image.resize(picture, to_h, to_w, name)
    assert np.abs(ours.astype(int) - pillow).max() <= 1


@law
@given(SIZE, SIZE, SIZE)
def test_resize_by_definition_clips_what_overshoots(height, width, to_w):
    """At full contrast bicubic goes below 0 and above 255, and bytes cannot."""
    picture = noise(height, width) // 128 * 255
    ours = image.resize_by_definition(picture, height, to_w)
    pillow = image.resize(picture, height, to_w)
    assert np.abs(ours.astype(int) - pillow).max() <= 1


@oracle
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@given(SIZE, SIZE, SIZE, SIZE)
def test_resize_by_definition_equals_pillow_in_floating_point(name, h, w, to_h, to_w):
    """On floating pixels there is no rounding to grey levels, and no room for doubt."""
    plane = random_arrays(h * w)(h, w).astype(np.float32)
    filter = Image.Resampling[name.upper()]
    expected = np.array(Image.fromarray(plane).resize((to_w, to_h), filter))
    ours = image.resize_by_definition(plane[..., None], to_h, to_w, KERNELS[name])
    assert ours.dtype == expected.dtype
    # A mean may be nearly 0: roundings are of what is summed.
    rounding = 1e-6 * np.abs(plane).max()
    np.testing.assert_allclose(ours[..., 0], expected, rtol=0, atol=rounding)


@oracle
def test_resize_by_definition_equals_torch_with_antialias(compare):
    """torch's antialiased interpolation is Pillow's resizing, and a = -1/2 too."""
    _compare_with_torch(compare, image.resize_matrix, "bicubic", antialias=True)


@oracle
def test_interpolation_matrix_equals_torch(compare):
    """torch's plain interpolation keeps the kernel's width, and has a = -3/4."""
    _compare_with_torch(compare, image.interpolation_matrix, "bicubic, sharper")
    _compare_with_torch(compare, image.interpolation_matrix, "bilinear")


def _compare_with_torch(compare, matrix, name, **options):
    plane = random_arrays(5)(9, 7)
    targets = [(4, 20), (23, 3), (9, 7), (1, 11)]

    def ask(torch):
        interpolate = torch.nn.functional.interpolate
        mode, batch = name.split(",")[0], torch.from_numpy(plane)[None, None]
        return {
            f"{height} {width}": interpolate(
                batch, (height, width), mode=mode, align_corners=False, **options
            )[0, 0].numpy()
            for height, width in targets
        }

    for key, answer in compare.answers(ask, (plane, targets, name)).items():
        height, width = map(int, key.split())
        rows = matrix(9, height, KERNELS[name])
        columns = matrix(7, width, KERNELS[name])
        assert_close(rows @ plane @ columns.T, answer)


@contract
def test_resize_by_definition_refuses_other_integers():
    """Only bytes are rounded and clipped; other integers would be cut off."""
    with pytest.raises(ValueError, match="not uint8 or floating"):
        image.resize_by_definition(np.zeros((2, 2, 3), np.int32), 3, 3)
    with pytest.raises(image.ImageError, match="it is empty"):
        image.resize_by_definition(noise(2, 2), 0, 3)
