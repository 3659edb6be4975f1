"""Nine vendors' emoji as npm packages: where they come from, whose they are, and which picture shows what.

A picture belongs to an emoji of Unicode by its code points where the pack gives them, and otherwise by its
name, compared with the emoji's English label, its short codes, and names that packs used before. Letters and
digits alone count in that comparison.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.data.archive import read_members
from assay.data.fetch import fetch_npm

_SHORT_CODES = ("cldr", "emojibase", "github", "iamcal", "joypixels")
_TONES = {1: "light", 2: "medium-light", 3: "medium", 4: "medium-dark", 5: "dark"}
_COMPONENTS = "component"  # A group of Unicode that holds skin tones and hair, no emoji of their own.
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class NpmPackage:
    """A package on npm: its name, exact version and the SHA-256 of its archive."""

    name: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """The archive's name."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"

    def fetch(self) -> Path:
        """The verified archive.

        Raises:
            FetchError: it cannot be fetched.
        """
        return fetch_npm(self.name, self.version, self.filename, self.sha256)


@dataclass(frozen=True)
class Emoji:
    """An emoji of Unicode, as the package emojibase-data describes it.

    Args:
        code: its code points in lower-case hexadecimal, without the variation selector FE0F.
        concept: the code without skin tones.
        group: one of nine, such as "animals-nature".
        subgroup: one of 98, such as "animal-bird".
        tone: the skin tone, two joined by "+", or "none".
        texts: by language its label, and in English its short codes as words.
        tags: by language, words that describe it without naming it.
    """

    code: str
    concept: str
    group: str
    subgroup: str
    tone: str
    texts: dict[str, tuple[str, ...]]
    tags: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Vendor:
    """Who drew a set of emoji.

    Args:
        key: what it is called here.
        family: vendors of one family drew in one design; they are not split between train and test.
        package: where it is.
        licence: of the pictures.
        attribution: whom to name.
        images: how many emoji it draws, without and with skin tones.
        wrong: names in the pack that match an emoji which the picture does not show (looked at one by one).
    """

    key: str
    family: str
    package: NpmPackage
    licence: str
    attribution: str
    images: tuple[int, int]
    wrong: frozenset[str] = frozenset()


EMOJIBASE = NpmPackage(
    "emojibase-data", "17.0.0", "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a"
)

