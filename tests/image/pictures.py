"""Pictures for the tests: noise, files in memory, and PNGs written by hand."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from ..oracles import import_torchvision


def noise(height, width, channels=3, seed=0):
    """Random pixels, (height, width, channels) uint8, the same on every machine."""
    state = np.random.RandomState(seed)
    return state.randint(0, 256, (height, width, channels)).astype(np.uint8)


def in_mode(mode, height=7, width=5):
    """A noisy PIL image in one of Pillow's modes."""
    if mode in ("CMYK", "YCbCr", "P", "RGB"):
        return Image.fromarray(noise(height, width)).convert(mode)
    return Image.fromarray(noise(height, width, 4), "RGBA").convert(mode)


def file_of(picture, format, **options):
    """The bytes of a file that holds the picture, a PIL image or an array."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind, data):
    """A chunk of a PNG: its length, kind and data, and a checksum."""
    checked = kind + data
    checksum = struct.pack(">I", zlib.crc32(checked))
    return struct.pack(">I", len(data)) + checked + checksum


def png(height, width, depth, color_type, rows=b""):
    """A PNG as the standard describes it, whatever its header claims."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def processor(name, config):
    """transformers' image processor of that name, in its Pillow version."""
    import_torchvision()
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.convnext.image_processing_pil_convnext import (
        ConvNextImageProcessorPil,
    )
    from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
    from transformers.models.llava.image_processing_pil_llava import (
        LlavaImageProcessorPil,
    )
    from transformers.models.llava_next.image_processing_pil_llava_next import (
        LlavaNextImageProcessorPil,
    )
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    kinds = {
        "Blip": BlipImageProcessorPil,
        "CLIP": CLIPImageProcessorPil,
        "ConvNext": ConvNextImageProcessorPil,
        "DeiT": DeiTImageProcessorPil,
        "Llava": LlavaImageProcessorPil,
        "LlavaNext": LlavaNextImageProcessorPil,
        "ViT": ViTImageProcessorPil,
    }
    return kinds[name](**config)


def transforms():
    """transformers' functions on images."""
    import_torchvision()
    from transformers import image_transforms

    return image_transforms
