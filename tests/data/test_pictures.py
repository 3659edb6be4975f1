import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from assay.data.pictures import PictureError, decode, encode_png, grid, probe, resize


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG file of few bytes whose header promises many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


class TestDecode:
    def test_bytes_and_files_without_loss(self, rng, tmp_path):
        array = rng.integers(0, 256, (9, 14, 3), np.uint8)
        content = encode_png(array)
        (tmp_path / "a.png").write_bytes(content)
        np.testing.assert_array_equal(decode(content), array)
        np.testing.assert_array_equal(decode(tmp_path / "a.png"), array)
        assert decode(content).flags.writeable

    def test_transparency_goes_over_white(self):
        image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
        image.putpixel((1, 0), (0, 0, 0, 128))
        np.testing.assert_array_equal(decode(encoded(image))[0], [[255, 255, 255], [127, 127, 127]])

    def test_a_transparent_palette_and_grey_with_alpha(self):
        palette = Image.new("P", (2, 1), 0)
        palette.putpalette([255, 0, 0, 0, 255, 0])
        palette.putpixel((1, 0), 1)
        pixels = decode(encoded(palette, "gif", transparency=0))
        np.testing.assert_array_equal(pixels[0], [[255, 255, 255], [0, 255, 0]])
        grey = Image.new("LA", (1, 1), (10, 0))
        np.testing.assert_array_equal(decode(encoded(grey))[0, 0], [255, 255, 255])

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_is_turned_as_its_exif_says(self, rng, orientation):
        upright = rng.integers(0, 256, (4, 6, 3), np.uint8)
        # How a camera stores it: the inverse of what EXIF 2.3, section 4.6.4, tells the viewer to do.
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.transpose(1, 0, 2),
            6: np.rot90(upright, 1),
            7: np.rot90(upright, 2).transpose(1, 0, 2),
            8: np.rot90(upright, -1),
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
        np.testing.assert_array_equal(decode(content), upright)

    def test_sixteen_bits_keep_the_upper_byte(self):
        values = np.array([[0, 255, 256, 65535]], np.uint16)
        assert decode(encoded(Image.fromarray(values)))[0, :, 0].tolist() == [0, 0, 1, 255]

    @pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
    def test_other_modes_become_rgb(self, mode):
        kind = "png" if mode in ("1", "L") else "jpeg"
        pixels = decode(encoded(Image.new("RGB", (8, 8), "white").convert(mode), kind))
        assert pixels.shape == (8, 8, 3)
        assert pixels.min() >= 250

    def test_of_an_animation_the_first_frame(self):
        frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "lime", "blue")]
        content = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(decode(content)[0, 0], [255, 0, 0])

    def test_a_size_is_as_decoding_and_resizing(self, rng):
        array = rng.integers(0, 256, (30, 50, 3), np.uint8)
        np.testing.assert_array_equal(decode(encode_png(array), size=8), resize(array, 8))

    def test_a_large_jpeg_is_shrunk_while_it_is_decoded(self):
        ramp = np.broadcast_to(np.linspace(0, 255, 800).astype(np.uint8)[None, :, None], (600, 800, 3))
        content = encoded(Image.fromarray(np.ascontiguousarray(ramp)), "jpeg", quality=95)
        small, whole = decode(content, size=32), resize(decode(content), 32)
        assert small.shape == (32, 32, 3)
        assert np.abs(small.astype(int) - whole).max() <= 2

    def test_probe_reads_the_header_only(self, picture):
        content = picture(size=(20, 12))
        assert probe(content) == (20, 12)
        assert probe(content[: len(content) - 20]) == (20, 12)


