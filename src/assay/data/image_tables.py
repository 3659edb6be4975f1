"""Tables with a column of images, as Arrow tables: files, and the folders of Hugging Face's `datasets`.

| source | layout |
|---|---|
| .csv .tsv .jsonl .parquet .arrow ... | as `assay.data.readers`; but for CSV, with lists too |
| a folder that `Dataset.save_to_disk` wrote | `data-00000-of-00003.arrow`, with `dataset_info.json` |
| a folder that `DatasetDict.save_to_disk` wrote | `dataset_dict.json`, and such a folder for each split |
| a data set's repository | `train-00000-of-00003.parquet`, in any folder inside |

An image is a path (text, relative to the table's folder), the bytes of an image file, or both in a struct of
`bytes` and `path`, as `datasets` keeps them. Nothing here needs `datasets` itself.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.data.arrow import read_ipc
from assay.data.pairs import image_type
from assay.data.table import Column, ContractError, nearest

IMAGE_NAMES = ("image", "img", "picture", "photo", "jpg", "png", "webp", "image_bytes", "bytes", "image_path")
IMAGE_NAMES += ("path", "filepath", "file_path", "filename", "file_name", "file")
_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)
_SAVED = ("state.json", "dataset_info.json")
_SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}(-[0-9a-f]+)?\.parquet")


@dataclass(frozen=True)
class ImageTable:
    """A table whose rows hold images.

    Args:
        table: the rows.
        root: the folder to which paths are relative.
        where: what messages call it.
        notes: what was left out, such as other splits.
    """

    table: pa.Table
    root: Path
    where: str
    notes: tuple[str, ...] = ()

    def image_column(self, name: str | None) -> str:
        """The name of the column of images, `name` or the one that its name and type tell.

        Raises:
            ContractError: there is none.
        """
        names = self.table.column_names
        if name is not None:
            if name not in names:
                raise ContractError(f"{self.where}: no column {name!r}{nearest(name, names)}")
            self._check_images(name)
            return name
        structs = [field.name for field in self.table.schema if _is_image_struct(field.type)]
        lower = {column.lower(): column for column in reversed(names)}
        found = structs + [lower[one] for one in IMAGE_NAMES if one in lower]
        if not found:
            raise ContractError(
                f"{self.where}: expected a column of images (their paths or bytes), called "
                f"{', '.join(IMAGE_NAMES[:3])}, path, file_name or alike, got {', '.join(map(repr, names))}; "
                "the option `image` names it"
            )
        self._check_images(found[0])
        return found[0]

    def _check_images(self, name: str) -> None:
        kind = self.table.schema.field(name).type
        if not (_is_image_struct(kind) or _is_bytes(kind) or _is_text(kind)):
            raise ContractError(
                f"{self.where}, column {name!r}: expected images as paths, bytes or a struct of both, "
                f"got the Arrow type {kind}"
            )

    def images(self, column: str) -> pa.ChunkedArray:
        """The images of a column as structs of bytes and an absolute path; the bytes are not copied."""
        values = self.table.column(column)
        kind = values.type
        if _is_image_struct(kind):
            if kind == image_type():
                return values
            return pa.chunked_array([self._struct(chunk) for chunk in values.chunks], image_type())
        if _is_bytes(kind):
            chunks = [_with_path(chunk, None) for chunk in values.cast(pa.binary()).chunks]
        else:
            texts = values.cast(pa.string())
            chunks = [_with_path(None, self._absolute(chunk)) for chunk in texts.chunks]
        return pa.chunked_array(chunks, image_type())

    def _struct(self, chunk: Any) -> pa.StructArray:
        path = self._absolute(chunk.field("path")) if chunk.type.get_field_index("path") >= 0 else None
        return _with_path(chunk.field("bytes").cast(pa.binary()), path)

    def _absolute(self, paths: pa.Array) -> pa.Array:
        texts = paths.to_pylist()
        address = next((text for text in texts if text and _ADDRESS.match(text)), None)
        if address is not None:
            raise ContractError(
                f"{self.where}: expected paths of image files, got the address {address!r}: fetch them first"
            )
        return pa.array([text and str(self.root / text) for text in texts], pa.string())

    def class_names(self, column: str) -> Sequence[str] | None:
        """The names of the classes whose numbers a column holds, where `datasets` wrote them down."""
        try:
            about = json.loads((self.table.schema.metadata or {})[b"huggingface"])
            names = about["info"]["features"][column]["names"]
            return [str(name) for name in names] if isinstance(names, list) else None
        except (KeyError, TypeError, ValueError):
            return None


def _with_path(content: pa.Array | None, path: pa.Array | None) -> pa.StructArray:
    given = content if content is not None else path
    assert given is not None
    content = pa.nulls(len(given), pa.binary()) if content is None else content
    path = pa.nulls(len(given), pa.string()) if path is None else path
    return pa.StructArray.from_arrays([content, path], fields=list(image_type()))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_image_struct(kind: pa.DataType) -> bool:
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_bytes(kind["bytes"].type)


def open_image_table(path: Path, *, split: str | None = None, root: Path | None = None) -> ImageTable:
    """The table at `path`.

    Args:
        path: a file, or a folder of Hugging Face's `datasets`.
        split: the part of such a folder; "train" or the only one if not given.
        root: the folder to which paths in the table are relative; the table's if not given.

    Raises:
        ContractError: there is none, or it cannot be read; the message names the file.
    """
    if path.is_dir():
        files, notes = _files_of_folder(path, split)
        parts = [_read(file) for file in files]
        try:
            table = pa.concat_tables(parts)
        except pa.ArrowInvalid as error:
            raise ContractError(
                f"{path}: expected files of one schema ({str(error).splitlines()[0]})"
            ) from None
        return ImageTable(table, root or files[0].parent, str(path), notes)
    if split is not None:
        raise ContractError(f"{path}: expected a folder of `datasets`, which has splits, got a file")
    return ImageTable(_read(path), root or path.parent, str(path))


def metadata_file(folder: Path) -> Path | None:
    """The table in a folder that says what belongs to each image in it, as `datasets` calls it, or None."""
    names = (f"metadata.{ending}" for ending in ("csv", "jsonl", "parquet"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def is_datasets_folder(path: Path) -> bool:
    """Whether a folder looks like one of Hugging Face's `datasets`."""
    return any((path / mark).is_file() for mark in (*_SAVED, "dataset_dict.json")) or any(_shards(path))


