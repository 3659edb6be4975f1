"""Pairs in tar files, in the layout of WebDataset: the files of a pair have one name but for the ending.

`cat.jpg` and `cat.txt`, or `cat.json` with a key `caption` or `text` (or `caption_zh`, ...), stand one after
the other. Several tar files are the shards of one data set. Nothing is extracted to disk.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from assay.data.faults import Faults, Policy
from assay.data.labelled import SUFFIXES
from assay.data.pairs import UNSTATED, Pairs
from assay.data.table import ContractError
from assay.data.tar_index import Entry, TarDamage, entries

_TEXT_FILES = ("txt", "text", "caption")
_TEXT_KEYS = ("caption", "captions", "text", "texts")
_MAX_TEXT = 1 << 20  # bytes of a text or JSON file
_MAX_IMAGE = 1 << 28  # bytes of an image file


@dataclass(frozen=True)
class Sample:
    """A pair in a shard.

    Args:
        key: the path in the archive without its ending.
        where: what messages call it: the shard and the key.
        image: the bytes of the image file.
        texts: by language.
    """

    key: str
    where: str
    image: bytes
    texts: Mapping[str, tuple[str, ...]]


class TarShards:
    """A source of `assay.data.stream`: the pairs of tar files, in order, or in an order of the epoch's own.

    One shard's index is in memory at a time, and one pair's content.

    Args:
        source: a .tar file, or a folder of them.
        policy: what becomes of what is no pair: "refuse" or "skip" (and count, in `faults`).
        seed: shuffles the shards in every epoch; None keeps their order.

    Raises:
        ContractError: there is no such file, or no .tar file in the folder.
    """

    def __init__(
        self, source: str | Path, *, policy: Policy | Faults = "refuse", seed: int | None = None
    ) -> None:
        self.shards = shards_of(Path(source))
        self.faults = policy if isinstance(policy, Faults) else Faults(policy)
        self._seed = seed
        self._counts: dict[Path, int] = {}

    def count(self) -> int:
        """The exact number of pairs, from the headers alone: those whose content is at fault are counted."""
        return sum(self._count(shard) for shard in self.shards)

    def items(self, epoch: int, start: int, step: int = 1) -> Iterator[Sample | None]:
        """The pairs of an epoch; see `assay.data.sources.Source`. None is one at fault that was skipped."""
        order = list(self.shards)
        if self._seed is not None:
            permutation = np.random.default_rng([self._seed, epoch]).permutation(len(order))
            order = [order[number] for number in permutation]
        # A fault is counted once, though it is met in every epoch.
        faults = self.faults if epoch == 0 else Faults(self.faults.policy)
        for shard in order:
            if start == 0 or start < self._count(shard):
                count = 0
                with shard.open("rb") as file:
                    for key, files in _pairs(shard, file, faults):
                        if count == start:
                            yield _sample(shard, file, key, files, faults)
                            start += step
                        count += 1
                self._counts[shard] = count
            start -= self._counts[shard]

    def _count(self, shard: Path) -> int:
        if shard not in self._counts:
            with shard.open("rb") as file:
                faults = Faults(self.faults.policy)
                self._counts[shard] = sum(1 for _ in _pairs(shard, file, faults))
        return self._counts[shard]


Files = Mapping[str, Entry]  # The files of one pair by their ending.


def _pairs(shard: Path, file: IO[bytes], faults: Faults) -> Iterator[tuple[str, Files]]:
    """The pairs of a shard that have an image and a text, by their headers, each with its key."""
    seen: set[str] = set()
    for key, files in _neighbours(_plain_files(shard, file, faults)):
        where, endings = f"{shard}, {key}", f".{', .'.join(files)}"
        if key in seen:
            faults.add("a key twice", f"{where}: expected the files of one pair side by side")
        elif not any(map(_is_image, files)):
            faults.add("no image", f"{where}: expected an image file, got {endings}")
        elif not any(map(_is_text, files)):
            faults.add("no text", f"{where}: expected a .txt or .json file, got {endings}")
        else:
            yield key, files
        seen.add(key)


def _plain_files(shard: Path, file: IO[bytes], faults: Faults) -> Iterator[Entry]:
    reader = entries(file)
    while True:
        try:
            entry = next(reader, None)
        except TarDamage as error:
            faults.add("a damaged archive (the rest of it)", f"{shard}: {error}")
            return
        if entry is None:
            return
        if not _is_inside(entry.name):
            faults.add("a path outside the archive", f"{shard}: expected a path inside, got {entry.name!r}")
        elif entry.kind == "other":
            faults.add("a link or device", f"{shard}, {entry.name}: expected a plain file, got none")
        elif entry.kind == "file" and not PurePosixPath(entry.name).name.startswith("."):
            yield entry  # Hidden files are what macOS puts beside others.


def _neighbours(files: Iterable[Entry]) -> Iterator[tuple[str, Files]]:
    """Files of one key that stand side by side."""
    for key, group in itertools.groupby(files, key=lambda entry: _key(entry.name)[0]):
        yield key, {_key(entry.name)[1]: entry for entry in group}


def _sample(shard: Path, file: IO[bytes], key: str, files: Files, faults: Faults) -> Sample | None:
    where = f"{shard}, {key}"
    image = next(entry for ending, entry in files.items() if _is_image(ending))
    if image.size > _MAX_IMAGE:
        faults.add(
            "an image too large", f"{where}: expected at most {_MAX_IMAGE:,} bytes, got {image.size:,}"
        )
        return None
    try:
        texts = _texts(file, files)
    except ValueError as error:
        faults.add("unreadable text", f"{where}: {error}")
        return None
    if not any(texts.values()):
        faults.add("empty text", f"{where}: expected a text, got an empty one")
        return None
    return Sample(key, where, _content(file, image), texts)


def _texts(file: IO[bytes], files: Files) -> dict[str, tuple[str, ...]]:
    texts: dict[str, list[str]] = {}
    for ending, entry in files.items():
        if not _is_text(ending):
            continue
        if entry.size > _MAX_TEXT:
            raise ValueError(f"expected at most {_MAX_TEXT:,} bytes of text, got {entry.size:,}")
        content = _content(file, entry).decode("utf-8-sig")
        language, _, _ = ending.rpartition(".")  # `cat.zh.txt` is in Chinese.
        found = _texts_of_json(content) if ending == "json" else {language or UNSTATED: content.splitlines()}
        for one, some in found.items():
            texts.setdefault(one, []).extend(some)
    return {
        one: tuple(dict.fromkeys(text.strip() for text in some if text.strip()))
        for one, some in texts.items()
    }


def pairs_of_shards(path: Path, faults: Faults) -> tuple[Pairs, Sequence[str]]:
    """All pairs of tar files, in memory, and where each stands; more of them are for `TarShards` in a stream.

    Raises:
        ContractError: there are none.
    """
    samples = [sample for sample in TarShards(path, policy=faults).items(0, 0) if sample is not None]
    faults.check_some_left(str(path), len(samples))
    languages = dict.fromkeys(language for sample in samples for language in sample.texts)
    pairs = Pairs.of(
        [sample.image for sample in samples],
        {one: [sample.texts.get(one, ()) for sample in samples] for one in languages},
        columns={"key": [sample.key for sample in samples]},
        name=str(path),
    )
    return pairs, [sample.where for sample in samples]


def shards_of(path: Path) -> list[Path]:
    """The .tar files at `path`, in the order of their names.

    Raises:
        ContractError: there are none.
    """
    if path.is_dir():
        shards = sorted(path.glob("*.tar"))
        if not shards:
            raise ContractError(f"{path}: expected .tar files, got none")
        return shards
    if not path.is_file():
        raise ContractError(f"{path}: no such file or folder")
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise ContractError(f"{path}: expected an uncompressed tar file, got gzip data (gunzip it)")
    return [path]


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _key(name: str) -> tuple[str, str]:
    """The path up to the first dot of the file's name, and the ending after it, in lower case."""
    path = PurePosixPath(name)
    stem, _, ending = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, ending.lower()


def _is_image(ending: str) -> bool:
    return f".{ending}" in SUFFIXES


def _is_text(ending: str) -> bool:
    return ending == "json" or ending.rpartition(".")[2] in _TEXT_FILES


def _content(file: IO[bytes], entry: Entry) -> bytes:
    file.seek(entry.offset)
    return file.read(entry.size)


def _texts_of_json(content: str) -> dict[str, list[str]]:
    record: Any = json.loads(content)
    if not isinstance(record, dict):
        raise ValueError("expected a JSON object")
    texts: dict[str, list[str]] = {}
    for name, value in record.items():
        known, _, language = name.lower().partition("_")
        if known in _TEXT_KEYS and len(language) <= 3:
            values = value if isinstance(value, list) else [value]
            texts.setdefault(language or UNSTATED, []).extend(str(one) for one in values if one is not None)
    return texts
