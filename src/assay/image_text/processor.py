"""Images to the tensors that a tower was trained with: size, crop, mean and deviation are part of a model.

Reference:
    Verified: transformers' PIL image processors of CLIP, SigLIP and SigLIP 2 on odd sizes, 1e-6.
"""

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from assay.core.files import write_json
from assay.data.pictures import pillow

Colour = tuple[float, float, float]
CLIP_MEAN: Colour = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Colour = (0.26862954, 0.26130258, 0.27577711)
HALF: Colour = (0.5, 0.5, 0.5)

_FILE, _NESTED = "preprocessor_config.json", "processor_config.json"
_NAFLEX = "Siglip2ImageProcessor"
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, as files have them.


@dataclass(frozen=True, kw_only=True)
class ImageProcessor:
    """Images as float32 [count, 3, size, size].

    Args:
        size: side in pixels.
        fit: "crop" scales the short side and takes the middle, as CLIP does; "stretch" changes proportions,
            as SigLIP does.
        resample: how pixels are interpolated.
        mean, std: what is taken from each colour in [0, 1], and what it is divided by.
    """

    size: int = 224
    fit: Literal["crop", "stretch"] = "crop"
    resample: str = "bicubic"
    mean: Colour = CLIP_MEAN
    std: Colour = CLIP_STD

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The prepared images.

        Args:
            images: uint8 [height, width, 3], of any sizes.
        """
        return np.stack([self._prepared(image) for image in images])

    def _prepared(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        if self.fit == "stretch":
            return normalised(resized(image, self.size, self.size, self.resample), self.mean, self.std)
        short = min(height, width)
        long = int(self.size * max(height, width) / short)
        scaled = (long, self.size) if height > width else (self.size, long)
        whole = resized(image, *scaled, self.resample)
        top, left = (scaled[0] - self.size) // 2, (scaled[1] - self.size) // 2
        middle = whole[top : top + self.size, left : left + self.size]
        return normalised(middle, self.mean, self.std)

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json in Hugging Face's layout."""
        crop = self.fit == "crop"
        square = {"height": self.size, "width": self.size}
        number = next(n for n, name in _RESAMPLE.items() if name == self.resample)
        value: dict[str, Any] = {
            "image_processor_type": "CLIPImageProcessor" if crop else "SiglipImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": self.size} if crop else square,
            "resample": number,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_convert_rgb": True,
        }
        if crop:
            value |= {"do_center_crop": True, "crop_size": square}
        write_json(folder / _FILE, value)

    @classmethod
    def load(cls, folder: Path) -> "ImageProcessor":
        """The processor that a folder describes; see `read_processor`.

        Raises:
            ValueError: there is none, or it does something else than resize, crop and normalise.
        """
        path, value = _described(folder)
        try:
            if _is_naflex(value):
                raise ValueError("expected one for images of one size, got one that keeps proportions")
            size = value.get("size", 224)
            if isinstance(size, dict) and "height" in size:
                if size["height"] != size["width"]:
                    raise ValueError(f"expected a square size, got {size}")
                side, fit = size["height"], "stretch"
            else:
                side = size["shortest_edge"] if isinstance(size, dict) else size
                fit = "crop"
            if fit == "crop" and not value.get("do_center_crop", True):
                raise ValueError("expected images to be cropped to squares, got do_center_crop false")
            crop = value.get("crop_size", side)
            crop = crop["height"] if isinstance(crop, dict) else crop
            if fit == "crop" and crop != side:
                raise ValueError(f"expected a crop of the short side's size, got {crop} of {side}")
            return cls(
                size=int(side),
                fit=fit,  # type: ignore[arg-type]
                resample=_RESAMPLE[value.get("resample", 3)],
                mean=tuple(value["image_mean"]),
                std=tuple(value["image_std"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: expected the description of an image processor, got {error!r}"
            ) from None


@dataclass(frozen=True, kw_only=True)
class NaFlexProcessor:
    """Images as rows of patches that keep their proportions.

    Args:
        patch_size: side of a patch in pixels.
        max_num_patches: of an image; fewer are filled up.
        mean, std: as of `ImageProcessor`.
    """

    patch_size: int = 16
    max_num_patches: int = 256
    mean: Colour = HALF
    std: Colour = HALF

    @property
    def size(self) -> int:
        """Side in pixels of the largest square that has a place for each of its patches."""
        return math.isqrt(self.max_num_patches) * self.patch_size

    def __call__(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patches, float32 [count, places, values]; where they are filling; grids, int64 [count, 2].

        Args:
            images: uint8 [height, width, 3], of any sizes.
        """
        side = self.patch_size
        patches = np.zeros((len(images), self.max_num_patches, 3 * side**2), np.float32)
        grids = np.array(
            [patch_grid(image.shape[0], image.shape[1], side, self.max_num_patches) for image in images],
            np.int64,
        ).reshape(-1, 2)
        for place, image, (rows, columns) in zip(patches, images, grids.tolist(), strict=True):
            scaled = resized(image, rows * side, columns * side, "bilinear")
            pixels = normalised(scaled, self.mean, self.std)
            cut = pixels.reshape(3, rows, side, columns, side).transpose(1, 3, 2, 4, 0)
            place[: rows * columns] = cut.reshape(rows * columns, -1)
        padding = np.arange(self.max_num_patches)[None] >= grids.prod(axis=1)[:, None]
        return patches, padding, grids

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json in Hugging Face's layout."""
        value: dict[str, Any] = {
            "image_processor_type": _NAFLEX,
            "do_resize": True,
            "resample": next(n for n, name in _RESAMPLE.items() if name == "bilinear"),
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_convert_rgb": True,
            "patch_size": self.patch_size,
            "max_num_patches": self.max_num_patches,
        }
        write_json(folder / _FILE, value)


def read_processor(folder: Path) -> ImageProcessor | NaFlexProcessor:
    """The processor that a folder's preprocessor_config.json describes, or its processor_config.json.

    The former is what the hub has, the latter is where transformers writes the same since its version 5.

    Raises:
        ValueError: there is none, or it does what neither of the two does.
    """
    path, value = _described(folder)
    try:
        if not _is_naflex(value):
            return ImageProcessor.load(folder)
        return NaFlexProcessor(
            patch_size=int(value["patch_size"]),
            max_num_patches=int(value["max_num_patches"]),
            mean=tuple(value["image_mean"]),
            std=tuple(value["image_std"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the description of an image processor, got {error!r}") from None


def _described(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Which file describes the processor, and how.

    Raises:
        ValueError: none does, or something is left out that both of ours do.
    """
    path = folder / _FILE
    if not path.is_file() and (folder / _NESTED).is_file():
        path = folder / _NESTED
    try:
        value = json.loads(path.read_text("utf-8"))
        value = value if path.name == _FILE else value["image_processor"]
        for step in ("do_resize", "do_rescale", "do_normalize"):
            if not value.get(step, True):
                raise ValueError(f"{step} false")
        if abs(value.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
            raise ValueError(f"rescale_factor {value['rescale_factor']}")
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected the description of an image processor, got {error!r}") from None
    return path, value


def _is_naflex(value: dict[str, Any]) -> bool:
    """Whether images keep their proportions; transformers has several classes that do the same."""
    return str(value.get("image_processor_type")).startswith(_NAFLEX)


@functools.lru_cache(maxsize=4096)
def patch_grid(height: int, width: int, patch_size: int, max_num_patches: int) -> tuple[int, int]:
    """Rows and columns of patches of the largest scaled image that has no more than so many.

    Sides are rounded up to whole patches; the scale is found by bisection, to the same 1e-5 as in the
    original, because another rounding would be another image.
    """

    def grid(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(side * scale / patch_size)) for side in (height, width))
        return rows, columns

    low, high, tolerance = 1e-6, 100.0, 1e-5
    while high - low >= tolerance:
        middle = (low + high) / 2
        rows, columns = grid(middle)
        low, high = (middle, high) if rows * columns <= max_num_patches else (low, middle)
    rows, columns = grid(low)
    if rows * columns > max_num_patches:
        # So long an image that even the smallest scale has too many patches in a row.
        raise ValueError(f"expected an image of less extreme proportions, got {height} x {width} pixels")
    return rows, columns


def resized(image: np.ndarray, height: int, width: int, resample: str) -> np.ndarray:
    """The image, uint8 [height, width, 3], with another height and width."""
    if image.shape[:2] == (height, width):
        return image
    Image = pillow().Image
    kind = getattr(Image.Resampling, resample.upper())
    return np.asarray(Image.fromarray(image).resize((width, height), kind))


def normalised(image: np.ndarray, mean: Colour, std: Colour) -> np.ndarray:
    """The image as float32 [3, height, width], from [0, 255] to [0, 1] and by mean and deviation."""
    scale = 1 / (255 * np.asarray(std, np.float64))
    shift = np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    return (image * scale - shift).astype(np.float32).transpose(2, 0, 1)