_VENDORS = (
    Vendor(
        "noto",
        "noto",
        NpmPackage(
            "@iconify-json/noto",
            "1.2.9",
            "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        ),
        "Apache-2.0",
        "Google: Noto Emoji",
        (1_652, 3_682),
    ),
    Vendor(
        "noto1",
        "noto",
        NpmPackage(
            "@iconify-json/noto-v1",
            "1.2.5",
            "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
        ),
        "Apache-2.0",
        "Google: Noto Emoji (version 1)",
        (1_232, 2_117),
        frozenset({"asterisk", "keycap"}),
    ),
    Vendor(
        "fluentflat",
        "fluent",
        NpmPackage(
            "@iconify-json/fluent-emoji-flat",
            "1.2.6",
            "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        ),
        "MIT",
        "Microsoft: Fluent Emoji (flat)",
        (1_594, 3_139),
    ),
    Vendor(
        "fluent3d",
        "fluent",
        NpmPackage(
            "@lobehub/fluent-emoji-3d",
            "1.1.0",
            "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        ),
        "MIT",
        "Microsoft: Fluent Emoji (3D); package by LobeHub",
        (1_852, 3_372),
    ),
    Vendor(
        "emojione",
        "emojione",
        NpmPackage(
            "@iconify-json/emojione",
            "1.2.3",
            "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        ),
        "CC BY 4.0",
        "Emoji One / EmojiTwo",
        (1_370, 1_790),
        frozenset({"asterisk"}),
    ),
    Vendor(
        "emojione1",
        "emojione",
        NpmPackage(
            "@iconify-json/emojione-v1",
            "1.2.3",
            "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3",
        ),
        "CC BY-SA 4.0",
        "Emoji One (version 1)",
        (1_169, 1_169),
    ),
    Vendor(
        "fxemoji",
        "fxemoji",
        NpmPackage(
            "@iconify-json/fxemoji",
            "1.2.2",
            "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
        ),
        "Apache-2.0",
        "Mozilla: Firefox OS Emoji",
        (584, 584),
        frozenset(
            [
                "bow",
                "couple",
                "down",
                "kiss",
                "pout",
                "pouting",
                "sunglasses",
                "up",
                "wave",
                "whitemediumstar",
            ]
        ),
    ),
    Vendor(
        "twemoji",
        "twemoji",
        NpmPackage(
            "@iconify-json/twemoji",
            "1.2.5",
            "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        ),
        "CC BY 4.0",
        "Twitter and contributors: Twemoji",
        (1_914, 3_944),
    ),
    Vendor(
        "openmoji",
        "openmoji",
        NpmPackage(
            "@iconify-json/openmoji",
            "1.2.29",
            "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
        ),
        "CC BY-SA 4.0",
        "OpenMoji, HfG Schwäbisch Gmünd",
        (1_914, 3_944),
    ),
)

VENDORS: dict[str, Vendor] = {vendor.key: vendor for vendor in _VENDORS}
"""The vendors by key."""


class Catalog:
    """All emoji, and the names under which they go.

    Raises:
        FetchError: the package emojibase-data cannot be fetched.
    """

    def __init__(self) -> None:
        wanted = {f"package/{language}/data.json" for language in LANGUAGES} | {"package/meta/groups.json"}
        wanted |= {f"package/en/shortcodes/{name}.json" for name in _SHORT_CODES}
        self._files = read_members(EMOJIBASE.fetch(), wanted.__contains__)
        self.emoji: dict[str, Emoji] = {emoji.code: emoji for emoji in self._read()}

    def _json(self, name: str) -> Any:
        return json.loads(self._files[f"package/{name}"])

    @cached_property
    def _short_codes(self) -> dict[str, list[str]]:
        """The short codes of every code, in every spelling."""
        found: dict[str, list[str]] = {}
        for name in _SHORT_CODES:
            for code, short in self._json(f"en/shortcodes/{name}.json").items():
                found.setdefault(normal(code), []).extend([short] if isinstance(short, str) else short)
        return found

    def _read(self) -> Iterator[Emoji]:
        groups = self._json("meta/groups.json")
        chinese = {entry["hexcode"]: entry for entry in self._json("zh/data.json")}
        for entry in self._json("en/data.json"):
            group = groups["groups"].get(str(entry.get("group")))
            if group in (None, _COMPONENTS):
                continue
            subgroup = groups["subgroups"][str(entry["subgroup"])]
            other = chinese[entry["hexcode"]]
            tags = {"en": tuple(entry.get("tags", ())), "zh": tuple(other.get("tags", ()))}
            concept = normal(entry["hexcode"])
            chinese_skins = {skin["hexcode"]: skin for skin in other.get("skins", ())}
            pairs = [(entry, other)] + [(s, chinese_skins[s["hexcode"]]) for s in entry.get("skins", ())]
            for one, its_chinese in pairs:
                code = normal(one["hexcode"])
                names: dict[str, str] = {}
                for name in (one["label"], *self._words(code)):
                    names.setdefault(key(name), name)
                texts = {"en": tuple(names.values()), "zh": (its_chinese["label"],)}
                yield Emoji(code, concept, group, subgroup, _tone(one.get("tone")), texts, tags)

    def _words(self, code: str) -> list[str]:
        return [short.replace("_", " ") for short in self._short_codes.get(code, ())]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The code by the `key` of a name; where two emoji share one, labels come before short codes."""
        names: dict[str, str] = {}
        for code, emoji in self.emoji.items():
            names.setdefault(key(emoji.texts["en"][0]), code)
        for code, shorts in self._short_codes.items():
            if code in self.emoji:
                for short in shorts:
                    names.setdefault(key(short), code)
        return names

    def match(self, vendor: Vendor) -> tuple[dict[str, Any], list[str]]:
        """What draws each emoji that the vendor has, and what the pack holds besides.

        The first is by code: an SVG as a text, or the bytes of an image. The second are the pictures that
        show no emoji of Unicode, or none that their name tells.

        Raises:
            FetchError: a package cannot be fetched.
        """
        if vendor.key == "fluent3d":
            return self._match_files(vendor)
        pack = Pack(vendor)
        if pack.codes:
            found = {code: name for code, name in pack.codes.items() if code in self.emoji}
            return {code: pack.svg(name) for code, name in found.items()}, []
        names = self._names | {}
        # Twemoji lists the most names that emoji had before, and the code of each.
        for other in (Pack(VENDORS["twemoji"]), pack):
            for code, name in other.codes.items():
                if code in self.emoji:
                    names.setdefault(key(name), code)
            for alias, parent in other.plain_aliases():
                if key(parent) in names:
                    names.setdefault(key(alias), names[key(parent)])
        found, missed = {}, []
        for name in pack.icons:
            code = names.get(key(name))
            if code is None or name in vendor.wrong:
                missed.append(name)
            else:
                found.setdefault(code, name)
        return {code: pack.svg(name) for code, name in found.items()}, missed

    def _match_files(self, vendor: Vendor) -> tuple[dict[str, Any], list[str]]:
        files = read_members(vendor.package.fetch(), lambda name: name.endswith(".webp"))
        by_code = {normal(Path(name).stem): content for name, content in files.items()}
        found = {code: content for code, content in by_code.items() if code in self.emoji}
        return found, sorted(set(by_code) - set(found))


class Pack:
    """An icon set of Iconify: SVG by name."""

    def __init__(self, vendor: Vendor) -> None:
        wanted = ("package/icons.json", "package/chars.json")
        files = read_members(vendor.package.fetch(), wanted.__contains__)
        self._set = json.loads(files["package/icons.json"])
        self.icons: dict[str, dict[str, Any]] = self._set["icons"]
        chars = json.loads(files["package/chars.json"])
        self.codes = {normal(code): name for code, name in chars.items()}
        """The name by code points; empty if the pack does not give them."""

    def plain_aliases(self) -> Iterator[tuple[str, str]]:
        """Other names of the same picture, each with that picture's name."""
        for name, alias in self._set.get("aliases", {}).items():
            if set(alias) == {"parent"}:
                yield name, alias["parent"]

    def svg(self, name: str) -> str:
        """The picture called `name`, in the middle of a square."""
        alias = self._set.get("aliases", {}).get(name, {})
        icon = {**self._set, **self.icons[alias.get("parent", name)]}
        left, top = icon.get("left", 0), icon.get("top", 0)
        width, height = icon.get("width", 16), icon.get("height", 16)
        body = icon["body"]
        if alias.get("hFlip"):
            body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
        side = max(width, height)
        box = f"{left - (side - width) / 2} {top - (side - height) / 2} {side} {side}"
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'<svg {names} viewBox="{box}">{body}</svg>'


def normal(code: str) -> str:
    """Code points as four to six lower-case hexadecimal digits each, without the variation selector."""
    parts = [part.zfill(4) for part in code.lower().split("-")]
    return "-".join(part for part in parts if part != "fe0f")


def key(name: str) -> str:
    """The letters and digits of a name, by which names are compared."""
    # "flag-for-flag-spain" and "flag-for-black-flag" are names that some packs give.
    words = re.sub(r"^flag[ -]for[ -](flag[ -])?", "flag ", name.lower())
    return re.sub(r"[^a-z0-9]", "", words)


def _tone(tone: int | list[int] | None) -> str:
    if tone is None:
        return "none"
    return "+".join(_TONES[one] for one in ([tone] if isinstance(tone, int) else tone))
