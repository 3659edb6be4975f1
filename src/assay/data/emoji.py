"""The emoji of nine vendors as image-text pairs, with captions in English and Chinese.

The pictures are fetched from npm, drawn once at 64 pixels with `resvg-py`, and kept as Parquet files in the
cache. They are not part of this library; `assay.data.emoji_packs.VENDORS` says whose they are.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.run import Scale
from assay.core.waiting import Waiting
from assay.data.emoji_packs import EMOJIBASE, LANGUAGES, VENDORS, Catalog, Emoji, Vendor
from assay.data.fetch import cache_folder, writing
from assay.data.pairs import Pairs, image_type
from assay.data.pictures import pillow

if TYPE_CHECKING:
    import pyarrow as pa

SIDE = 64
"""Pixels on a side of the pictures as they are kept."""

EASY, HARD = "twemoji", "openmoji"
"""The vendors that are never trained on: one drawn flat as others are, and one outlined as no other is."""

VALIDATION = "emojione"
"""The vendor, one of those trained on, by which a method's settings may be chosen."""

_REVISION = 2  # To be raised when what is packed changes, since it is cached.
_WOMAN, _MAN, _PERSON = "1f469-200d-", "1f468-200d-", "1f9d1-200d-"  # "X with a rocket" is one who flies it.
_RANDOM = 75  # concepts, beside the compositional ones, that no training sees
_BLOCK = 256  # pictures drawn in one go
_SMOKE_VENDORS = ("fluentflat", VALIDATION, EASY, HARD)
_SMOKE_ROLES, _SMOKE_RANDOM, _SMOKE_OTHERS = 8, 8, 48  # concepts at smoke scale


def emoji_pairs(scale: Scale = "default") -> Pairs:
    """The emoji as pairs; those of one group show one emoji, drawn by several vendors.

    Their columns are `vendor`, `code`, `concept` (the code without skin tone), `emoji_group`,
    `emoji_subgroup`, `tone`, `held_out` (what no training may see: "compositional" or "random"; else "no"),
    `tags_en` and `tags_zh`.

    Args:
        scale: "smoke" is some 70 emoji of four vendors; "default" is everything without skin tones, some
            13,000 images; "full" is everything with skin tones, some 24,000.

    Raises:
        FetchError: a package cannot be fetched, or the cache cannot be written.
        ImportError: Pillow or resvg-py is not installed, and something is to be drawn.
    """
    import pyarrow as pa

    vendors = _SMOKE_VENDORS if scale == "smoke" else tuple(VENDORS)
    parts = {"smoke": ("smoke",), "default": ("base",), "full": ("base", "tones")}[scale]
    packing = _Packing()
    with Waiting("drawing emoji") as waiting:
        files = [(VENDORS[key], part) for key in vendors for part in parts]
        tables = []
        for done, (vendor, part) in enumerate(files):
            waiting.progress(done / len(files), vendor.key)
            tables.append(_packed(vendor, part, packing))
    licences = "; ".join(f"{VENDORS[key].attribution} ({VENDORS[key].licence})" for key in vendors)
    texts = "texts: emojibase-data (MIT), from Unicode CLDR"
    return Pairs(pa.concat_tables(tables), "emoji", (f"pictures: {licences}", texts))


def emoji_split(pairs: Pairs) -> dict[str, np.ndarray]:
    """The positions of the parts of `emoji_pairs`, by name, each in ascending order.

    - `train`: seven vendors without the unseen concepts; `validation`, a part of it, is one of these vendors,
      and `train_without_validation` is `train` without that vendor's family.
    - `unseen_vendor_easy`, `unseen_vendor_hard`: two vendors of other designs, without the unseen concepts.
    - `unseen_concepts_compositional`: 27 women such as "woman pilot", whose man and person stay, and
      `unseen_concepts_random`: 75 others; from all vendors, with all their skin tones.
    """
    vendor, held_out = pairs.column("vendor"), pairs.column("held_out")
    seen = held_out == "no"
    train = seen & ~np.isin(vendor.astype(str), (EASY, HARD))
    family = [v.key for v in VENDORS.values() if v.family == VENDORS[VALIDATION].family]
    parts = {
        "train": train,
        "validation": train & (vendor == VALIDATION),
        "train_without_validation": train & ~np.isin(vendor.astype(str), family),
        "unseen_vendor_easy": seen & (vendor == EASY),
        "unseen_vendor_hard": seen & (vendor == HARD),
        "unseen_concepts_compositional": held_out == "compositional",
        "unseen_concepts_random": held_out == "random",
    }
    return {name: np.flatnonzero(mask) for name, mask in parts.items()}


def unseen_concepts(concepts: Iterable[str]) -> tuple[set[str], set[str]]:
    """The compositional and the random concepts, among all `concepts`, that no training may see.

    The random ones are those whose SHA-256 is smallest.
    """
    known = set(concepts)
    roles = {code for code in known if code.startswith(_WOMAN) and _twins(code) <= known}
    others = known - roles - {twin for role in roles for twin in _twins(role)}
    return roles, set(sorted(others, key=_draw)[:_RANDOM])


