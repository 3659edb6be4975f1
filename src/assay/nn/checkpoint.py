"""Checkpoints in Hugging Face's layout: config.json beside model.safetensors, whole or not there.

The names on disk are those of the library that trained the weights; a `NameTable` says which module here each
of them belongs to, and where one matrix here is several there. Loading is strict: a tensor that is missing,
left over or of another shape is an error that lists it.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.files import write_json

_SHOWN = 8  # names of each kind in an error
_WEIGHTS = "model.safetensors"

Pair = tuple[str, str | tuple[str, ...]]
"""A module's (or a parameter's) name here, and on disk; `{}` is a number. Several names on disk are parts of
one tensor here, stacked along the first axis in that order."""


@dataclass(frozen=True)
class NameTable:
    """Names here and on disk, pair by pair; the first that fits counts."""

    pairs: tuple[Pair, ...]

    def to_disk(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under their names on disk.

        Raises:
            KeyError: the table has no name for one of them.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            for ours, theirs in self.pairs:
                match = _pattern(ours).fullmatch(name)
                if match:
                    parts = (theirs,) if isinstance(theirs, str) else theirs
                    pieces = tensor.chunk(len(parts)) if len(parts) > 1 else (tensor,)
                    found |= {_filled(part, match): piece for part, piece in zip(parts, pieces, strict=True)}
                    break
            else:
                raise KeyError(f"no name on disk for {name!r}")
        return found

    def from_disk(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under their names here; names that are in no pair are left out."""
        pieces: dict[str, dict[int, Tensor]] = {}
        for name, tensor in tensors.items():
            for ours, theirs in self.pairs:
                parts = (theirs,) if isinstance(theirs, str) else theirs
                matches = ((i, _pattern(part).fullmatch(name)) for i, part in enumerate(parts))
                fitting = [(i, match) for i, match in matches if match]
                if fitting:
                    i, match = fitting[0]
                    pieces.setdefault(_filled(ours, match), {})[i] = tensor
                    break
        return {name: _joined(found) for name, found in pieces.items()}

    def without(self, prefix: str) -> "NameTable":
        """The same table where names on disk lack `prefix`, as in a checkpoint of the backbone alone."""

        def shorter(theirs: str | tuple[str, ...]) -> str | tuple[str, ...]:
            if isinstance(theirs, str):
                return theirs.removeprefix(prefix)
            return tuple(part.removeprefix(prefix) for part in theirs)

        return NameTable(tuple((ours, shorter(theirs)) for ours, theirs in self.pairs))


def _pattern(name: str) -> re.Pattern[str]:
    """`name`, or a parameter directly below it."""
    return re.compile(re.escape(name).replace(r"\{\}", r"(\d+)") + r"(?P<leaf>(\.[a-z_]+)?)")


def _filled(name: str, match: re.Match[str]) -> str:
    return name.format(*match.groups()[: name.count("{}")]) + match["leaf"]


def _joined(pieces: Mapping[int, Tensor]) -> Tensor:
    return pieces[0] if list(pieces) == [0] else torch.cat([pieces[i] for i in sorted(pieces)])


