import contextlib
import subprocess
import sys

import numpy as np
import pytest

from assay.data import emoji, emoji_packs
from assay.data.emoji import EASY, HARD, VALIDATION, emoji_pairs, emoji_split, unseen_concepts
from assay.data.emoji_packs import VENDORS
from assay.data.fetch import FetchError, cache_folder


class TestSmoke:
    def test_what_there_is(self, smoke_emoji):
        assert smoke_emoji.name == "emoji"
        assert smoke_emoji.languages == ("en", "zh")
        assert set(smoke_emoji.column("vendor")) == {"fluentflat", "emojione", "twemoji", "openmoji"}
        assert set(smoke_emoji.column("tone")) == {"none"}
        assert len(set(smoke_emoji.column("emoji_group"))) == 9
        assert 200 < len(smoke_emoji) < 350

    def test_every_pair_has_its_captions_and_a_picture_that_is_not_blank(self, smoke_emoji):
        images = smoke_emoji.images(size=64)
        assert (images.reshape(len(images), -1).std(1) > 2).all()
        for index in range(len(smoke_emoji)):
            assert smoke_emoji.texts(index, "en")[0].isprintable()
            assert any("\u4e00" <= letter <= "\u9fff" for letter in smoke_emoji.texts(index, "zh")[0])

    def test_one_group_is_one_emoji(self, smoke_emoji):
        groups, codes = smoke_emoji.groups, smoke_emoji.column("code")
        pairs = set(zip(groups.tolist(), codes, strict=True))
        assert len(pairs) == len(set(codes)) == len(np.unique(groups))

    def test_what_is_transparent_is_white(self, smoke_emoji):
        corners = smoke_emoji.images(size=64)[:, 0, 0]
        assert np.mean((corners == 255).all(1)) > 0.9

    def test_the_licences_of_all_pictures_are_named(self, smoke_emoji):
        notes = " ".join(smoke_emoji.notes)
        for vendor in set(smoke_emoji.column("vendor")):
            assert VENDORS[vendor].attribution in notes
            assert VENDORS[vendor].licence in notes


class TestSplit:
    def test_the_parts(self, smoke_emoji):
        parts = emoji_split(smoke_emoji)
        vendor, concept = smoke_emoji.column("vendor"), smoke_emoji.column("concept")
        assert set(vendor[parts["train"]]) == {"fluentflat", "emojione"}
        assert set(vendor[parts["unseen_vendor_easy"]]) == {EASY}
        assert set(vendor[parts["unseen_vendor_hard"]]) == {HARD}
        assert set(vendor[parts["validation"]]) == {VALIDATION}
        assert set(parts["validation"]) <= set(parts["train"])
        assert set(vendor[parts["train_without_validation"]]) == {"fluentflat"}
        seen = set(concept[parts["train"]]) | set(concept[parts["unseen_vendor_easy"]])
        for name in ("unseen_concepts_compositional", "unseen_concepts_random"):
            assert len(parts[name])
            assert not seen & set(concept[parts[name]])

    def test_every_pair_is_in_one_part(self, smoke_emoji):
        parts = emoji_split(smoke_emoji)
        whole = [
            part for name, part in parts.items() if name not in ("validation", "train_without_validation")
        ]
        assert sorted(np.concatenate(whole).tolist()) == list(range(len(smoke_emoji)))

    def test_a_selection_is_split_alike(self, smoke_emoji, rng):
        some = rng.permutation(len(smoke_emoji))[:100]
        parts, whole = emoji_split(smoke_emoji.take(some)), emoji_split(smoke_emoji)
        for name, part in parts.items():
            assert set(some[part]) <= set(whole[name])

    def test_the_twins_of_the_compositional_ones_stay(self, smoke_emoji):
        parts = emoji_split(smoke_emoji)
        concept = smoke_emoji.column("concept")
        easy = set(concept[parts["unseen_vendor_easy"]])
        women = set(concept[parts["unseen_concepts_compositional"]])
        assert len(women) == 8
        for woman in women:
            assert woman.replace("1f469", "1f468", 1) in easy
            assert woman.replace("1f469", "1f9d1", 1) in easy

    def test_families_do_not_straddle(self):
        family = {key: vendor.family for key, vendor in VENDORS.items()}
        trained = {family[key] for key in VENDORS if key not in (EASY, HARD)}
        assert not trained & {family[EASY], family[HARD]}
        assert [key for key in VENDORS if family[key] == family[VALIDATION]] == ["emojione", "emojione1"]


def test_unseen_concepts_by_hand():
    woman, man, person = "1f469-200d-2708", "1f468-200d-2708", "1f9d1-200d-2708"
    others = [f"{n:x}" for n in range(0x1F400, 0x1F500)]
    lonely = "1f469-200d-1f9d1"  # Without a man of that kind.
    roles, chance = unseen_concepts([woman, man, person, lonely, *others])
    assert roles == {woman}
    assert len(chance) == 75
    assert not chance & {woman, man, person}
    again = unseen_concepts([lonely, *reversed(others), person, man, woman])
    assert again == (roles, chance)


