"""Pictures: encoded images to RGB arrays and back, and their size.

Needs Pillow, of the extra `images`.
"""

import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.data.table import ContractError

MAX_PIXELS = 64 * 2**20
"""An image of more pixels is refused before it is decoded: 64 Mi pixels are 192 MiB of RGB."""

Fit = Literal["crop", "pad", "stretch"]
_ORIENTATION = 0x0112  # the EXIF tag
# What Pillow raises for damaged content, beside OSError.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
)


class PictureError(ContractError):
    """An image that cannot be decoded; the message says which, and why."""


def pillow() -> Any:
    """The package PIL with its parts that are used here.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise ImportError("images need Pillow: pip install 'assay[images]'") from None
    return PIL


def probe(source: bytes | Path, *, name: str = "", max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of an encoded image, from its header alone; see `decode`."""
    with _opened(source, name, max_pixels) as image:
        return image.size


def decode(
    source: bytes | Path, *, name: str = "", max_pixels: int = MAX_PIXELS, size: int | None = None
) -> np.ndarray:
    """The image as uint8 [height, width, 3]: RGB, transparency over white, turned as its EXIF says.

    Of an animation the first frame is taken, and of 16-bit values the upper byte.

    Args:
        source: an encoded image (JPEG, PNG, WebP, ... whatever Pillow reads), or the path of one.
        name: what messages call it; the path if not given.
        max_pixels: width times height that are not exceeded.
        size: if given, the result is `resize`d to a square of that side, in less time than afterwards.

    Raises:
        PictureError: no such file, no image, a damaged or truncated one, or one of too many pixels.
        ImportError: Pillow is not installed.
    """
    with _opened(source, name, max_pixels) as image:
        try:
            if size is not None:
                # A JPEG can be decoded at a fraction of its size; twice the goal keeps the quality.
                image.draft(None, (2 * size, 2 * size))
            image.load()
            pixels = _rgb(image)
        except _DAMAGE as error:
            raise _damaged(source, name, error) from None
    return pixels if size is None else resize(pixels, size)


def resize(image: np.ndarray, size: int, *, fit: Fit = "crop", resample: str = "bicubic") -> np.ndarray:
    """The image as a square: uint8 [size, size, 3], or [size, size] for a grey one.

    Args:
        image: uint8 [height, width, 3] or [height, width].
        size: the side in pixels, at least 1.
        fit: "crop" scales the short side to `size` and takes the middle; "pad" scales the long side and
            fills up with white; "stretch" changes the proportions.
        resample: "nearest", "bilinear", "bicubic" or "lanczos", each with antialiasing where it shrinks.

    Raises:
        ValueError: an argument is not as said above.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"expected uint8 [height, width(, 3)], got {image.dtype} {list(image.shape)}")
    if size < 1:
        raise ValueError(f"expected a size of at least 1, got {size}")
    if fit not in ("crop", "pad", "stretch"):
        raise ValueError(f"expected fit to be crop, pad or stretch, got {fit!r}")
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    Image = pillow().Image
    kind = getattr(Image.Resampling, resample.upper(), None)
    if kind is None or resample not in ("nearest", "bilinear", "bicubic", "lanczos"):
        raise ValueError(f"expected resample to be nearest, bilinear, bicubic or lanczos, got {resample!r}")
    picture = Image.fromarray(image)
    if fit == "crop":
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        return np.array(picture.resize((size, size), kind, box=(left, top, left + side, top + side)))
    if fit == "stretch":
        return np.array(picture.resize((size, size), kind))
    scale = size / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.full((size, size, *image.shape[2:]), 255, np.uint8)
    top, left = (size - inner[1]) // 2, (size - inner[0]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = np.array(picture.resize(inner, kind))
    return canvas


def encode_png(image: np.ndarray) -> bytes:
    """The image, uint8 [height, width(, 3 or 4)], as a PNG file, without loss."""
    if image.dtype != np.uint8:
        raise ValueError(f"expected uint8, got {image.dtype}")
    file = io.BytesIO()
    pillow().Image.fromarray(image).save(file, format="png", compress_level=6)
    return file.getvalue()


def _opened(source: bytes | Path, name: str, max_pixels: int) -> Any:
    Image = pillow().Image
    name = _name(source, name)
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except Image.DecompressionBombError:  # Pillow's own limit, further up.
        raise PictureError(f"{name}: expected at most {max_pixels:,} pixels, got far more") from None
    except FileNotFoundError:
        raise PictureError(f"{name}: no such file") from None
    except (IsADirectoryError, PermissionError) as error:
        raise PictureError(f"{name}: cannot be read: {os.strerror(error.errno or 0)}") from None
    except _DAMAGE as error:
        raise _damaged(source, name, error) from None
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise PictureError(f"{name}: expected at most {max_pixels:,} pixels, got {width:,} x {height:,}")
    return image


def _name(source: bytes | Path, name: str) -> str:
    return name or (f"{len(source):,} bytes" if isinstance(source, bytes) else str(source))


def _damaged(source: bytes | Path, name: str, error: Exception) -> PictureError:
    name = _name(source, name)
    empty = not source if isinstance(source, bytes) else os.path.getsize(source) == 0
    if empty:
        return PictureError(f"{name}: expected an image, got an empty file")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "cannot identify image file" in reason:
        return PictureError(f"{name}: expected an image, got something else or a damaged one")
    return PictureError(f"{name}: expected a whole image, got a damaged one ({reason})")


def _rgb(image: Any) -> np.ndarray:
    PIL = pillow()
    try:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            image = PIL.ImageOps.exif_transpose(image)
    except _DAMAGE:  # An orientation that cannot be read is none; the picture is whole.
        pass
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64) >> 8
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown")
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = PIL.Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = PIL.Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def grid(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """The images side by side on white, uint8 [height, width, 3]; for reports and contact sheets.

    Args:
        images: uint8 [n, h, w, 3] or [n, h, w], in reading order.
        columns: how many in a row; about as many as rows if not given.
        gap: pixels between them.
    """
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=3)
    count, height, width = images.shape[:3]
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet
