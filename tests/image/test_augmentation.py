"""The spec of refvlm/image/augmentation.py."""

import itertools
import math
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refvlm import image, ops
from refvlm.scenes import draw as draw_scene
from refvlm.scenes import mirror, mirror_text
from refvlm.scenes.world import Object, Scene
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import assert_close, contract, example, law, oracle, random_arrays
from .pictures import noise

EDGES = st.integers(1, 12)
SEEDS = st.integers(0, 1000)
FACTORS = (0.0, 0.4, 1.0, 1.7)


class Scripted(np.random.Generator):
    """A generator that takes its numbers from a list, so that an oracle can share."""

    def __init__(self, units):
        super().__init__(np.random.PCG64(0))
        self.units = itertools.cycle(units)

    def uniform(self, low, high):
        return low + (high - low) * next(self.units)

    def integers(self, low, high):
        return low + int((high - low) * next(self.units))


def generator(seed=0):
    return np.random.default_rng(seed)


def fractions(height=4, width=5, seed=0):
    """A floating picture from 0 to 1, float64."""
    return noise(height, width, seed=seed) / 255


@example
def test_random_crop_takes_one_of_the_windows():
    """Of a row of three pixels, two windows of two can be taken."""
    row = np.array([[[1] * 3, [2] * 3, [3] * 3]], np.uint8)
    seen = {
        tuple(image.random_crop(row, 1, 2, generator(s))[0, :, 0]) for s in range(20)
    }
    assert seen == {(1, 2), (2, 3)}


@example
def test_crop_box_by_hand():
    """A quarter of 40 x 40 at a proportion of 4: 400 = 40 wide x 10 high, placed half
    way down of the 31 possible rows: 15."""
    box = image.crop_box(40, 40, Scripted([0.25, 0.5, 0.5, 0.0]), (1e-9, 1), (4, 4))
    assert box == (15, 0, 10, 40)


@example
def test_color_jitter_adjust_brightness_and_adjust_contrast_part_at_black():
    """Two greys, 40 and 80, stretched by 2. From black they become 80 and 160, from
    their mean of 60 they become 20 and 100; beta = -60 makes the one the other."""
    pair = np.array([[[40] * 3, [80] * 3]], np.uint8)
    assert image.color_jitter(pair, 2.0, 0.0)[0, :, 0].tolist() == [80, 160]
    assert image.adjust_brightness(pair, 2.0)[0, :, 0].tolist() == [80, 160]
    assert image.adjust_contrast(pair, 2.0)[0, :, 0].tolist() == [20, 100]
    assert image.color_jitter(pair, 2.0, -60.0)[0, :, 0].tolist() == [20, 100]


@example
def test_mix_of_a_circle_and_a_square():
    """Three quarters of one picture and a quarter of another is three quarters of a
    circle and a quarter of a square, in pixels and in words."""
    images, labels = np.array([[0.0], [8.0]]), np.eye(2)
    mixed, soft = image.mix(images, labels, 0.75, np.array([1, 0]))
    np.testing.assert_array_equal(mixed, [[2.0], [6.0]])
    np.testing.assert_array_equal(soft, [[0.75, 0.25], [0.25, 0.75]])


@law
@given(EDGES, EDGES, SEEDS)
def test_random_crop_is_a_piece_of_the_picture(height, width, seed):
    """Its pixels stand side by side in the picture, and are its own memory."""
    picture = noise(height + 3, width + 2)
    crop = image.random_crop(picture, height, width, generator(seed))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (height, width, 3))
    assert (windows == crop).all(axis=(-3, -2, -1)).any()
    assert not np.shares_memory(crop, picture)


@law
def test_random_crop_comes_from_every_place_alike():
    """Nine places, 9,000 crops: each about a thousand times."""
    picture, rng = noise(3, 3), generator()
    firsts = [tuple(image.random_crop(picture, 1, 1, rng)[0, 0]) for _ in range(9000)]
    counts = [firsts.count(tuple(pixel)) for pixel in picture.reshape(-1, 3)]
    assert sum(counts) == 9000 and max(abs(c - 1000) for c in counts) < 150


@law
@given(EDGES, EDGES, SEEDS)
def test_crop_box_lies_within_the_picture(height, width, seed):
    """Whatever the draws, and where none fits."""
    for ratio in ((3 / 4, 4 / 3), (5, 6), (0.1, 0.2), None):
        top, left, rows, columns = image.crop_box(
            height, width, generator(seed), (0.08, 1.0), ratio
        )
        assert 0 <= top <= top + rows <= height and rows > 0
        assert 0 <= left <= left + columns <= width and columns > 0


