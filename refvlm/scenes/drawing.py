"""Pictures of scenes: Pillow fills the shapes, at four times the size, then shrinks
their masks, which makes edges smooth."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .world import Background, Camera, Object, Scene

FINE = 4
LINE = 1.1 / 128
"""The width of an outline, in the unit of radii."""


def draw(scene: Scene, size: int = 128) -> np.ndarray:
    """The picture of a scene, padded to a square: (size, size, 3) uint8.

    >>> scene = Scene((Object("circle", "red", "large", 0.5, 0.5, 0.2),))
    >>> picture = draw(scene, 64)
    >>> picture[0, 0], picture[32, 32]
    (array([255, 255, 255], dtype=uint8), array([230,  25,  25], dtype=uint8))
    """
    if not 8 <= size <= 4096:
        raise ValueError(f"draw: size is {size}, but must be from 8 to 4096")
    width, height = (max(round(size * part), 4) for part in scene.extent)
    canvas = Image.fromarray(_ground(scene.background, width, height))
    for thing in scene.objects:
        _add(canvas, thing, scene.camera.smooth_edges)
    picture = _photograph(canvas, scene.camera)
    if width == height:
        return picture
    square = np.full((size, size, 3), scene.padding, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def corners(thing: Object) -> np.ndarray | None:
    """The corners of a shape around (0, 0), (n, 2), in radii; None if it is round."""
    thickness = thing.thickness
    if thing.shape == "square":
        points = 0.86 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    elif thing.shape == "triangle":
        points = np.array([[0, -1.0], [1.03, 0.82], [-1.03, 0.82]])
    elif thing.shape == "star":
        angles = np.arange(10) * math.pi / 5
        lengths = np.where(np.arange(10) % 2, 1.08 * (0.36 + 0.12 * thickness), 1.08)
        points = np.stack([lengths * np.sin(angles), -lengths * np.cos(angles)], axis=1)
    elif thing.shape == "cross":
        long, short = 0.98, 0.2 + 0.14 * thickness
        quarter = np.array([[short, -long], [short, -short], [long, -short]])
        right_angle = np.array([[0, 1], [-1, 0]])
        turns = [np.linalg.matrix_power(right_angle, times) for times in range(4)]
        points = np.concatenate([quarter @ power for power in turns])
    else:
        return None
    angle = math.radians(thing.angle)
    turn = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    return points @ np.array(turn)


def hole(thing: Object) -> float:
    """The radius of a ring's hole, in radii."""
    return 0.72 - 0.24 * thing.thickness


def _add(canvas, thing, smooth):
    """Paint one object over what is there."""
    unit = math.sqrt(canvas.width * canvas.height)
    x, y = thing.x * canvas.width, thing.y * canvas.height
    radius = thing.radius * unit
    reach = math.ceil(1.2 * radius + 2)
    left, top = int(x) - reach, int(y) - reach
    fine = FINE if smooth else 1
    frame = (2 * reach * fine, 2 * reach * fine)
    center = ((x - left) * fine, (y - top) * fine)
    stretch = math.sqrt(thing.stretch)
    radii = (radius * fine * stretch, radius * fine / stretch)
    mask = _fill(thing, frame, center, radii)
    canvas.paste(thing.rgb, (left, top), mask.reduce(fine))
    if thing.outline is not None:
        line = max(round(LINE * unit * fine), 1)
        mask = _trace(thing, frame, center, radii, line)
        canvas.paste(thing.outline, (left, top), mask.reduce(fine))


def _fill(thing, frame, center, radii):
    mask = Image.new("L", frame)
    pen = ImageDraw.Draw(mask)
    points = corners(thing)
    if points is not None:
        pen.polygon((points * radii + center).ravel().tolist(), fill=255)
        return mask
    pen.ellipse(_box(center, radii), fill=255)
    if thing.shape == "ring":
        pen.ellipse(_box(center, radii, hole(thing)), fill=0)
    return mask


def _trace(thing, frame, center, radii, line):
    mask = Image.new("L", frame)
    pen = ImageDraw.Draw(mask)
    points = corners(thing)
    if points is not None:
        path = (points * radii + center)[[*range(len(points)), 0, 1]]
        pen.line(path.ravel().tolist(), fill=255, width=line, joint="curve")
        return mask
    pen.ellipse(_box(center, radii), outline=255, width=line)
    if thing.shape == "ring":
        pen.ellipse(_box(center, radii, hole(thing)), outline=255, width=line)
    return mask


def _box(center, radii, part=1.0):
    (x, y), (across, down) = center, radii
    across, down = part * across, part * down
    return (x - across, y - down, x + across, y + down)


def _ground(background: Background, width, height):
    """The background, (height, width, 3) uint8."""
    colour = np.array(background.colour, np.float32)
    if background.kind == "flat":
        picture = np.empty((height, width, 3), np.uint8)
        picture[:] = background.colour
        return picture
    if background.kind == "blobs":
        grain = np.random.default_rng(background.seed).random((5, 5), np.float32)
        waves = Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC)
        mix = np.clip(np.asarray(waves), 0, 1)
    else:
        angle = math.radians(background.angle)
        across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
        down = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
        along = across * math.cos(angle) + down[:, None] * math.sin(angle)
        if background.kind == "stripes":
            mix = 0.5 + 0.5 * np.sin(along * (2 * math.pi / background.period))
        elif background.kind == "gradient":
            mix = 0.5 + along / (abs(math.cos(angle)) + abs(math.sin(angle)))
        else:
            raise ValueError(f"Background: there is no kind {background.kind!r}")
    if background.mirrored:
        mix = mix[:, ::-1]
    shift = np.array(background.other, np.float32) - colour
    return (colour + mix[..., None] * shift + 0.5).astype(np.uint8)


def _photograph(canvas, camera: Camera):
    """Blur, noise and JPEG, in the order in which they happen to a photograph."""
    if camera.blur:
        radius = camera.blur * math.sqrt(canvas.width * canvas.height)
        canvas = canvas.filter(ImageFilter.GaussianBlur(radius))
    picture = np.array(canvas)
    if camera.noise:
        rng = np.random.default_rng(camera.seed)
        noise = rng.standard_normal(picture.shape, np.float32)
        noise *= camera.noise
        noise += picture
        picture = np.clip(noise + 0.5, 0, 255).astype(np.uint8)
    return picture if camera.jpeg is None else as_jpeg(picture, camera.jpeg)


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """The picture after it was written as a JPEG file and read again."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))
