"""Pictures of bits as PNG files."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(grey: NDArray[np.uint8]) -> bytes:
    """A PNG file with 8 bits of grey per pixel.

    Args:
        grey: of shape (height, width); 0 is black.
    """
    height, width = grey.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = np.pad(grey, ((0, 0), (1, 0)))  # Every line begins with its filter: 0, none.
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(map(_chunk, chunks))


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, content = chunk
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def sheet(tiles: NDArray[np.uint8], *, scale: int = 1, gap: int = 1) -> NDArray[np.uint8]:
    """Tiles side by side and row below row, with grey lines between them.

    Args:
        tiles: grey values of shape (rows, columns, height, width).
        scale: pixels per pixel of a tile.
        gap: width of the lines, in pixels of a tile.
    """
    rows, columns, height, width = tiles.shape
    whole = np.full((rows, height + gap, columns, width + gap), 128, np.uint8)
    whole[:, :height, :, :width] = tiles.transpose(0, 2, 1, 3)
    flat = whole.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap]
    return flat.repeat(scale, axis=0).repeat(scale, axis=1)
