"""Containers: what stands in a file around the picture, read before it is decoded.

A file is more than its picture. A phone appends a film to a photograph, a program that
paints writes its whole workflow into a PNG. None of it makes the picture larger or
more dangerous, as long as nobody reads it: a JPEG ends at its end marker, and the notes
of a PNG are left out unread.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from .limits import MAX_SCANS

PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
MAX_NOTE = 2**20  # what Pillow unpacks of one note

# A JPEG's markers are FF and a code. Behind FF, 00 stands for FF itself in the numbers
# of a scan, and 01 and D0 to D8 have nothing to say here.
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
END, SCAN = 0xD9, 0xDA
MAX_SEGMENTS = 2**16  # a colour profile may need hundreds; Python reads them one by one

# What of a PNG is the picture, how it is animated, and which side of it is up.
NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}
NEEDED |= {b"eXIf"}
TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
TURNING = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")


def jpeg_scans(data: bytes) -> int:
    """How many scans a JPEG makes up to its end, counted a little beyond `MAX_SCANS`.

    Its segments say how long they are, so that no FF DA is taken for a scan that only
    looks like one, in a thumbnail or in whatever follows the end.
    """
    scans, place = 0, len(JPEG_START)
    for _ in range(MAX_SEGMENTS):
        marker = MARKER.search(data, place)
        if marker is None or marker[1][0] == END or scans > MAX_SCANS:
            return scans
        scans += marker[1][0] == SCAN
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        place = marker.end() + max(2, length)
    return MAX_SCANS + 1  # nobody writes so many segments


def without_notes(data: bytes) -> bytes:
    """A PNG without what is not of the picture: texts, profiles, and the like.

    Notes that may say which side is up are kept, unless they are too long.
    """
    chunks = list(_chunks(data))
    if all(needed for needed, _, _ in chunks):
        return data
    view = memoryview(data)
    kept = [view[begin:end] for needed, begin, end in chunks if needed]
    return b"".join([PNG_START, *kept])


def _chunks(data: bytes) -> Iterator[tuple[bool, int, int]]:
    """(whether it is needed, begin, end) of each chunk; the last runs to the end."""
    place = len(PNG_START)
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, end = data[place + 4 : place + 8], place + 12 + length
        if kind == b"IEND" or end >= len(data):
            yield True, place, len(data)
            return
        yield _is_needed(kind, data, place + 8, end - 4), place, end
        place = end


def _is_needed(kind: bytes, data: bytes, begin: int, end: int) -> bool:
    if kind in TEXTS and data.startswith(TURNING, begin, end):
        return _is_short(kind, data[begin:end])
    return kind in NEEDED


def _is_short(kind: bytes, note: bytes) -> bool:
    """Whether Pillow would read a text; a packed one is unpacked no further."""
    text = note.partition(b"\0")[2]
    if kind == b"zTXt":
        packed = text[1:]
    elif kind == b"iTXt" and text.startswith(b"\1"):
        packed = text[2:].split(b"\0", 2)[-1]
    else:
        return len(text) <= MAX_NOTE
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(packed, MAX_NOTE)
    except zlib.error:
        return False
    return not unpacking.unconsumed_tail