@law
@given(SEEDS)
def test_crop_box_keeps_to_scale_and_ratio(seed):
    """In a large picture, where a pixel is little: the area within `scale`, the
    proportion within `ratio`."""
    _, _, rows, columns = image.crop_box(
        1000, 1500, generator(seed), (0.2, 0.5), (0.5, 2)
    )
    assert 0.199 < rows * columns / 1.5e6 < 0.501
    assert 0.499 < columns / rows < 2.01


@law
@given(SEEDS)
def test_crop_box_without_a_ratio_keeps_the_proportions(seed):
    """The aspect-preserving crop of the source: 3 : 2 stays 3 : 2."""
    _, _, rows, columns = image.crop_box(600, 900, generator(seed), (0.1, 1), None)
    assert abs(columns / rows - 1.5) < 0.01


@law
def test_crop_box_is_as_often_tall_as_wide():
    """Log-uniform: 3/4 and 4/3 are equally far from 1. Uniform, wide would win."""
    rng = generator(1)
    boxes = [image.crop_box(800, 800, rng, (0.1, 0.3)) for _ in range(2000)]
    wide = sum(columns > rows for _, _, rows, columns in boxes)
    assert abs(wide - 1000) < 120


@law
@given(EDGES, EDGES, SEEDS)
def test_random_resized_crop_has_the_asked_size_and_invents_no_colour(h, w, seed):
    """A weighted mean of pixels lies between the darkest and the brightest."""
    for picture in (noise(h, w), fractions(h, w)):
        crop = image.random_resized_crop(picture, 4, 6, generator(seed))
        assert crop.shape == (4, 6, 3) and crop.dtype == picture.dtype
        assert crop.min() >= picture.min() - 1e-12
        assert crop.max() <= picture.max() + 1e-12


@law
def test_random_resized_crop_is_the_same_for_bytes_and_fractions():
    """Pillow's way and the way by definition agree to a level of 255."""
    bytes_ = image.random_resized_crop(noise(9, 7), 5, 5, generator(3))
    floats = image.random_resized_crop(noise(9, 7) / 255, 5, 5, generator(3))
    assert np.abs(floats * 255 - bytes_).max() < 1.01


@law
@given(st.floats(0, 3), st.floats(-300, 300))
def test_color_jitter_stays_between_black_and_white(alpha, beta):
    """Clipped, not wrapped: 250 + 10 is white and never 4."""
    picture = noise(3, 4)
    expected = (picture.astype(float) * alpha + beta).clip(0, 255)
    jittered = image.color_jitter(picture, alpha, beta)
    assert jittered.dtype == np.uint8
    assert np.abs(jittered - expected).max() <= 0.5
    floats = image.color_jitter(picture / 255, alpha, beta / 255)
    assert_close(floats * 255, expected, 1e-9)


@law
@given(st.floats(0, 1))
def test_adjust_contrast_keeps_the_mean_grey(factor):
    """Its anchor; where nothing is clipped. That of brightness is black."""
    weights = np.array([0.2989, 0.587, 0.114])
    picture = fractions()
    gray = (image.adjust_contrast(picture, factor) @ weights).mean()
    # The three weights sum to 0.9999, and the mean is blended in as a grey.
    assert abs(gray - (picture @ weights).mean()) < 2e-4
    dark = image.adjust_brightness(picture, factor)
    assert_close(dark, picture * factor)


@law
def test_adjust_contrast_of_nothing_is_one_grey():
    """With f = 0 only the mean is left; brightness leaves black."""
    gray = image.adjust_contrast(fractions(), 0.0)
    assert np.ptp(gray) < 1e-12 and gray.mean() > 0.3
    assert not image.adjust_brightness(fractions(), 0.0).any()


@law
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_augmentation_keeps_the_dtype_and_its_input(dtype):
    """dtype in = dtype out, and the picture is not written to."""
    picture = noise(6, 5) if dtype == np.uint8 else fractions(6, 5).astype(dtype)
    before = picture.copy()
    for result in (
        image.random_crop(picture, 3, 3, generator()),
        image.color_jitter(picture, 1.3, 0.2),
        image.adjust_brightness(picture, 0.7),
        image.adjust_contrast(picture, 1.5),
        image.horizontal_flip(picture),
        image.random_horizontal_flip(picture, generator(), 0.0)[0],
    ):
        assert result.dtype == dtype and not np.shares_memory(result, picture)
    np.testing.assert_array_equal(picture, before)


