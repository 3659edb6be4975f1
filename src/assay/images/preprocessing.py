"""From the bytes of a picture to the numbers that a network takes; saved with the model.

What is on disk is Hugging Face's preprocessor_config.json, and beside its keys those of `Preprocessing`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from assay.core.files import write_json
from assay.data.labelled import LabelledImages, image_files
from assay.data.pictures import Fit, decode, resize
from assay.data.table import ContractError

_FILE = "preprocessor_config.json"
_GREYS = np.array((0.299, 0.587, 0.114))  # Of red, green and blue, ITU-R BT.601.
_BICUBIC = 3  # Pillow's number, which the format has.


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pictures become a network's input.

    Args:
        height, width: of the pictures that the network was trained on, in pixels.
        grey: whether these have one channel.
        size: side to which they are then scaled by bicubic interpolation; None to leave them.
        channels: of the network's input; grey pictures are repeated.
        mean, std: subtracted from values in [0, 1], and divided by, channel by channel.
        fit: how a picture of another size gets theirs; see `assay.data.pictures.resize`.
    """

    height: int
    width: int
    grey: bool
    size: int | None = None
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "crop"

    @classmethod
    def of(cls, data: LabelledImages, *, size: int | None = None, statistics: Any = None) -> "Preprocessing":
        """That of a network which is trained on `data`.

        Args:
            data: the training part.
            size: of the network's input, or None for that of the images.
            statistics: mean and std of the pictures that an RGB network was trained on before; None for
                those of `data`, in the channels that it has.
        """
        height, width = data.images.shape[1:3]
        grey = data.images.ndim == 3
        if statistics is None:
            statistics = _statistics(data.images)
        mean, std = statistics
        return cls(
            height=height,
            width=width,
            grey=grey,
            size=None if (size, size) == (height, width) else size,
            channels=len(mean),
            mean=tuple(mean),
            std=tuple(std),
        )

    def __call__(
        self, images: UInt8[Tensor, "batch height width *channels"]
    ) -> Float[Tensor, "batch channels out_height out_width"]:
        """The network's input."""
        x = images[:, None] if self.grey else images.permute(0, 3, 1, 2)
        x = x.float() / 255
        if self.size is not None:
            x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 1)
        if x.shape[1] != self.channels:
            x = x.expand(-1, self.channels, -1, -1)
        mean, std = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (x - mean) / std

    def pictures(self, source: Any) -> np.ndarray:
        """The pictures of a file, a folder, several paths, an array or a data set, as uint8 of one size.

        Args:
            source: the path of an image or of a folder of images (in the order of their names), paths,
                uint8 [n, height, width(, 3)], or labelled images.

        Raises:
            ContractError: there is no picture, or one cannot be read; the message names it.
        """
        if isinstance(source, LabelledImages):
            source = source.images
        if isinstance(source, np.ndarray):
            found: Iterable[np.ndarray] = source
            right = (self.height, self.width) if self.grey else (self.height, self.width, 3)
            if source.dtype != np.uint8 or source.ndim not in (3, 4):
                raise ContractError(
                    f"expected images as uint8 [n, h, w(, 3)], got {source.dtype} {source.shape}"
                )
            if source.shape[1:] == right:
                return source
        else:
            found = [decode(path) for path in picture_files(source)]
        return np.stack([self._fitted(picture) for picture in found])

    def _fitted(self, picture: np.ndarray) -> np.ndarray:
        if picture.shape[:2] != (self.height, self.width):
            if self.height != self.width:
                raise ContractError(
                    f"expected pictures of {self.height} x {self.width} pixels, got {picture.shape[0]} x "
                    f"{picture.shape[1]}"
                )
            picture = resize(picture, self.height, fit=self.fit)
        if self.grey and picture.ndim == 3:
            return np.rint(picture @ _GREYS).astype(np.uint8)
        if not self.grey and picture.ndim == 2:
            return np.repeat(picture[:, :, None], 3, axis=2)
        return picture

    def save(self, folder: Path) -> None:
        """Writes preprocessor_config.json."""
        height, width = (self.size or self.height), (self.size or self.width)
        write_json(
            folder / _FILE,
            {
                "image_processor_type": "ViTImageProcessor",
                "do_convert_rgb": self.channels == 3,
                "do_resize": True,
                "size": {"height": height, "width": width},
                "resample": _BICUBIC,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": list(self.mean),
                "image_std": list(self.std),
                "assay": {"height": self.height, "width": self.width, "grey": self.grey, "fit": self.fit},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "Preprocessing":
        """What `save` wrote.

        Raises:
            ValueError: there is no such file.
        """
        try:
            written = json.loads((folder / _FILE).read_text("utf-8"))
            own, size = written["assay"], written["size"]["height"]
            mean, std = tuple(written["image_mean"]), tuple(written["image_std"])
            same = (size, written["size"]["width"]) == (own["height"], own["width"])
            return cls(**own, size=None if same else size, channels=len(mean), mean=mean, std=std)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder / _FILE}: expected a preprocessing, got {error!r}") from None


def _statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel of values in [0, 1], from exact counts of bytes."""
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in [images] if images.ndim == 3 else np.moveaxis(images, 3, 0):
        share = np.bincount(channel.ravel(), minlength=256) / channel.size
        mean = float(share @ values)
        means.append(mean)
        stds.append(
            max(float(share @ (values - mean) ** 2) ** 0.5, 1 / 255)
        )  # Constant pictures stay finite.
    return tuple(means), tuple(stds)


def picture_files(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The image files of a path, of a folder in the order of their names, or of several paths.

    Raises:
        ContractError: there is none.
    """
    if not isinstance(source, (str, Path)):
        return [Path(path) for path in source]
    path = Path(source)
    if not path.exists():
        raise ContractError(f"{path}: no such file or folder")
    files = image_files(path) if path.is_dir() else [path]
    if not files:
        raise ContractError(f"{path}: expected images in this folder, found none")
    return files
