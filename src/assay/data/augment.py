"""Augmentations of uint8 images, whole batches at once, each image with random numbers of its own.

An image's draws depend on (seed, epoch, item) and on nothing else: not on the batch it is in, nor its place
there. So a resumed run, or one with other workers, sees the same images.

The functions without `random_` in their name are the mathematics: they take the drawn numbers as arguments.
All take images [n, height, width, 3], or [n, height, width] if they are grey, and leave them unchanged.
"""

from collections.abc import Callable

import numpy as np

_GREYS = np.array([0.299, 0.587, 0.114], np.float32)  # The weights of red, green, blue; ITU-R BT.601.
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio, the increment of SplitMix64.


def uniforms(seed: int, epoch: int, items: np.ndarray, count: int, *, stream: int = 0) -> np.ndarray:
    """Random numbers in [0, 1) of the shape [n, count], a row for each item.

    Args:
        seed, epoch: whole numbers, at least 0.
        items: int [n], numbers of the items; a row depends on its item, not on its place.
        count: numbers for each item.
        stream: another number gives other, independent rows.

    Source: SplitMix64, with its finaliser applied along the chain of arguments. G. L. Steele, D. Lea,
    C. H. Flood: Fast splittable pseudorandom number generators. OOPSLA 2014, fig. 16 (variant 13).
    """
    state = np.zeros(1, np.uint64)
    for part in (seed, epoch, stream):
        state = _mixed(state + np.uint64((part + 1) * _GOLDEN % 2**64))
    rows = _mixed(state + (np.asarray(items, np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))
    columns = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    return (_mixed(rows[:, None] + columns) >> np.uint64(11)) * 2.0**-53


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def flip(images: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """The images, those where `mirrored` (bool [n]) is true with left and right exchanged."""
    result = images.copy()
    result[mirrored] = images[mirrored][:, :, ::-1]
    return result


def shift(images: np.ndarray, down: np.ndarray, right: np.ndarray, *, fill: int = 255) -> np.ndarray:
    """The images moved by whole pixels, int [n] each; what comes in is `fill`."""
    _, height, width = images.shape[:3]
    rows = np.arange(height) - down[:, None]
    columns = np.arange(width) - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    number = np.arange(len(images))[:, None, None]
    moved = images[number, rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None]]
    moved[~inside] = fill
    return moved


def crop(images: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Parts of the images, scaled to [n, size, size(, 3)] by bilinear interpolation.

    Pixel centres are at half-integers and values beyond the edge are those of the edge, as in
    `torch.nn.functional.interpolate(align_corners=False)`. There is no antialiasing: a box should be at most
    about twice `size`.

    Args:
        images: uint8.
        boxes: float [n, 4] in pixels: top, left, height, width.
        size: the side in pixels.
    """
    top, left, height, width = np.asarray(boxes, np.float64).T
    upper, lower, down = _neighbours(top, height, size, images.shape[1])
    near, far, right = _neighbours(left, width, size, images.shape[2])
    number = np.arange(len(images))[:, None]
    tail = (1,) * (images.ndim - 3)
    down = down.reshape(*down.shape, 1, *tail)
    right = right.reshape(len(right), 1, size, *tail)
    rows = images[number, upper].astype(np.float32)
    rows += down * (images[number, lower] - rows)
    index = np.arange(len(images))[:, None, None], np.arange(size)[None, :, None]
    left_of = rows[(*index, near[:, None])]
    return _rounded(left_of + right * (rows[(*index, far[:, None])] - left_of))


def _neighbours(
    begin: np.ndarray, length: np.ndarray, size: int, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `size` places along an axis the pixel before it, the one after it, and how far between."""
    places = begin[:, None] + (np.arange(size) + 0.5) * (length / size)[:, None] - 0.5
    places = places.clip(0, limit - 1)
    before = places.astype(np.int64)
    return before, np.minimum(before + 1, limit - 1), (places - before).astype(np.float32)


def jitter(
    images: np.ndarray, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray
) -> np.ndarray:
    """The images with changed colours, each factor float [n]; 1 changes nothing.

    Brightness multiplies; contrast moves values from the image's mean grey; saturation moves them from the
    pixel's grey; in this order, each result held within 0 and 255, as torchvision's `ColorJitter` defines
    them. Saturation does nothing to grey images.
    """
    tail = (-1,) + (1,) * (images.ndim - 1)
    values = images * brightness.astype(np.float32).reshape(tail)
    values.clip(0, 255, out=values)
    _move_from(_grey(values).mean((1, 2)).reshape(tail), contrast.astype(np.float32).reshape(tail), values)
    values.clip(0, 255, out=values)
    if images.ndim == 4:
        _move_from(_grey(values)[..., None], saturation.astype(np.float32).reshape(tail), values)
    return _rounded(values)


def _move_from(point: np.ndarray, factor: np.ndarray, values: np.ndarray) -> None:
    """Multiplies the distance of `values` from `point`, in place."""
    values *= factor
    values += point * (1 - factor)


def _grey(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 3 else values @ _GREYS


def _rounded(values: np.ndarray) -> np.ndarray:
    np.rint(values, out=values)
    return values.clip(0, 255, out=values).astype(np.uint8)


Augmentation = Callable[[np.ndarray, int, int, np.ndarray], np.ndarray]
"""A function of uint8 images, seed, epoch and the items' numbers (int [n]) that gives back uint8 images."""


def random_resized_crop(
    images: np.ndarray,
    seed: int,
    epoch: int,
    items: np.ndarray,
    *,
    size: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> np.ndarray:
    """A random part of each image, scaled to [n, size, size(, 3)].

    Args:
        images, seed, epoch, items: see `Augmentation`.
        size: the side in pixels.
        scale: the part's share of the area, drawn uniformly from this range, within (0, 1].
        ratio: width over height of the part, its logarithm drawn uniformly; held so that the part fits.

    Source: C. Szegedy et al.: Going deeper with convolutions. CVPR 2015, section 6. Departs: a part that does
    not fit is narrowed, where torchvision draws up to ten times.
    """
    draws = uniforms(seed, epoch, items, 4, stream=1)
    height, width = images.shape[1:3]
    area = (scale[0] + draws[:, 0] * (scale[1] - scale[0])) * height * width
    aspect = np.exp(np.log(ratio[0]) + draws[:, 1] * (np.log(ratio[1]) - np.log(ratio[0])))
    tall = np.minimum(np.sqrt(area / aspect), height)
    wide = np.minimum(np.sqrt(area * aspect), width)
    boxes = np.stack([draws[:, 2] * (height - tall), draws[:, 3] * (width - wide), tall, wide], axis=1)
    return crop(images, boxes, size)


def random_flip(images: np.ndarray, seed: int, epoch: int, items: np.ndarray) -> np.ndarray:
    """Each image as it is or mirrored, with equal chances; see `Augmentation`."""
    return flip(images, uniforms(seed, epoch, items, 1, stream=2)[:, 0] < 0.5)


def random_shift(
    images: np.ndarray, seed: int, epoch: int, items: np.ndarray, *, pixels: int, fill: int = 255
) -> np.ndarray:
    """Each image moved by up to `pixels`, up or down and to a side; see `Augmentation`."""
    draws = uniforms(seed, epoch, items, 2, stream=3)
    down, right = (np.floor(draws * (2 * pixels + 1)).astype(np.int64) - pixels).T
    return shift(images, down, right, fill=fill)


def random_jitter(
    images: np.ndarray, seed: int, epoch: int, items: np.ndarray, *, strength: float = 0.4
) -> np.ndarray:
    """Each image with brightness, contrast, saturation times 1 - strength to 1 + strength; see `jitter`."""
    factors = 1 + strength * (2 * uniforms(seed, epoch, items, 3, stream=4) - 1)
    return jitter(images, *factors.T)


def emoji_recipe(
    images: np.ndarray, seed: int, epoch: int, items: np.ndarray, *, size: int | None = None
) -> np.ndarray:
    """Small crops, shifts and changes of colour for drawn symbols; see `Augmentation`.

    Never mirrored, since arrows and letters would mean something else.

    Args:
        images, seed, epoch, items: see `Augmentation`.
        size: the side of the result; that of the images if not given.
    """
    side = images.shape[1] if size is None else size
    parts = random_resized_crop(images, seed, epoch, items, size=side, scale=(0.7, 1.0), ratio=(0.85, 1.18))
    moved = random_shift(parts, seed, epoch, items, pixels=max(1, side // 16))
    return random_jitter(moved, seed, epoch, items, strength=0.3)
