"""Pairs from a user's files.

| source | what makes a pair |
|---|---|
| a table, or a folder of Hugging Face's `datasets` | a row: see `assay.data.image_tables` |
| a folder of images with `metadata.csv` (or .jsonl, .parquet) | a row, with `file_name` |
| a folder of images with text files | `a/cat.jpg` and `a/cat.txt`, whose lines are the texts |
| .tar files, or a folder of them | files of one name but for the ending; see `assay.data.tar_shards` |

Rows of one image are one pair with several texts.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from assay.data.faults import Faults, Policy
from assay.data.image_tables import ImageTable, is_datasets_folder, metadata_file, open_image_table
from assay.data.labelled import image_files, source_of
from assay.data.pairs import TEXTS, UNSTATED, Pairs
from assay.data.pictures import MAX_PIXELS, PictureError, decode, probe
from assay.data.table import ContractError, nearest

Check = Literal["decode", "header", "none"]
Texts = str | Sequence[str] | Mapping[str, str | Sequence[str]]

TEXT_NAMES = (
    "text",
    "texts",
    "caption",
    "captions",
    "sentences",
    "sentence",
    "description",
    "alt_text",
    "alt",
)
TEXT_NAMES += ("title", "label_text", "txt")
_CHECKED_SIDE = 32  # An image is decoded this small to see that it is whole.


@dataclass
class _Item:
    """A pair as it is read: where it stands, its image, its texts by language, and the row of its columns."""

    where: str
    image: bytes | Path | None
    texts: dict[str, list[str]]
    row: int
    merged: int = 0


def read(
    source: str | PathLike[str],
    *,
    image: str | None = None,
    text: Texts | None = None,
    group: str | None = None,
    split: str | None = None,
    root: str | PathLike[str] | None = None,
    policy: Policy = "refuse",
    check: Check = "decode",
    max_pixels: int = MAX_PIXELS,
) -> Pairs:
    """The pairs at `source`.

    Args:
        source: a file or a folder, as the table above says.
        image: the column of images of a table, where its name does not tell.
        text: the column of texts, several of them, or by language the column or columns; where the names
            do not tell (`text`, `caption`, `caption_zh`, ... do). A column may hold lists of texts.
        group: the column whose equal values mean that two pairs show the same thing.
        split: the part of a folder of `datasets`.
        root: the folder to which a table's paths are relative; the table's own if not given.
        policy: "refuse" makes the first fault an error; "skip" leaves such pairs out and counts them. Faults
            are: no image, a missing, damaged or truncated one, one of too many pixels, no text, and a pair
            that is there already.
        check: "decode" sees that every image is whole, "header" reads only its first bytes, "none" trusts.
        max_pixels: the largest image, in pixels.

    Raises:
        ContractError: there is nothing to read, or something is wrong; the message names file and row.
    """
    if check not in get_args(Check):
        raise ValueError(f"expected a check of {', '.join(get_args(Check))}, got {check!r}")
    path, faults = Path(source), Faults(policy)
    if not path.exists():
        raise ContractError(f"{path}: no such file or folder")
    if path.suffix.lower() == ".tar" or (path.is_dir() and any(path.glob("*.tar"))):
        from assay.data.tar_shards import pairs_of_shards

        raw, places = pairs_of_shards(path, faults)
    elif _is_plain_folder(path):
        raw, places = _of_folder(path, faults)
    else:
        file = (metadata_file(path) if path.is_dir() else None) or path
        table = open_image_table(file, split=split, root=Path(os.path.abspath(root)) if root else None)
        raw = _of_table(table, image, text, group)
        places = [f"{table.where}, row {row + 1}" for row in range(len(raw))]
    return _checked(raw, places, path, faults, lambda item: _identity(item, check, max_pixels))


def read_gallery(source: str | PathLike[str], *, policy: Policy = "refuse") -> Pairs:
    """Pictures to look at: those of a folder without texts, each called by its path in it, or `read`'s pairs.

    Args:
        source: a file or a folder.
        policy: what becomes of a picture at fault; see `read`.

    Raises:
        ContractError: there is nothing to read, or something is wrong; the message names file and row.
    """
    path, faults = Path(source), Faults(policy)
    files = image_files(path) if _is_plain_folder(path) and not any(path.glob("*.tar")) else []
    if not files or any(file.with_suffix(".txt").is_file() for file in files):
        return read(path, policy=policy)
    raw = Pairs.of(files, [str(file.relative_to(path)) for file in files], name=str(path))
    places = [str(file) for file in files]
    return _checked(raw, places, path, faults, lambda item: _identity(item, "decode", MAX_PIXELS))


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not metadata_file(path) and not is_datasets_folder(path)


def _of_table(source: ImageTable, image: str | None, text: Texts | None, group: str | None) -> Pairs:
    """All rows as they are."""
    table = source.table
    image = source.image_column(image)
    columns = _text_columns(source, text, {image, group})
    if group is not None and group not in table.column_names:
        raise ContractError(f"{source.where}: no column {group!r}{nearest(group, table.column_names)}")
    numbers: dict[Any, int] = {}
    groups = range(len(table)) if group is None else table.column(group).to_pylist()
    content: dict[str, Any] = {
        "image": source.images(image),
        "group": pa.array([numbers.setdefault(one, len(numbers)) for one in groups], pa.int64()),
    }
    for language, names in columns.items():
        lists = [
            _cleaned(row) for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)
        ]
        content[TEXTS + language] = pa.array(lists, pa.list_(pa.string()))
    used = {image, group, *(name for names in columns.values() for name in names)}
    for name in table.column_names:
        if name not in used and name not in content:
            content[name] = table.column(name)
    return Pairs(pa.table(content), source.where, source.notes)


def _cleaned(values: Sequence[Any]) -> list[str]:
    """The texts of a row, from cells that hold a text, a list of texts, or nothing."""
    texts: list[str] = []
    for value in values:
        for text in value if isinstance(value, list) else [value]:
            if text is not None and str(text).strip():
                texts.append(str(text).strip())
    return texts


def _text_columns(source: ImageTable, text: Texts | None, taken: set[str | None]) -> dict[str, list[str]]:
    """The columns of texts by language."""
    names = [name for name in source.table.column_names if name not in taken]
    if isinstance(text, Mapping):
        columns = {one: [some] if isinstance(some, str) else list(some) for one, some in text.items()}
    elif text is not None:
        columns = {UNSTATED: [text] if isinstance(text, str) else list(text)}
    else:
        columns = _inferred(names)
        if not columns:
            raise ContractError(
                f"{source.where}: expected a column of texts, called {', '.join(TEXT_NAMES[:4])} or alike, "
                f"got {', '.join(map(repr, names)) or 'no other column'}; the option `text` names it"
            )
    for name in (name for some in columns.values() for name in some):
        if name not in source.table.column_names:
            raise ContractError(f"{source.where}: no column {name!r}{nearest(name, names)}")
        kind = source.table.schema.field(name).type
        inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
        inner = inner.value_type if pa.types.is_dictionary(inner) else inner
        if not (pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_null(inner)):
            raise ContractError(
                f"{source.where}, column {name!r}: expected texts or lists of them, got the Arrow type {kind}"
            )
    return columns


def _inferred(names: Sequence[str]) -> dict[str, list[str]]:
    """The first of the known names that is there, and the same name with a language behind it."""
    for known in TEXT_NAMES:
        pattern = re.compile(rf"{known}(?:[_.-]([a-z]{{2,3}}))?", re.IGNORECASE)
        found = {name: pattern.fullmatch(name) for name in names}
        columns = {m[1].lower() if m[1] else UNSTATED: [name] for name, m in found.items() if m}
        if columns:
            return columns
    return {}


def _of_folder(path: Path, faults: Faults) -> tuple[Pairs, list[str]]:
    """Images with a text file beside them; every line of it is a text."""
    images, texts = [], []
    for file in image_files(path):
        beside = file.with_suffix(".txt")
        if not beside.is_file():
            faults.add("no text", f"{file}: expected a text file {beside.name} beside it, got none")
            continue
        try:
            lines = beside.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            faults.add("unreadable text", f"{beside}: expected UTF-8, got another byte at {error.start}")
            continue
        if not any(line.strip() for line in lines):
            faults.add("empty text", f"{beside}: expected a text, got an empty file")
            continue
        images.append(file)
        texts.append([line.strip() for line in lines])
    faults.check_some_left(f"{path}: images with text files", len(images))
    return Pairs.of(images, texts, name=str(path)), [str(file) for file in images]


def _checked(
    raw: Pairs, places: Sequence[str], path: Path, faults: Faults, identity_of: Callable[[_Item], Any]
) -> Pairs:
    """The pairs without those at fault, and those of one image as one."""
    kept: dict[Any, _Item] = {}
    for item in _items(raw, places):
        if item.image is None:
            faults.add("no image", f"{item.where}: expected an image, got none")
            continue
        if not any(item.texts.values()):
            faults.add("empty text", f"{item.where}: expected a text, got an empty one")
            continue
        try:
            identity = identity_of(item)
        except PictureError as error:
            faults.add("an unreadable image", str(error))
            continue
        first = kept.setdefault(identity, item)
        if first is not item and not _merge(first, item):
            faults.add("a pair twice", f"{item.where}: expected another pair than that of {first.where}")
    faults.check_some_left(str(path), len(kept))
    items = list(kept.values())
    merged = sum(item.merged for item in items)
    notes = [*raw.notes, *faults.notes()]
    if merged:
        notes.append(f"{merged:,} rows show the image of an earlier row and add texts to it")
    rows = np.array([item.row for item in items])
    return Pairs(_with_texts(raw, items) if merged else raw.table, path.name, tuple(notes), rows)


def _items(raw: Pairs, places: Sequence[str]) -> Iterator[_Item]:
    images = raw.table.column("image")
    for row, where in enumerate(places):
        source = source_of(images[row])
        if isinstance(source, Path) and str(source) != where:
            where = f"{where}: {source}"
        texts = {language: list(raw.texts(row, language)) for language in raw.languages}
        yield _Item(where, source, texts, row)


def _identity(item: _Item, check: Check, max_pixels: int) -> Any:
    """What is equal for equal images: their content if it is read, or the path."""
    content = item.image
    assert content is not None
    if check == "header":
        probe(content, name=item.where, max_pixels=max_pixels)
    if check != "decode":
        return content if isinstance(content, Path) else hashlib.sha256(content).digest()
    if isinstance(content, Path):
        try:
            content = content.read_bytes()
        except OSError as error:
            raise PictureError(f"{item.where}: cannot be read: {os.strerror(error.errno or 0)}") from None
    decode(content, name=item.where, max_pixels=max_pixels, size=_CHECKED_SIDE)
    return hashlib.sha256(content).digest()


def _merge(first: _Item, item: _Item) -> bool:
    """Adds the texts of `item` to `first`; False if they are all there."""
    new = {
        language: [text for text in texts if text not in first.texts[language]]
        for language, texts in item.texts.items()
    }
    if not any(new.values()):
        return False
    for language, texts in new.items():
        first.texts[language] += texts
    first.merged += 1
    return True


def _with_texts(raw: Pairs, items: Sequence[_Item]) -> pa.Table:
    """The table with the merged texts at the rows of the items."""
    table = raw.table
    for language in raw.languages:
        name = TEXTS + language
        lists = table.column(name).to_pylist()
        for item in items:
            lists[item.row] = item.texts[language]
        table = table.set_column(table.column_names.index(name), name, pa.array(lists, pa.list_(pa.string())))
    return table
