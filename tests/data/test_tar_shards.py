import io
import json
import tarfile
from pathlib import Path

import pytest

from assay.data import tar_shards
from assay.data.faults import Faults
from assay.data.stream import Stream
from assay.data.table import ContractError
from assay.data.tar_shards import TarShards, pairs_of_shards, shards_of


def write(path: Path, files: dict[str, bytes] | list[tuple[str, bytes]], **kinds) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.type = kinds.get(name, tarfile.REGTYPE)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path, picture) -> Path:
    """Three shards of 4, 1 and 6 pairs."""
    number = 0
    for shard, count in enumerate((4, 1, 6)):
        files: dict[str, bytes] = {}
        for _ in range(count):
            files[f"{number:03}.png"] = picture((number, 0, 0))
            files[f"{number:03}.txt"] = f"number {number}".encode()
            number += 1
        write(tmp_path / f"{shard}.tar", files)
    return tmp_path


def keys(source: TarShards, epoch: int = 0, start: int = 0, step: int = 1) -> list[str]:
    return [sample.key for sample in source.items(epoch, start, step) if sample is not None]


class TestItems:
    def test_count_order_and_content(self, shards, picture):
        source = TarShards(shards)
        assert source.count() == 11
        samples = [sample for sample in source.items(0, 0) if sample is not None]
        assert [sample.key for sample in samples] == [f"{number:03}" for number in range(11)]
        assert samples[6].image == picture((6, 0, 0))
        assert samples[6].texts == {"und": ("number 6",)}
        assert samples[6].where == f"{shards / '2.tar'}, 006"

    @pytest.mark.parametrize("seed", [None, 5])
    def test_they_can_begin_anywhere(self, shards, seed):
        whole = keys(TarShards(shards, seed=seed), 1)
        for start in range(13):
            for step in (1, 2, 5):
                assert keys(TarShards(shards, seed=seed), 1, start, step) == whole[start::step]

    def test_shards_in_another_order_in_every_epoch(self, shards):
        source = TarShards(shards, seed=5)
        orders = {tuple(keys(source, epoch)) for epoch in range(20)}
        assert 2 <= len(orders) <= 6
        assert all(sorted(order) == sorted(keys(source)) for order in orders)

    def test_a_stream_resumes_after_every_item(self, shards):
        def build():
            source = TarShards(shards, seed=5)
            return Stream.of(source).map(lambda sample: sample.key).shuffle(4, seed=1)

        stream, plain = build(), []
        for _ in range(2):
            plain += [(key, stream.state_dict()) for key in stream]
        for place, (_, state) in enumerate(plain):
            resumed = build()
            resumed.load_state_dict(json.loads(json.dumps(state)))
            rest = [key for _ in range(2 - place // 11) for key in resumed]
            assert rest[: 22 - place - 1] == [key for key, _ in plain[place + 1 :]]

    def test_ranks_share_the_pairs(self, shards):
        parts = [[s.key for s in Stream.of(TarShards(shards), rank=rank, world=3)] for rank in range(3)]
        assert sorted(sum(parts, start=[])) == keys(TarShards(shards))  # noqa: RUF017

    def test_texts_in_json_and_by_language(self, tmp_path, picture):
        record = {"caption": ["a cat", "A cat "], "caption_zh": "猫", "url": "x", "text_long": "no"}
        files = {
            "x/a.jpg": picture(kind="jpeg"),
            "x/a.json": json.dumps(record).encode(),
            "x/b.webp": picture(kind="webp"),
            "x/b.zh.txt": "狗".encode(),
            "x/b.txt": b"a dog\n\nthe dog\n",
            "x/b.cls": b"7",
        }
        write(tmp_path / "a.tar", files)
        samples = list(TarShards(tmp_path / "a.tar").items(0, 0))
        assert samples[0] is not None
        assert samples[1] is not None
        assert samples[0].texts == {"und": ("a cat", "A cat"), "zh": ("猫",)}
        assert samples[1].texts == {"zh": ("狗",), "und": ("a dog", "the dog")}

    def test_folders_and_hidden_files_are_passed_over(self, tmp_path, picture):
        files = [("./x/", b""), ("./x/._a.jpg", b"apple"), ("./x/a.jpg", picture()), ("./x/a.txt", b"a")]
        write(tmp_path / "a.tar", files, **{"./x/": tarfile.DIRTYPE})
        assert keys(TarShards(tmp_path / "a.tar")) == ["x/a"]

    def test_contents_are_read_when_their_turn_comes(self, shards, monkeypatch):
        items = TarShards(shards).items(0, 0)
        next(items)
        read: list[str] = []
        monkeypatch.setattr(tar_shards, "_content", lambda file, entry: read.append(entry.name) or b"x")
        next(items)
        assert read == ["001.txt", "001.png"]


BAD: dict[str, tuple[list[tuple[str, bytes]], str]] = {
    "a path outside the archive": ([("../evil.jpg", b"x"), ("../evil.txt", b"x")], r"'\.\./evil\.jpg'"),
    "no image": ([("c.txt", b"text")], "a.tar, c: expected an image file, got .txt"),
    "no text": ([("c.jpg", b"x")], "a.tar, c: expected a .txt or .json file, got .jpg"),
    "empty text": ([("c.jpg", b"x"), ("c.txt", b" \n")], "a.tar, c: expected a text, got an empty one"),
    "unreadable text": ([("c.jpg", b"x"), ("c.txt", b"\xff")], "a.tar, c: .*utf-8"),
    "a key twice": (
        [
            ("c.jpg", b"x"),
            ("c.txt", b"t"),
            ("d.jpg", b"x"),
            ("d.txt", b"t"),
            ("c.jpg", b"y"),
            ("c.txt", b"u"),
        ],
        "a.tar, c: expected the files of one pair side by side",
    ),
}


class TestFaults:
    @pytest.fixture(params=BAD)
    def bad(self, request, tmp_path, picture):
        files, message = BAD[request.param]
        good = [
            (f"{key}.{ending}", picture() if ending == "jpg" else b"t")
            for key in "ab"
            for ending in ("jpg", "txt")
        ]
        write(tmp_path / "a.tar", [*good[:2], *files, *good[2:]])
        return tmp_path / "a.tar", request.param, message

    def test_refused_by_name(self, bad):
        path, _, message = bad
        with pytest.raises(ContractError, match=message):
            list(TarShards(path).items(0, 0))

    def test_skipped_and_counted_once_in_many_epochs(self, bad):
        path, kind, message = bad
        source = TarShards(path, policy="skip")
        for epoch in range(3):
            found = keys(source, epoch)
            assert [key for key in found if key in "ab"] == ["a", "b"]
        assert set(source.faults.counts) == {kind}
        assert source.faults.counts[kind] == (2 if "outside" in kind else 1)
        with pytest.raises(ContractError, match=message):
            raise ContractError(source.faults.examples[kind][0])

    def test_positions_stay_exact_with_faults(self, bad):
        whole = list(TarShards(bad[0], policy="skip").items(0, 0))
        source = TarShards(bad[0], policy="skip")
        assert source.count() == len(whole)
        for start in range(len(whole)):
            assert list(source.items(0, start)) == whole[start:]

    def test_links_and_devices(self, tmp_path, picture):
        write(
            tmp_path / "a.tar",
            [("a.jpg", picture()), ("a.txt", b"t"), ("link.jpg", b"")],
            **{"link.jpg": tarfile.SYMTYPE},
        )
        with pytest.raises(ContractError, match=r"link\.jpg: expected a plain file, got none"):
            list(TarShards(tmp_path / "a.tar").items(0, 0))
        assert keys(TarShards(tmp_path / "a.tar", policy="skip")) == ["a"]

    def test_a_truncated_archive_gives_what_is_whole_and_says_so(self, shards):
        path = shards / "2.tar"
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ContractError, match=r"2\.tar: expected a tar header or a block of zeros"):
            list(TarShards(path).items(0, 0))
        source = TarShards(path, policy="skip")
        found = keys(source)
        assert 0 < len(found) < 6
        assert found == [f"{number:03}" for number in range(5, 5 + len(found))]
        assert source.faults.counts["a damaged archive (the rest of it)"] == 1
        assert source.count() == len(found)

    def test_texts_and_images_have_a_limit(self, tmp_path, monkeypatch):
        write(tmp_path / "a.tar", {"a.jpg": b"x" * 100, "a.txt": b"t" * 100})
        monkeypatch.setattr("assay.data.tar_shards._MAX_TEXT", 99)
        with pytest.raises(ContractError, match="at most 99 bytes of text, got 100"):
            list(TarShards(tmp_path / "a.tar").items(0, 0))
        monkeypatch.setattr("assay.data.tar_shards._MAX_TEXT", 100)
        monkeypatch.setattr("assay.data.tar_shards._MAX_IMAGE", 99)
        with pytest.raises(ContractError, match="at most 99 bytes, got 100"):
            list(TarShards(tmp_path / "a.tar").items(0, 0))

    def test_json_that_is_no_object(self, tmp_path):
        write(tmp_path / "a.tar", {"a.jpg": b"x", "a.json": b"[1]"})
        with pytest.raises(ContractError, match="expected a JSON object"):
            list(TarShards(tmp_path / "a.tar").items(0, 0))


class TestShards:
    def test_what_there_is(self, shards):
        assert [path.name for path in shards_of(shards)] == ["0.tar", "1.tar", "2.tar"]
        assert shards_of(shards / "1.tar") == [shards / "1.tar"]

    def test_what_there_is_not(self, tmp_path):
        with pytest.raises(ContractError, match=r"expected \.tar files, got none"):
            shards_of(tmp_path)
        with pytest.raises(ContractError, match="no such file"):
            shards_of(tmp_path / "a.tar")
        (tmp_path / "a.tar").write_bytes(b"\x1f\x8b\x08")
        with pytest.raises(ContractError, match="expected an uncompressed tar file, got gzip data"):
            shards_of(tmp_path / "a.tar")

    def test_all_in_memory(self, shards, picture):
        pairs, places = pairs_of_shards(shards, Faults("refuse"))
        assert len(pairs) == len(places) == 11
        assert pairs.texts(10) == ("number 10",)
        assert pairs.encoded(10) == picture((10, 0, 0))
        assert pairs.column("key")[10] == "010"
        assert places[10] == f"{shards / '2.tar'}, 010"