@law
@given(EDGES, EDGES)
def test_horizontal_flip_undoes_itself(height, width):
    """Twice is nothing; once moves the first column to the end."""
    picture = noise(height, width)
    flipped = image.horizontal_flip(picture)
    np.testing.assert_array_equal(image.horizontal_flip(flipped), picture)
    np.testing.assert_array_equal(flipped[:, -1], picture[:, 0])


@law
def test_random_horizontal_flip_says_what_it_did():
    """The caption has to know. Half of the time, at p = 1 always, at 0 never."""
    picture, rng = noise(2, 3), generator()
    flips = 0
    for _ in range(2000):
        out, flipped = image.random_horizontal_flip(picture, rng)
        expected = picture[:, ::-1] if flipped else picture
        np.testing.assert_array_equal(out, expected)
        flips += flipped
    assert abs(flips - 1000) < 120
    assert image.random_horizontal_flip(picture, rng, 1.0)[1] is True
    assert image.random_horizontal_flip(picture, rng, 0.0)[1] is False


@law
def test_horizontal_flip_is_what_mirror_text_describes():
    """The flipped picture of a scene is the picture of the mirrored scene, of which
    "to the right of" is true where "to the left of" was."""
    scene = Scene(
        (
            Object("circle", "red", "large", 0.25, 0.5, 0.15),
            Object("star", "blue", "small", 0.75, 0.5, 0.1),
        )
    )
    flipped = image.horizontal_flip(draw_scene(scene, 64)).astype(int)
    assert np.abs(flipped - draw_scene(mirror(scene), 64)).mean() < 1.0
    said = "a red circle to the left of a blue star."
    assert mirror_text(said) == "a red circle to the right of a blue star."


@law
@given(st.floats(0, 1), SEEDS)
def test_mix_keeps_distributions_distributions(share, seed):
    """Labels that sum to one still do, and no picture leaves the range of its two."""
    images, labels = fractions(6, 4).reshape(6, 4, 3), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    mixed, soft = image.mix(images, labels, share, generator(seed).permutation(6))
    assert_close(soft.sum(axis=1), np.ones(6))
    assert images.min() <= mixed.min() + 1e-12 and mixed.max() <= images.max() + 1e-12


@law
@given(st.floats(0, 1))
def test_mix_of_labels_is_mix_of_losses(share):
    """The cross-entropy is linear in its target, so soft labels and a weighted sum of
    two losses are one thing."""
    scores, labels = random_arrays(1)(4, 3), np.eye(3)[[0, 2, 1, 1]]
    partners = np.array([2, 3, 0, 1])
    _, soft = image.mix(scores, labels, share, partners)
    both = share * ops.cross_entropy(scores, labels)
    both += (1 - share) * ops.cross_entropy(scores, labels[partners])
    assert_close(ops.cross_entropy(scores, soft), both, 1e-10)


@law
@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_draws_its_share_from_a_beta(alpha):
    """Mean 1/2 and variance 1 / (8 alpha + 4): a small alpha mixes little, a large
    one half and half."""
    rng, shares = generator(2), []
    images, labels = np.zeros((2, 1)), np.eye(2)
    while len(shares) < 4000:
        _, soft = image.mixup(images, labels, rng, alpha)
        shares.append(soft[0, 0])
    shares = np.array([share for share in shares if share < 1])  # no partner but itself
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() * (8 * alpha + 4) - 1) < 0.1


@law
def test_mixup_mixes_pictures_and_labels_alike():
    """Pictures that are their own labels stay so."""
    labels = np.eye(5)
    for seed in range(10):
        mixed, soft = image.mixup(labels, labels, generator(seed), 1.0)
        np.testing.assert_array_equal(mixed, soft)


def in_torch(torch, picture):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0)))


