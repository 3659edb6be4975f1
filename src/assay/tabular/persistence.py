"""Fitted estimators as folders: a JSON file, a safetensors file of arrays, one for each ensemble of trees.

Nothing in such a folder is executed: the only classes that loading builds are assay's own estimators.
The folder appears whole or not at all.
"""

import dataclasses
import importlib
import json
import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assay.core.files import atomic_folder
from assay.data.table import Schema
from assay.tabular.ensemble import Ensemble
from assay.tabular.estimator import Estimator

FORMAT = "assay-estimator"
VERSION = 1
Found = TypeVar("Found", bound=Estimator)


def save(estimator: Estimator, folder: Path) -> None:
    """Writes `estimator` to `folder`; what is there is replaced when all of it is written.

    Raises:
        TypeError: it holds an object that is not assay's, named in the message.
    """
    from safetensors.numpy import save_file

    with atomic_folder(folder) as scratch:
        writer = _Writer(scratch)
        written = writer.encode(estimator, type(estimator).__name__)
        save_file(writer.arrays, scratch / "arrays.safetensors")
        record = {"format": FORMAT, "version": VERSION, "estimator": written}
        (scratch / "estimator.json").write_text(json.dumps(record, allow_nan=False), encoding="utf-8")


def load(folder: Path, cls: type[Found]) -> Found:
    """Returns the estimator saved in `folder`.

    Args:
        folder: as written by `save`.
        cls: the class that is expected, or one it derives from.

    Raises:
        ValueError: the folder is missing, foreign, damaged, or holds another class.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        record = json.loads((folder / "estimator.json").read_text(encoding="utf-8"))
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ValueError("estimator.json does not describe one")
        if record.get("version") != VERSION:
            raise ValueError(f"expected version {VERSION}, got {record.get('version')}")
        found = _Reader(folder, load_file(folder / "arrays.safetensors"), cls).decode(record["estimator"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ValueError(f"{folder} is not a whole saved estimator: {error}") from error
    if not isinstance(found, cls):
        raise ValueError(f"{folder} holds a {type(found).__name__}, expected a {cls.__name__}")
    return found


class _Writer:
    """Turns values into JSON, collecting arrays and writing ensembles beside it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.arrays: dict[str, np.ndarray] = {}
        self.ensembles = 0

    def encode(self, value: Any, where: str) -> Any:
        """Returns JSON for `value`; `where` names it in errors."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, np.ndarray):
            return self._encode_array(value, where)
        if isinstance(value, Schema):
            return {"schema": value.to_json()}
        if isinstance(value, Ensemble):
            name = f"ensemble-{self.ensembles}.safetensors"
            self.ensembles += 1
            value.save(self.folder / name)
            return {"ensemble": name}
        if isinstance(value, Estimator):
            return self._encode_estimator(value, where)
        if isinstance(value, (list, tuple)):
            items = [self.encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, dict):
            pairs = [[self.encode(k, where), self.encode(v, f"{where}[{k!r}]")] for k, v in value.items()]
            return {"dict": pairs}
        raise TypeError(f"{where} is a {type(value).__name__}, which cannot be saved without pickle")

    def _encode_array(self, array: np.ndarray, where: str) -> Any:
        if array.dtype.kind in "biuf":
            key = str(len(self.arrays))
            self.arrays[key] = np.ascontiguousarray(array)
            return {"array": key}
        items = [self.encode(item, where) for item in array.ravel().tolist()]
        return {"items": items, "dtype": array.dtype.str, "shape": list(array.shape)}

    def _encode_estimator(self, estimator: Estimator, where: str) -> Any:
        parameters = {}
        for field in dataclasses.fields(estimator):  # type: ignore[arg-type]
            value = getattr(estimator, field.name)
            if isinstance(value, (np.random.Generator, np.random.RandomState)):
                value = None  # Its state has moved on with the fit: it could not repeat it.
            parameters[field.name] = self.encode(value, f"{where}.{field.name}")
        learned = {name: value for name, value in vars(estimator).items() if name not in parameters}
        state = {name: self.encode(value, f"{where}.{name}") for name, value in learned.items()}
        return {"class": _path(type(estimator)), "parameters": parameters, "state": state}


class _Reader:
    """Builds the values back."""

    def __init__(self, folder: Path, arrays: dict[str, np.ndarray], cls: type[Estimator]):
        self.folder, self.arrays, self.cls = folder, arrays, cls

    def decode(self, written: Any) -> Any:
        """Returns the value that was encoded as `written`."""
        if isinstance(written, list):
            return [self.decode(item) for item in written]
        if not isinstance(written, dict):
            return written
        if "class" in written:
            return self._decode_estimator(written)
        if "items" in written:
            items = [self.decode(item) for item in written["items"]]
            array = np.empty(len(items), dtype=written["dtype"])
            array[:] = items
            return array.reshape(written["shape"])
        (kind, content), *rest = written.items()
        if rest:
            raise ValueError(f"unknown entry {sorted(written)}")
        if kind == "float":
            return float(content)
        if kind == "array":
            return self.arrays[content]
        if kind == "schema":
            return Schema.from_json(content)
        if kind == "ensemble":
            return Ensemble.load(self.folder / Path(content).name)
        if kind == "tuple":
            return tuple(self.decode(item) for item in content)
        if kind == "dict":
            return {self.decode(key): self.decode(value) for key, value in content}
        raise ValueError(f"unknown entry {kind!r}")

    def _decode_estimator(self, written: dict[str, Any]) -> Estimator:
        cls = self._class(written["class"])
        estimator = cls(**{name: self.decode(value) for name, value in written["parameters"].items()})
        for name, value in written["state"].items():
            setattr(estimator, name, self.decode(value))
        return estimator

    def _class(self, path: str) -> type[Estimator]:
        if path == _path(self.cls):
            return self.cls
        module, _, name = path.partition(":")
        if not module.startswith("assay.tabular."):
            raise ValueError(f"{path} is not one of assay's estimators")
        found = getattr(importlib.import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, Estimator)):
            raise ValueError(f"{path} is not an estimator")
        return found


def _path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