def _shards(path: Path) -> Iterator[Path]:
    return (file for file in sorted(path.rglob("*.parquet")) if not file.name.startswith("."))


def _files_of_folder(path: Path, split: str | None) -> tuple[list[Path], tuple[str, ...]]:
    splits: dict[str, list[Path]] = {}
    if (path / "dataset_dict.json").is_file():
        names = json.loads((path / "dataset_dict.json").read_text("utf-8"))["splits"]
        splits = {name: _arrow_files(path / name) for name in names}
    elif any((path / mark).is_file() for mark in _SAVED) and (files := _arrow_files(path)):
        splits = {"train": files}
    if not splits:
        for file in _shards(path):
            matched = _SHARD.fullmatch(file.name)
            splits.setdefault(matched["split"] if matched else "train", []).append(file)
    if not splits:
        raise ContractError(f"{path}: expected .arrow or .parquet files, got none")
    name = split or ("train" if "train" in splits else next(iter(splits)))
    if name not in splits:
        raise ContractError(f"{path}: expected a split of {', '.join(splits)}, got {name!r}")
    if not splits[name]:
        raise ContractError(f"{path}: expected .arrow files of the split {name!r}, got none")
    others = [other for other in splits if other != name]
    return splits[name], ((f"split {name}; not read: {', '.join(others)}",) if others else ())


def _arrow_files(folder: Path) -> list[Path]:
    """The files of one saved `Dataset`, in the order in which its state lists them."""
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
        return [folder / entry["filename"] for entry in state["_data_files"]]
    except FileNotFoundError:
        return sorted(folder.glob("*.arrow"))
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(f"{folder / 'state.json'}: expected the state of a data set ({error})") from None


def _read(path: Path) -> pa.Table:
    """A file as an Arrow table, with lists and bytes as they are; text files are read as texts alone."""
    from assay.data import readers

    suffixes = {suffix.lower() for suffix in path.suffixes}
    if not path.is_file() or path.stat().st_size == 0:
        readers.read(path)  # Raises, and says what is wrong.
    try:
        if suffixes & {".parquet", ".pq"}:
            from pyarrow import parquet

            with parquet.ParquetFile(path) as file:
                return file.read()
        if suffixes & {".arrow", ".feather", ".ipc", ".arrows"}:
            return read_ipc(path)
        if suffixes & {".jsonl", ".ndjson"}:
            from pyarrow.json import read_json

            return read_json(path)
    except (OSError, pa.ArrowException):
        pass  # The reader of tables says what is wrong, or takes what Arrow does not.
    table = readers.read(path)
    if not suffixes & {".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows"}:
        table = readers.read(path, kinds=dict.fromkeys(table.names, "category"))
    return pa.table({column.name: _texts(column) for column in table})


def _texts(column: Column) -> pa.Array:
    if column.kind != "category":
        missing = column.missing
        return pa.array([None if gone else value for value, gone in zip(column.values, missing, strict=True)])
    return pa.array([None if code < 0 else column.categories[code] for code in column.values], pa.string())