@oracle
@pytest.mark.parametrize("height, width", [(50, 40), (9, 60), (60, 9), (3, 3)])
def test_crop_box_equals_torchvision(compare, height, width):
    """The same random numbers give the same box; some fit at once, some never."""
    scripts = random_arrays(3)(8, 40) % 1
    kinds = (((0.08, 1.0), (3 / 4, 4 / 3)), ((0.5, 0.9), (0.2, 0.4)))

    def ask(torch):
        transform = import_torchvision().transforms.RandomResizedCrop
        boxes = [
            scripted(torch, script, transform.get_params, scale, ratio)
            for script in scripts
            for scale, ratio in kinds
        ]
        return {"boxes": np.array(boxes)}

    def scripted(torch, script, get_params, scale, ratio):
        rng = Scripted(script)

        def uniform(self, low, high):
            return torch.tensor([rng.uniform(float(low), float(high))]).double()

        def randint(low, high, size):
            return torch.tensor([rng.integers(low, high)])

        with (
            mock.patch.object(torch.Tensor, "uniform_", uniform),
            mock.patch.object(torch, "randint", randint),
        ):
            return get_params(torch.zeros(3, height, width), list(scale), list(ratio))

    ours = [
        image.crop_box(height, width, Scripted(script), scale, ratio)
        for script in scripts
        for scale, ratio in kinds
    ]
    answers = compare.answers(ask, (scripts, kinds, height, width))
    np.testing.assert_array_equal(np.array(ours), answers["boxes"])


@oracle
def test_random_resized_crop_equals_torchvision(compare):
    """The part that `crop_box` chose, by torchvision's resized_crop, bit by bit."""
    picture = noise(13, 17)

    def ask(torch):
        crop = import_torchvision().transforms.functional.resized_crop
        answers = {}
        for seed in range(6):
            box = image.crop_box(13, 17, generator(seed))
            answers[str(seed)] = np.array(crop(Image.fromarray(picture), *box, [8, 6]))
        return answers

    boxes = [image.crop_box(13, 17, generator(seed)) for seed in range(6)]
    for seed, answer in compare.answers(ask, (picture, boxes)).items():
        ours = image.random_resized_crop(picture, 8, 6, generator(int(seed)))
        np.testing.assert_array_equal(ours, answer)


@oracle
def test_adjust_brightness_and_adjust_contrast_equal_torchvision(compare):
    """In fractions exactly; in levels of 255, torchvision rounds down."""
    floats, levels = fractions(5, 6, seed=2), noise(5, 6, seed=2)
    names = ("adjust_brightness", "adjust_contrast")

    def ask(torch):
        functional = import_torchvision().transforms.functional
        return {
            f"{name} {factor} {picture.dtype}": np.moveaxis(
                getattr(functional, name)(in_torch(torch, picture), factor).numpy(),
                0,
                -1,
            )
            for name in names
            for factor in FACTORS
            for picture in (floats, levels)
        }

    for key, answer in compare.answers(ask, (floats, FACTORS)).items():
        name, factor, dtype = key.split()
        picture = levels if dtype == "uint8" else floats
        ours = getattr(image, name)(picture, float(factor))
        if dtype == "uint8":
            assert np.abs(ours.astype(int) - answer).max() <= 1, key
        else:
            assert_close(ours, answer)


@oracle
def test_color_jitter_equals_torch(compare):
    """The formula of the source, clamped."""
    picture = fractions(seed=3)
    settings = ((1.4, 0.1), (0.6, -0.2), (0.0, 0.5), (3.0, -1.0))

    def ask(torch):
        return {
            f"{alpha} {beta}": (alpha * torch.tensor(picture) + beta)
            .clamp(0, 1)
            .numpy()
            for alpha, beta in settings
        }

    for key, answer in compare.answers(ask, (picture, settings)).items():
        assert_close(image.color_jitter(picture, *map(float, key.split())), answer)


@oracle
def test_horizontal_flip_equals_torch(compare):
    """The last axis of a picture that stands channels first."""
    picture = noise(4, 5)

    def ask(torch):
        flipped = torch.flip(in_torch(torch, picture), [-1])
        return {"flipped": np.moveaxis(flipped.numpy(), 0, -1)}

    answers = compare.answers(ask, picture)
    np.testing.assert_array_equal(image.horizontal_flip(picture), answers["flipped"])


@oracle
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mix_equals_torchvision(compare, share):
    """v2.MixUp takes as partner the row before, and the shares that we give it."""
    images, labels = (
        fractions(4, 6, seed=4).reshape(4, 3, 2, 3),
        np.eye(3)[[0, 2, 1, 2]],
    )

    def ask(torch):
        import_torchvision()
        from torchvision.transforms import v2

        params = {"lam": share, "batch_size": 4, "labels": torch.tensor(labels)}
        transform = v2.MixUp(num_classes=3)
        return {
            "images": transform.transform(torch.tensor(images), params).numpy(),
            "labels": transform.transform(params["labels"], params).numpy(),
        }

    answers = compare.answers(ask, (images, labels, share))
    mixed, soft = image.mix(images, labels, share, np.array([3, 0, 1, 2]))
    assert_close(mixed, answers["images"])
    assert_close(soft, answers["labels"])