class TestErrors:
    def test_a_missing_file(self, tmp_path):
        with pytest.raises(PictureError, match=r"nothing\.png: no such file"):
            decode(tmp_path / "nothing.png")

    def test_a_folder(self, tmp_path):
        with pytest.raises(PictureError, match="cannot be read: Is a directory"):
            decode(tmp_path)

    def test_something_else(self, tmp_path):
        (tmp_path / "a.png").write_text("<html>not found</html>")
        with pytest.raises(PictureError, match=r"a\.png: expected an image, got something else"):
            decode(tmp_path / "a.png")
        with pytest.raises(PictureError, match="row 3: expected an image, got an empty file"):
            decode(b"", name="row 3")

    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
    @pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
    def test_a_truncated_one(self, rng, kind, part):
        content = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)), kind)
        with pytest.raises(PictureError, match="row 5: expected "):
            decode(content[: int(part * len(content))], name="row 5")

    def test_a_truncated_one_is_found_when_it_is_shrunk_too(self, rng):
        content = encoded(Image.fromarray(rng.integers(0, 256, (640, 640, 3), np.uint8)), "jpeg")
        with pytest.raises(PictureError, match="truncated"):
            decode(content[: len(content) // 2], size=16)

    def test_any_damage_is_a_picture_error(self, rng, picture):
        """Random bytes are changed; what is decoded or refused is never anything else."""
        for kind in ("png", "jpeg", "webp", "gif"):
            content = picture(kind=kind)
            for _ in range(150):
                damaged = bytearray(content)
                for place in rng.integers(0, len(content), 4):
                    damaged[place] = rng.integers(256)
                try:
                    pixels = decode(bytes(damaged), max_pixels=10_000)
                except PictureError:
                    continue
                assert pixels.ndim == 3
                assert pixels.dtype == np.uint8

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
    def test_a_bomb_is_refused_before_it_is_decoded(self, side):
        with pytest.raises(PictureError, match="row 1: expected at most 67,108,864 pixels, got "):
            decode(bomb(side, side), name="row 1")
        with pytest.raises(PictureError, match="expected at most 67,108,864 pixels"):
            probe(bomb(side, side))

    def test_the_limit_is_the_users(self, picture):
        assert decode(picture(size=(20, 12)), max_pixels=240).shape == (12, 20, 3)
        with pytest.raises(PictureError, match="expected at most 239 pixels, got 20 x 12"):
            decode(picture(size=(20, 12)), max_pixels=239)

    def test_floating_point_pixels(self):
        content = encoded(Image.fromarray(np.ones((2, 2), np.float32)), "tiff")
        with pytest.raises(PictureError, match="floating-point"):
            decode(content)

    def test_without_pillow(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL.Image", None)
        with pytest.raises(ImportError, match=r"pip install 'assay\[images\]'"):
            decode(b"")


class TestResize:
    def test_crop_takes_the_middle(self):
        image = np.zeros((4, 12, 3), np.uint8)
        image[:, 4:8] = 255
        assert resize(image, 4).min() == 255
        assert resize(image.transpose(1, 0, 2), 4).min() == 255

    def test_pad_keeps_all_and_fills_with_white(self):
        image = np.zeros((4, 8, 3), np.uint8)
        padded = resize(image, 8, fit="pad")
        assert padded[2:6].max() == 0
        assert padded[:2].min() == padded[6:].min() == 255

    def test_stretch_keeps_the_ends(self):
        image = np.zeros((2, 8, 3), np.uint8)
        image[:, 4:] = 200
        assert resize(image, 4, fit="stretch", resample="nearest")[0, :, 0].tolist() == [0, 0, 200, 200]

    def test_shrinking_averages(self):
        """Against the mean over blocks, to which every kind is near on a smooth image."""
        ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
        expected = ramp.reshape(16, 4, 16, 4).mean((1, 3))
        for kind in ("bilinear", "bicubic", "lanczos"):
            inner = resize(ramp, 16, resample=kind)[2:-2, 2:-2].astype(float)
            assert np.abs(inner - expected[2:-2, 2:-2]).max() <= 1

    def test_grey_stays_grey_and_a_fitting_size_is_left_alone(self, rng):
        grey = rng.integers(0, 256, (5, 7), np.uint8)
        assert resize(grey, 3).shape == (3, 3)
        square = rng.integers(0, 256, (5, 5, 3), np.uint8)
        assert resize(square, 5) is square

    @pytest.mark.parametrize(
        ("image", "options", "message"),
        [
            (np.zeros((2, 2, 3)), {}, "expected uint8"),
            (np.zeros((2, 2, 4), np.uint8), {}, r"got uint8 \[2, 2, 4\]"),
            (np.zeros((2, 2), np.uint8), {"size": 0}, "size of at least 1, got 0"),
            (np.zeros((2, 2), np.uint8), {"fit": "zoom"}, "crop, pad or stretch, got 'zoom'"),
            (np.zeros((2, 2), np.uint8), {"resample": "box"}, "got 'box'"),
        ],
    )
    def test_what_is_refused(self, image, options, message):
        with pytest.raises(ValueError, match=message):
            resize(image, **{"size": 4, **options})


def test_a_grid_has_every_image_in_its_place(rng):
    images = rng.integers(0, 200, (5, 3, 4, 3), np.uint8)
    sheet = grid(images, columns=2, gap=1)
    assert sheet.shape == (3 * 4 + 1, 2 * 5 + 1, 3)
    for index in range(5):
        top, left = 1 + index // 2 * 4, 1 + index % 2 * 5
        np.testing.assert_array_equal(sheet[top : top + 3, left : left + 4], images[index])
    assert sheet[-4:-1, 6:10].min() == 255
    assert grid(images[..., 0], columns=5).shape[2] == 3