class TestCache:
    @pytest.fixture
    def drawn(self, monkeypatch, tmp_path, smoke_emoji):
        """An empty cache but for the packages; notes which vendors are drawn."""
        packages = cache_folder("packages")
        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
        (tmp_path / "packages").symlink_to(packages)
        calls: list[str] = []
        original = emoji._drawn

        def note(vendor, part, packing):
            calls.append(vendor.key)
            return original(vendor, part, packing)

        monkeypatch.setattr(emoji, "_drawn", note)
        monkeypatch.setattr(emoji, "_SMOKE_VENDORS", ("emojione",))
        return calls

    def test_it_is_drawn_once(self, drawn, tmp_path):
        first = emoji_pairs("smoke").fingerprint()
        (tmp_path / "packages").unlink()  # Neither packages nor network are needed now.
        assert emoji_pairs("smoke").fingerprint() == first
        assert drawn == ["emojione"]
        assert [path.suffix for path in (tmp_path / "emoji").iterdir()] == [".parquet"]

    @pytest.mark.parametrize("damage", ["short", "flipped", "empty"])
    def test_what_is_damaged_is_drawn_anew(self, drawn, tmp_path, damage):
        first = emoji_pairs("smoke").fingerprint()
        (path,) = (tmp_path / "emoji").iterdir()
        content = bytearray(path.read_bytes())
        if damage == "flipped":
            content[len(content) // 2] ^= 1
        path.write_bytes({"short": content[:-50], "flipped": content, "empty": b""}[damage])
        assert emoji_pairs("smoke").fingerprint() == first
        assert drawn == ["emojione", "emojione"]

    def test_two_processes_at_once(self, drawn, tmp_path):
        script = (
            "from assay.data import emoji; emoji._SMOKE_VENDORS = ('emojione',)\n"
            "print(emoji.emoji_pairs('smoke').fingerprint())"
        )
        both = [
            subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in "ab"
        ]
        prints = {process.communicate(timeout=120)[0].strip() for process in both}
        assert len(prints) == 1
        assert len(prints.pop()) == 64
        assert len(list((tmp_path / "emoji").iterdir())) == 1

    def test_an_error_while_drawing_leaves_nothing_behind(self, drawn, tmp_path, monkeypatch):
        def fail(source):
            raise RuntimeError("out of ink")

        monkeypatch.setattr(emoji, "_draw_png", fail)
        with pytest.raises(RuntimeError, match="out of ink"):
            emoji_pairs("smoke")
        assert list((tmp_path / "emoji").iterdir()) == []

    def test_a_registry_out_of_reach(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(FetchError, match="npm is not installed"):
            emoji_pairs("smoke")

    def test_without_resvg(self, drawn, monkeypatch):
        monkeypatch.setitem(sys.modules, "resvg_py", None)
        with pytest.raises(ImportError, match=r"resvg-py: pip install 'assay\[images\]'"):
            emoji_pairs("smoke")


def cached_packages() -> set[str]:
    with contextlib.suppress(FetchError):
        return {path.name for path in cache_folder("packages").iterdir()}
    return set()


class TestEverything:
    """The counts of the whole set; only where its 35 megabytes have been fetched already."""

    @pytest.fixture(scope="class")
    @classmethod
    def matched(cls):
        if not {vendor.package.filename for vendor in VENDORS.values()} <= cached_packages():
            pytest.skip("the nine packs are not in the cache")
        catalog = emoji_packs.Catalog()
        return catalog, {key: catalog.match(vendor) for key, vendor in VENDORS.items()}

    def test_the_texts(self, matched):
        catalog, _ = matched
        base = [one for one in catalog.emoji.values() if one.tone == "none"]
        assert (len(base), len(catalog.emoji)) == (1914, 3944)
        assert len({one.texts["en"][0] for one in base}) == len({one.texts["zh"][0] for one in base}) == 1914
        assert len({one.group for one in base}) == 9
        assert len({one.subgroup for one in base}) == 98
        assert np.mean([len(one.tags["en"]) for one in base]) == pytest.approx(5.3, abs=0.05)
        assert np.mean([len(one.tags["zh"]) for one in base]) == pytest.approx(4.4, abs=0.05)

    def test_the_pictures_of_every_vendor(self, matched):
        catalog, found = matched
        counts = {
            key: (sum(catalog.emoji[code].tone == "none" for code in pictures), len(pictures), len(missed))
            for key, (pictures, missed) in found.items()
        }
        assert {key: count[:2] for key, count in counts.items()} == {
            key: vendor.images for key, vendor in VENDORS.items()
        }
        missed = {key: count[2] for key, count in counts.items() if count[2]}
        assert missed == {"noto1": 45, "fluent3d": 3, "emojione": 44, "emojione1": 93, "fxemoji": 449}
        assert sum(base for base, _, _ in counts.values()) == 13_281
        assert sum(with_tones for _, with_tones, _ in counts.values()) == 23_741

    def test_the_split(self, matched):
        catalog, found = matched
        base = {one.concept for one in catalog.emoji.values()}
        roles, chance = unseen_concepts(base)
        assert (len(roles), len(chance)) == (27, 75)
        seen = base - roles - chance
        trained = [code for key in VENDORS if key not in (EASY, HARD) for code in found[key][0]]
        trained = [code for code in trained if code in seen]
        assert (len(trained), len(set(trained)), len(seen)) == (9_004, 1_810, 1_812)
