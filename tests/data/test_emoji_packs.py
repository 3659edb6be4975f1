import io
import json
import tarfile

import pytest

from assay.data import emoji_packs
from assay.data.emoji import _draw_png
from assay.data.emoji_packs import EMOJIBASE, VENDORS, Catalog, NpmPackage, Pack, key, normal
from assay.data.pictures import decode

ICONS = {
    "prefix": "x",
    "width": 36,
    "height": 36,
    "icons": {
        "cat": {"body": "<path fill='#f00' d='M0 0h36v36H0z'/>"},
        "wide": {"body": "<path fill='#00f' d='M0 0h36v18H0z'/>", "height": 18},
        "left": {"body": "<path fill='#0f0' d='M0 0h18v36H0z'/>"},
        "Flag-for-Flag-Spain": {"body": "<g/>"},
        "asterisk": {"body": "<g/>"},
        "nothing": {"body": "<g/>"},
    },
    "aliases": {"kitty": {"parent": "cat"}, "right": {"parent": "left", "hFlip": True}},
}
ENGLISH = [
    {"label": "cat", "hexcode": "1F408", "group": 3, "subgroup": 30, "tags": ["pet"]},
    {"label": "flag: Spain", "hexcode": "1F1EA-1F1F8", "group": 9, "subgroup": 90},
    {"label": "keycap: *", "hexcode": "002A-FE0F-20E3", "group": 8, "subgroup": 80},
    {"label": "red hair", "hexcode": "1F9B0", "group": 2, "subgroup": 20},
    {"label": "regional indicator A", "hexcode": "1F1E6"},
    {
        "label": "hand",
        "hexcode": "1F44B",
        "group": 1,
        "subgroup": 10,
        "skins": [
            {"label": "hand: dark skin tone", "hexcode": "1F44B-1F3FF", "tone": 5},
            {"label": "hands: light and dark", "hexcode": "1F44B-1F3FB-1F3FF", "tone": [1, 5]},
        ],
    },
]
CHINESE = [
    {
        **one,
        "label": f"中{n}",
        "tags": [],
        "skins": [{**skin, "label": f"中{n}s"} for skin in one.get("skins", [])],
    }
    for n, one in enumerate(ENGLISH)
]
GROUPS = {
    "groups": {"1": "people", "2": "component", "3": "animals", "8": "symbols", "9": "flags"},
    "subgroups": {"10": "hand", "20": "hair", "30": "mammal", "80": "keycap", "90": "country-flag"},
}
SHORT = {"1F408": ["kitten", "Cat"], "002A-FE0F-20E3": "asterisk", "1F9B0": "red_hair"}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Small packages of the real layout in place of the real ones."""

    def pack(package: NpmPackage, files: dict) -> None:
        with tarfile.open(tmp_path / package.filename, "w:gz") as archive:
            for name, value in files.items():
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))

    codes = {f"en/shortcodes/{name}.json": {} for name in emoji_packs._SHORT_CODES}
    codes["en/shortcodes/github.json"] = SHORT
    pack(EMOJIBASE, {"en/data.json": ENGLISH, "zh/data.json": CHINESE, "meta/groups.json": GROUPS, **codes})
    pack(VENDORS["emojione"].package, {"icons.json": ICONS, "chars.json": {}})
    twemoji = {"icons": {"hand": {"body": "<g/>"}}, "aliases": {"nothing": {"parent": "hand"}}}
    pack(VENDORS["twemoji"].package, {"icons.json": twemoji, "chars.json": {"1f44b": "hand", "1f9b0": "red"}})
    pack(
        VENDORS["fluent3d"].package,
        {"assets/1f408.webp": b"cat", "assets/1f9b0.webp": b"hair", "README.md": b""},
    )
    monkeypatch.setattr(NpmPackage, "fetch", lambda package: tmp_path / package.filename)


class TestCatalog:
    def test_emoji_without_components_and_letters(self, packages):
        emoji = Catalog().emoji
        assert list(emoji) == [
            "1f408",
            "1f1ea-1f1f8",
            "002a-20e3",
            "1f44b",
            "1f44b-1f3ff",
            "1f44b-1f3fb-1f3ff",
        ]
        cat, tones = emoji["1f408"], emoji["1f44b-1f3fb-1f3ff"]
        assert cat.texts == {"en": ("cat", "kitten"), "zh": ("中0",)}  # "Cat" is "cat" once more.
        assert (cat.group, cat.subgroup, cat.tone, cat.concept) == ("animals", "mammal", "none", "1f408")
        assert cat.tags == {"en": ("pet",), "zh": ()}
        assert (tones.concept, tones.tone) == ("1f44b", "light+dark")
        assert emoji["1f44b-1f3ff"].tone == "dark"
        assert emoji["1f44b-1f3ff"].texts == {"en": ("hand: dark skin tone",), "zh": ("中5s",)}

    def test_by_code_points(self, packages):
        found, missed = Catalog().match(VENDORS["twemoji"])
        assert set(found) == {"1f44b"}
        assert missed == []

    def test_by_names(self, packages):
        """By the label, by the prefix of a flag, and by an old name that Twemoji knows; not what is wrong."""
        found, missed = Catalog().match(VENDORS["emojione"])
        assert set(found) == {"1f408", "1f1ea-1f1f8", "1f44b"}
        assert missed == ["wide", "left", "asterisk"]

    def test_by_file_names(self, packages):
        found, missed = Catalog().match(VENDORS["fluent3d"])
        assert found == {"1f408": b"cat"}
        assert missed == ["1f9b0"]


class TestPack:
    def corners(self, svg: str) -> list[list[int]]:
        image = decode(_draw_png(svg))
        return [image[y, x].tolist() for y, x in ((2, 2), (2, -3), (32, 32), (-3, 2))]

    def test_a_picture(self, packages):
        assert self.corners(Pack(VENDORS["emojione"]).svg("cat")) == [[255, 0, 0]] * 4

    def test_a_wide_one_is_in_the_middle_of_a_square(self, packages):
        white, blue = [255, 255, 255], [0, 0, 255]
        assert self.corners(Pack(VENDORS["emojione"]).svg("wide")) == [white, white, blue, white]

    def test_a_mirrored_one(self, packages):
        left, right = (self.corners(Pack(VENDORS["emojione"]).svg(name)) for name in ("left", "right"))
        assert (left[0], left[1]) == ([0, 255, 0], [255, 255, 255])
        assert (right[0], right[1]) == ([255, 255, 255], [0, 255, 0])

    def test_plain_aliases(self, packages):
        assert list(Pack(VENDORS["emojione"]).plain_aliases()) == [("kitty", "cat")]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1F408", "1f408"),
        ("a9-fe0f", "00a9"),
        ("0023-FE0F-20E3", "0023-20e3"),
        ("1F468-200D-1F33E", "1f468-200d-1f33e"),
    ],
)
def test_codes(code, expected):
    assert normal(code) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("keycap: 10", "keycap10"),
        ("woman’s hat", "womanshat"),
        ("flag-for-spain", "flagspain"),
        ("flag-for-flag-spain", "flagspain"),
        ("Flag: Spain", "flagspain"),
        ("unflag-for-x", "unflagforx"),
    ],
)
def test_names(name, expected):
    assert key(name) == expected


def test_every_vendor_says_whose_it_is():
    assert len(VENDORS) == 9
    for vendor in VENDORS.values():
        assert vendor.licence
        assert vendor.attribution
        assert len(vendor.package.sha256) == 64
        assert vendor.package.filename.endswith(f"-{vendor.package.version}.tgz")
    assert NpmPackage("@a/b", "1.0", "").filename == "a-b-1.0.tgz"
