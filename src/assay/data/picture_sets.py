"""What default sets of pictures there are, and whose they are; nothing is fetched to say so."""

from dataclasses import dataclass

from assay.data.emoji_packs import EMOJIBASE, VENDORS
from assay.data.labelled_sets import FASHION_MNIST


@dataclass(frozen=True)
class PictureSet:
    """Pictures that a registry carries.

    Args:
        name: what a task is asked for; of a part, the set's name and its own.
        about: what it is, in a line.
        images: how many there are.
        target: what belongs to each of them.
        licence: of the pictures.
        attribution: whom to name.
        source: registry, package and version.
        parts: where they come from several packages, each of them.
    """

    name: str
    about: str
    images: int
    target: str
    licence: str
    attribution: str
    source: str
    parts: tuple["PictureSet", ...] = ()


_EMOJI_PARTS = tuple(
    PictureSet(
        name=f"emoji/{vendor.key}",
        about=vendor.attribution,
        images=vendor.images[1],
        target="",
        licence=vendor.licence,
        attribution=vendor.attribution,
        source=f"npm: {vendor.package.name} {vendor.package.version}",
    )
    for vendor in VENDORS.values()
)

_ENTRIES = (
    PictureSet(
        name="emoji",
        about="emoji as nine vendors draw them, with captions in English and Chinese",
        images=sum(part.images for part in _EMOJI_PARTS),
        target="texts; one of 9 groups",
        licence="each vendor's own, below; texts MIT",
        attribution="the vendors below; texts: emojibase, by M. Johnson, from Unicode CLDR",
        source=f"npm: {EMOJIBASE.name} {EMOJIBASE.version}, and the packages below",
        parts=_EMOJI_PARTS,
    ),
    PictureSet(
        name="fashion-mnist",
        about="grey pictures of clothing, 28 x 28",
        images=70_000,
        target="one of 10 classes",
        licence="MIT",
        attribution="H. Xiao, K. Rasul, R. Vollgraf (Zalando SE). arXiv:1708.07747",
        source=f"Debian: {FASHION_MNIST[0]} {FASHION_MNIST[1]}",
    ),
)

PICTURE_SETS: dict[str, PictureSet] = {entry.name: entry for entry in _ENTRIES}
"""The default sets of pictures by name."""