@contract
def test_random_crop_refuses_a_window_that_does_not_fit():
    """Nothing is padded in silence."""
    with pytest.raises(image.ImageError, match="5 x 2 does not fit into"):
        image.random_crop(noise(4, 4), 5, 2, generator())
    with pytest.raises(image.ImageError, match="it is empty"):
        image.random_crop(noise(4, 4), 0, 2, generator())


@contract
@pytest.mark.parametrize(
    "scale, ratio",
    [
        ((0.0, 1.0), (1, 1)),
        ((0.5, 0.2), (1, 1)),
        ((0.5, 1.5), (1, 1)),
        ((0.5, 1.0), (0, 1)),
        ((0.5, 1.0), (2, math.inf)),
        ((math.nan, 1.0), (1, 1)),
    ],
)
def test_crop_box_refuses_ranges_that_are_none(scale, ratio):
    """Areas from over 0 to 1, proportions over 0, the smaller first."""
    with pytest.raises(ValueError, match="goes from a number over 0"):
        image.crop_box(5, 5, generator(), scale, ratio)


@contract
def test_color_jitter_and_its_kin_refuse_pictures_of_another_kind():
    """After normalisation, 0 and 1 are no longer black and white."""
    for change in (
        lambda picture: image.color_jitter(picture, 1.0, 0.0),
        lambda picture: image.adjust_brightness(picture, 1.0),
        lambda picture: image.adjust_contrast(picture, 1.0),
    ):
        with pytest.raises(ValueError, match="jitter before you normalize"):
            change(fractions() * 255)
        with pytest.raises(ValueError, match="image is int64"):
            change(noise(2, 2).astype(np.int64))
        with pytest.raises(ShapeError, match="needs 3"):
            change(fractions()[..., :1])


@contract
@pytest.mark.parametrize("factor", [-1.0, math.nan, math.inf])
def test_adjust_contrast_refuses_a_factor_below_nothing(factor):
    """A negative picture is another thing."""
    for function in (image.adjust_contrast, image.adjust_brightness):
        with pytest.raises(ValueError, match="factor is at least 0"):
            function(fractions(), factor)
    with pytest.raises(ValueError, match="alpha and beta are finite"):
        image.color_jitter(fractions(), math.nan, 0.0)


@contract
def test_random_horizontal_flip_and_mixup_refuse_bad_odds():
    """A probability, a positive alpha, and a generator to draw from."""
    with pytest.raises(ValueError, match="p is a probability"):
        image.random_horizontal_flip(noise(2, 2), generator(), 1.5)
    with pytest.raises(ValueError, match="alpha is a positive number"):
        image.mixup(np.zeros((2, 1)), np.eye(2), generator(), 0.0)
    for call in (
        lambda: image.random_crop(noise(2, 2), 1, 1, None),
        lambda: image.crop_box(2, 2, 0),
        lambda: image.random_horizontal_flip(noise(2, 2), np.random),
        lambda: image.mixup(np.zeros((2, 1)), np.eye(2), 3),
    ):
        with pytest.raises(ValueError, match=r"rng must be a numpy.random.Generator"):
            call()


@contract
def test_mix_refuses_bytes_classes_and_strangers():
    """Half of 255 is no byte, half of class 1 is no class, and row 2 of 2 is none."""
    with pytest.raises(ValueError, match="as in x.astype"):
        image.mix(noise(2, 2), np.eye(2), 0.5, np.array([1, 0]))
    with pytest.raises(ShapeError, match="labels"):
        image.mix(np.zeros((2, 1)), np.array([0.0, 1.0]), 0.5, np.array([1, 0]))
    with pytest.raises(ValueError, match="partners are rows of the batch, 0 to 1"):
        image.mix(np.zeros((2, 1)), np.eye(2), 0.5, np.array([1, 2]))
    with pytest.raises(ValueError, match="share is from 0 to 1"):
        image.mix(np.zeros((2, 1)), np.eye(2), 1.5, np.array([1, 0]))
