"""Pairs: images, each with one text or more, by language; columns of their own beside them.

The content is an Arrow table, in memory or mapped from a file, and nothing of it is copied until it is asked
for: a selection of pairs is the same table and other positions.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.core.files import write_json
from assay.data.pictures import MAX_PIXELS, Fit, decode, encode_png, resize
from assay.data.table import ContractError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from assay.data.faults import Policy

UNSTATED = "und"
"""The language of texts whose language nobody said (ISO 639's word for it)."""

TEXTS = "texts_"  # How the columns of texts begin in the Arrow table; the language follows.
_BLOCK = 256  # pairs in one piece: an Arrow array of bytes holds at most 2 GiB


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images with texts.

    Args:
        table: an Arrow table with the columns `image`, a struct of `bytes` (an encoded image, or null) and
            `path` (of a file, where the bytes are null); `group`, int64; `texts_LANGUAGE`, lists of texts,
            for each language; and any others.
        name: what the user calls it.
        notes: what the reader of a report should know, such as what was left out.
        rows: the positions in `table` that make up these pairs; all of them if not given.

    Two pairs of one group show the same thing: one is no wrong answer for the other.
    """

    table: "pa.Table"
    name: str = "pairs"
    notes: tuple[str, ...] = ()
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(self.table.num_rows))

    @property
    def _rows(self) -> np.ndarray:
        assert self.rows is not None
        return self.rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Pairs({self.name!r}, {len(self)} pairs, {', '.join(self.languages)})"

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the texts, in the order of the columns; "und" where none was said."""
        return tuple(n.removeprefix(TEXTS) for n in self.table.column_names if n.startswith(TEXTS))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what there is beside images, groups and texts."""
        own = ("image", "group")
        return tuple(n for n in self.table.column_names if n not in own and not n.startswith(TEXTS))

    @cached_property
    def groups(self) -> np.ndarray:
        """The group of every pair, int64 [n]."""
        return np.asarray(self.column("group"), np.int64)

    def column(self, name: str) -> np.ndarray:
        """The values of a column for every pair; texts and lists as they are, in an array of objects.

        Raises:
            ContractError: there is no such column.
        """
        if name not in (*self.columns, "group"):
            raise ContractError(f"{self.name}: no column {name!r}{nearest(name, self.columns)}")
        values = self.table.column(name).take(self._rows).to_pylist()
        if all(isinstance(value, (int, float)) for value in values):
            return np.array(values)
        array = np.empty(len(values), object)
        array[:] = values
        return array

    def texts(self, index: int, language: str | None = None) -> tuple[str, ...]:
        """The texts of the pair at `index`, in one language or in all of them, one after the other.

        Raises:
            ContractError: there are no texts in that language.
        """
        if language is not None and language not in self.languages:
            choice = ", ".join(self.languages)
            raise ContractError(f"{self.name}: expected a language of {choice}, got {language!r}")
        wanted = self.languages if language is None else (language,)
        row = int(self._rows[index])
        return tuple(text for one in wanted for text in self.table.column(TEXTS + one)[row].as_py() or ())

    def encoded(self, index: int) -> bytes | Path:
        """The image of the pair at `index` as it is kept: the bytes of an image file, or its path."""
        image = self.table.column("image")[int(self._rows[index])]
        content = image["bytes"].as_buffer()
        return Path(image["path"].as_py()) if content is None else content.to_pybytes()

    def images(
        self,
        indices: Iterable[int] | None = None,
        size: int = 64,
        *,
        fit: Fit = "crop",
        threads: int = 1,
        max_pixels: int = MAX_PIXELS,
    ) -> np.ndarray:
        """The images at `indices` (all if None) as uint8 [n, size, size, 3].

        Args:
            indices: positions.
            size: the side in pixels.
            fit: see `assay.data.pictures.resize`.
            threads: how many decode at once; the result is the same.
            max_pixels: see `assay.data.pictures.decode`.

        Raises:
            PictureError: one cannot be decoded; the message names it.
        """
        chosen = range(len(self)) if indices is None else [int(index) for index in indices]
        images = np.empty((len(chosen), size, size, 3), np.uint8)

        def fill(place: int) -> None:
            index = chosen[place]
            source = self.encoded(index)
            name = f"{self.name}, pair {index}" if isinstance(source, bytes) else ""
            small = decode(source, name=name, max_pixels=max_pixels, size=size if fit == "crop" else None)
            images[place] = resize(small, size, fit=fit)

        if threads == 1:
            for place in range(len(chosen)):
                fill(place)
        else:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(fill, range(len(chosen))):
                    pass
        return images

    def take(self, indices: Any) -> "Pairs":
        """The pairs at `indices`: positions, a boolean mask or a slice."""
        return replace(self, rows=self._rows[indices])

    def fingerprint(self) -> str:
        """SHA-256 of images, texts, groups and columns as 64 hexadecimal digits, wherever they came from."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        names = sorted((*self.languages, *self.columns))
        digest = hashlib.sha256(json.dumps(names).encode())
        firsts: dict[int, int] = {}  # A group's number means nothing; who shares it does.
        columns = {name: self.column(name) for name in sorted(self.columns)}
        for index, group in enumerate(self.groups.tolist()):
            source = self.encoded(index)
            content = source if isinstance(source, bytes) else _file(source)
            texts = {language: self.texts(index, language) for language in sorted(self.languages)}
            others = {name: values[index] for name, values in columns.items()}
            record = [firsts.setdefault(group, index), texts, others]
            digest.update(hashlib.sha256(content).digest())
            digest.update(json.dumps(record, default=str, ensure_ascii=False).encode())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Sizes, languages, columns, an example and notes, as JSON values."""
        lists = {one: self.table.column(TEXTS + one).take(self._rows) for one in self.languages}
        texts = {one: sum(len(each or ()) for each in some.to_pylist()) for one, some in lists.items()}
        return {
            "pairs": len(self),
            "groups": len(np.unique(self.groups)),
            "texts": texts,
            "columns": list(self.columns),
            "example": list(self.texts(0)[:3]) if len(self) else [],
            "notes": list(self.notes),
        }

    def save(self, folder: Path) -> None:
        """Writes the pairs into `folder`: an Arrow file, in which a file's image stays a path."""
        import pyarrow as pa

        folder.mkdir(parents=True, exist_ok=True)
        path, scratch = folder / "pairs.arrow", folder / f".pairs.arrow-{os.getpid()}"
        try:
            with pa.OSFile(str(scratch), "wb") as sink, pa.ipc.new_file(sink, self.table.schema) as file:
                for start in range(0, len(self), _BLOCK):
                    file.write_table(self.table.take(self._rows[start : start + _BLOCK]))
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
        write_json(folder / "pairs.json", {"name": self.name, "notes": list(self.notes)})

    @classmethod
    def open(cls, folder: Path) -> "Pairs":
        """The pairs that `save` wrote, mapped into memory.

        Raises:
            ContractError: there are none, or they are damaged.
        """
        import pyarrow as pa

        try:
            about = json.loads((folder / "pairs.json").read_text("utf-8"))
            table = pa.ipc.open_file(pa.memory_map(str(folder / "pairs.arrow"))).read_all()
            return cls(table, about["name"], tuple(about["notes"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ContractError(f"{folder}: expected pairs that `save` wrote ({error})") from None

    @classmethod
    def of(
        cls,
        images: Sequence[bytes | Path | np.ndarray],
        texts: Sequence[str | Sequence[str]] | Mapping[str, Sequence[str | Sequence[str]]],
        *,
        groups: Sequence[Any] | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
        name: str = "pairs",
        notes: Sequence[str] = (),
    ) -> "Pairs":
        """Pairs from objects in memory.

        Args:
            images: encoded images, paths, or uint8 arrays [height, width(, 3)].
            texts: one text or several for each image; or, by language, as many of them.
            groups: equal for pairs that show the same thing; each its own if not given.
            columns: further values, one for each pair.
            name: what messages and reports call it.
            notes: what the reader of a report should know.

        Raises:
            ContractError: lengths differ, or a pair has no text.
        """
        import pyarrow as pa

        by_language = texts if isinstance(texts, Mapping) else {UNSTATED: texts}
        lists = {one: [_several(each) for each in some] for one, some in by_language.items()}
        given = {**{f"texts in {one}": some for one, some in lists.items()}, **(columns or {})}
        for what, values in {**given, **({} if groups is None else {"groups": groups})}.items():
            if len(values) != len(images):
                raise ContractError(f"{name}: expected {len(images)} {what}, as images, got {len(values)}")
        for index in range(len(images)):
            if not any(some[index] for some in lists.values()):
                raise ContractError(f"{name}: expected a text for pair {index}, got none")
        for other in columns or {}:
            if other in ("image", "group") or other.startswith(TEXTS):
                raise ContractError(f"{name}: expected another name than {other!r} for a column")
        numbers: dict[Any, int] = {}
        own = range(len(images)) if groups is None else groups
        content = {
            "image": pa.chunked_array(_image_arrays(images), image_type()),
            "group": pa.array([numbers.setdefault(group, len(numbers)) for group in own], pa.int64()),
        }
        for one, some in lists.items():
            content[TEXTS + one] = pa.array(some, pa.list_(pa.string()))
        for other, values in (columns or {}).items():
            content[other] = pa.array(list(values))
        return cls(pa.table(content), name, tuple(notes))


def image_type() -> "pa.DataType":
    """The Arrow type of images, the one of Hugging Face's `datasets`: their bytes or their path."""
    import pyarrow as pa

    return pa.struct({"bytes": pa.binary(), "path": pa.string()})


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path}: cannot be read: {os.strerror(error.errno or 0)}") from None


def _several(texts: str | Sequence[str]) -> list[str]:
    return [text for text in ([texts] if isinstance(texts, str) else texts) if text.strip()]


def _image_arrays(images: Sequence[bytes | Path | np.ndarray]) -> "Iterator[pa.Array]":
    import pyarrow as pa

    for start in range(0, len(images), _BLOCK):
        yield pa.array([_image(image) for image in images[start : start + _BLOCK]], image_type())


def _image(image: bytes | Path | np.ndarray) -> dict[str, Any]:
    if isinstance(image, np.ndarray):
        return {"bytes": encode_png(image), "path": None}
    if isinstance(image, bytes):
        return {"bytes": image, "path": None}
    return {"bytes": None, "path": os.path.abspath(image)}


def read_gallery(source: str | os.PathLike[str], *, policy: "Policy" = "refuse") -> Pairs:
    """The pictures at `source`, with or without texts; see `assay.data.pair_readers.read_gallery`."""
    from assay.data.pair_readers import read_gallery

    return read_gallery(source, policy=policy)


def read_pairs(source: str | os.PathLike[str], *, policy: "Policy" = "refuse", **options: Any) -> Pairs:
    """The pairs at `source`; see `assay.data.pair_readers.read` for the formats and the options."""
    from assay.data.pair_readers import read

    return read(source, policy=policy, **options)