def _twins(woman: str) -> set[str]:
    rest = woman.removeprefix(_WOMAN)
    return {_MAN + rest, _PERSON + rest}


def _draw(concept: str) -> str:
    return hashlib.sha256(concept.encode()).hexdigest()


class _Packing:
    """What drawing needs, read when something is drawn for the first time: packed files need none of it."""

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog()

    @cached_property
    def held_out(self) -> dict[str, str]:
        """ "compositional" or "random" for the concepts that no training may see."""
        roles, chance = unseen_concepts(emoji.concept for emoji in self.catalog.emoji.values())
        return dict.fromkeys(roles, "compositional") | dict.fromkeys(chance, "random")

    @cached_property
    def few(self) -> set[str]:
        """The concepts at smoke scale: some women with their twins, some of the random ones, some others."""
        concepts = {emoji.concept for emoji in self.catalog.emoji.values()}
        women, chance = (
            sorted((c for c, kind in self.held_out.items() if kind == one), key=_draw)
            for one in ("compositional", "random")
        )
        twins = {one for woman in women for one in _twins(woman)}
        others = sorted(concepts - set(self.held_out) - twins, key=_draw)
        trios = {one for woman in women[:_SMOKE_ROLES] for one in (woman, *_twins(woman))}
        return trios | {*chance[:_SMOKE_RANDOM], *others[:_SMOKE_OTHERS]}

    def belongs(self, emoji: Emoji, part: str) -> bool:
        if part == "smoke":
            return emoji.tone == "none" and emoji.concept in self.few
        return (emoji.tone == "none") == (part == "base")


def _packed(vendor: Vendor, part: str, packing: _Packing) -> "pa.Table":
    """A vendor's pictures with all that is known of them, from the cache or drawn now."""
    import pyarrow as pa
    from pyarrow import parquet

    folder = cache_folder("emoji")
    pins = hashlib.sha256(f"{vendor.package.sha256} {EMOJIBASE.sha256} {_REVISION} {SIDE}".encode())
    path = folder / f"{vendor.key}-{part}-{pins.hexdigest()[:12]}.parquet"
    with (
        contextlib.suppress(OSError, pa.ArrowException),  # Not there yet, or damaged.
        parquet.ParquetFile(path, page_checksum_verification=True) as file,
    ):
        return file.read()
    table = pa.concat_tables(_drawn(vendor, part, packing))
    scratch = folder / f".{path.name}-{os.getpid()}"
    with writing(folder):
        try:
            parquet.write_table(table, scratch, compression="none", write_page_checksum=True)
            os.replace(scratch, path)  # Others see the whole file or none; two at once write the same.
        finally:
            scratch.unlink(missing_ok=True)
    return table


def _drawn(vendor: Vendor, part: str, packing: _Packing) -> "Iterator[pa.Table]":
    import pyarrow as pa

    catalog = packing.catalog.emoji
    numbers = {code: number for number, code in enumerate(catalog)}
    sources, _ = packing.catalog.match(vendor)
    chosen = [emoji for code, emoji in catalog.items() if code in sources and packing.belongs(emoji, part)]
    for start in range(0, max(len(chosen), 1), _BLOCK):
        emoji = chosen[start : start + _BLOCK]
        content: dict[str, Any] = {
            "image": pa.array([{"bytes": _draw_png(sources[e.code])} for e in emoji], image_type()),
            "group": pa.array([numbers[e.code] for e in emoji], pa.int64()),
        }
        for kind in ("texts", "tags"):
            for one in LANGUAGES:
                words = pa.array([getattr(e, kind)[one] for e in emoji], pa.list_(pa.string()))
                content[f"{kind}_{one}"] = words
        columns = {
            "vendor": [vendor.key] * len(emoji),
            "code": [e.code for e in emoji],
            "concept": [e.concept for e in emoji],
            "emoji_group": [e.group for e in emoji],
            "emoji_subgroup": [e.subgroup for e in emoji],
            "tone": [e.tone for e in emoji],
            "held_out": [packing.held_out.get(e.concept, "no") for e in emoji],
        }
        yield pa.table(content | {name: pa.array(some, pa.string()) for name, some in columns.items()})


def _draw_png(source: str | bytes) -> bytes:
    """An SVG drawn, or an image shrunk, to `SIDE` pixels, as PNG with transparency."""
    if isinstance(source, bytes):
        Image = pillow().Image
        with Image.open(io.BytesIO(source)) as image:
            small = image.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        file = io.BytesIO()
        small.save(file, format="png")
        return file.getvalue()
    try:
        import resvg_py
    except ImportError:
        raise ImportError("drawing emoji needs resvg-py: pip install 'assay[images]'") from None
    return bytes(resvg_py.svg_to_bytes(svg_string=source, width=SIDE, height=SIDE, skip_system_fonts=True))
