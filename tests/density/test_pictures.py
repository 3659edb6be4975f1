import struct
import zlib

import numpy as np

from assay.density.pictures import png, sheet


def decoded(file):
    """The grey values of a PNG without filters, read chunk by chunk."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        (size,) = struct.unpack(">I", file[at : at + 4])
        kind, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", file[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:]


class TestPictures:
    def test_png_is_read_back(self):
        grey = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
        assert np.array_equal(decoded(png(grey)), grey)

    def test_sheet(self):
        tiles = np.arange(2 * 3 * 1 * 2, dtype=np.uint8).reshape(2, 3, 1, 2)
        expected = [[0, 1, 128, 2, 3, 128, 4, 5], [128] * 8, [6, 7, 128, 8, 9, 128, 10, 11]]
        assert sheet(tiles).tolist() == expected
        assert sheet(tiles, scale=2).shape == (6, 16)