def write_checkpoint(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes config.json and model.safetensors into `folder`, which is created if need be."""
    write_tensors(folder, tensors)
    write_json(folder / "config.json", dict(config))


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], *, name: str = _WEIGHTS) -> None:
    """Writes a file of tensors into `folder`, which is created if need be; whole or not at all."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    # A copy of each: parts of one tensor share memory, which the format refuses.
    copies = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
    scratch = folder / f".{name}-{os.getpid()}"
    try:
        save_file(copies, scratch, metadata={"format": "pt"})
        os.replace(scratch, folder / name)
    finally:
        scratch.unlink(missing_ok=True)


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says.

    Raises:
        ValueError: there is no such file, or it is not a JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a model's configuration, got {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(config).__name__}")
    return config


def read_tensors(folder: Path, *, name: str = _WEIGHTS) -> dict[str, Tensor]:
    """All tensors of the file `name`, or of its shards, by their names on disk.

    Raises:
        ValueError: there are none, or a file is damaged. A pickle (pytorch_model.bin) is never read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    index = folder / f"{name}.index.json"
    names = [name]
    if not (folder / name).exists() and index.exists():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    tensors: dict[str, Tensor] = {}
    for part in names:
        path = folder / part
        if Path(part).name != part or not path.exists():
            others = [p.name for p in folder.glob("*.bin")] if folder.is_dir() else []
            why = f"; {', '.join(others)} is a pickle, which is not read" if others else ""
            raise ValueError(f"{folder}: expected the file {part}{why}")
        try:
            tensors |= load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: expected tensors in the safetensors format ({error})") from None
    return tensors


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    tables: Sequence[NameTable],
    *,
    where: str,
    ignorable: Iterable[str] = (),
) -> None:
    """Gives `module` the tensors of a checkpoint, in the dtype of the checkpoint.

    Args:
        module: filled in place.
        tensors: by their names on disk.
        tables: the layouts that the checkpoint may have; the one that shares most names with it is taken.
        where: what to call the checkpoint in an error.
        ignorable: ends of names that may be missing or left over, such as recomputed buffers.

    Raises:
        ValueError: names are missing, left over, or of another shape; the message lists them.
    """
    state = module.state_dict()
    wanted = [table.to_disk(state) for table in tables]
    best = max(range(len(tables)), key=lambda i: len(wanted[i].keys() & tensors.keys()))
    expected, skip = wanted[best], tuple(ignorable)
    complaints = {
        "missing": [n for n in expected if n not in tensors and not n.endswith(skip)],
        "unexpected": [n for n in tensors if n not in expected and not n.endswith(skip)],
        "of another shape": [
            f"{n} {list(tensors[n].shape)} for {list(t.shape)}"
            for n, t in expected.items()
            if n in tensors and tensors[n].shape != t.shape
        ],
    }
    told = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in complaints.items() if names]
    if told:
        raise ValueError(f"{where}: the tensors are not those of this model; {'; '.join(told)}")
    dtypes = {t.dtype for n, t in tensors.items() if n in expected and t.is_floating_point()}
    if len(dtypes) == 1:
        module.to(dtypes.pop())
    known = tables[best].from_disk({n: t for n, t in tensors.items() if n in expected})
    module.load_state_dict(known, strict=False)  # What may be missing was judged above.


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def config_to_json(
    config: Any, *, family: str, model_type: str, dtype: torch.dtype, classes: Sequence[str] | None = None
) -> dict[str, Any]:
    """What config.json says of a classifier, or of a backbone if the configuration has no classes.

    Args:
        config: a dataclass with a field `num_classes` and else the format's names.
        family: of transformers' classes, such as "ViT".
        model_type: by which transformers finds them.
        dtype: of the weights.
        classes: the names of the classes; None for LABEL_0 and so on.

    Raises:
        ValueError: there are not as many names as classes.
    """
    written: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()
    }
    count = written.pop("num_classes")
    kind = "ForImageClassification" if count else "Model"
    written["architectures"] = [f"{family}{kind}"]
    written["model_type"] = model_type
    written["dtype"] = str(dtype).removeprefix("torch.")
    if count:
        names = [f"LABEL_{i}" for i in range(count)] if classes is None else list(classes)
        if len(names) != count:
            raise ValueError(f"expected {count} names of classes, got {len(names)}")
        written["id2label"] = {str(i): name for i, name in enumerate(names)}
        written["label2id"] = {name: i for i, name in enumerate(names)}
    return written


def config_from_json(written: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """The fields of the dataclass `cls` that config.json gives, and `num_classes`.

    A file without names of labels has two classes, as the format defines; a backbone has none.
    """
    found = {f.name: written[f.name] for f in fields(cls) if f.name in written}
    backbone = any(name.endswith("Model") for name in written.get("architectures") or ())
    labels = len(written["id2label"]) if "id2label" in written else int(written.get("num_labels", 2))
    return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()} | {
        "num_classes": 0 if backbone else labels
    }


def class_names(written: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in their order; none where config.json has none."""
    names = written.get("id2label", {})
    return tuple(names[number] for number in sorted(names, key=int))
