"""Methods as data: an object's hyper-parameters read, written as JSON, and built again.

A method is any object with `fit` whose hyper-parameters are the fields of a dataclass, scikit-learn's
`get_params`, or else its attributes. Its *spec* names the class and the parameters, so that another process
can build the same method. An object without a spec (a class defined in a script or a notebook or without
`get_params`, a parameter that is a function) is compared all the same: it is *live*, and reaches its trial by
fork.
"""

import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

Json = Any


def settings(method: Any) -> dict[str, Any]:
    """The hyper-parameters of `method` by name, as the object holds them.

    Raises:
        TypeError: `method` has no `fit`, and is neither a dataclass instance nor has `get_params`.
    """
    if not isinstance(method, type):
        if callable(getattr(method, "get_params", None)):
            return dict(method.get_params(deep=False))
        if dataclasses.is_dataclass(method):
            return {f.name: getattr(method, f.name) for f in dataclasses.fields(method) if f.init}
        if callable(getattr(method, "fit", None)):
            return {name: value for name, value in vars(method).items() if not name.startswith("_")}
    raise TypeError(f"expected an object with fit(...) as a method, got {method!r}")


def spec(method: Any) -> str | None:
    """The JSON text from which `build` makes an equal method, or None when there is none (a live method)."""
    try:
        return json.dumps(_encode(method), sort_keys=True)
    except TypeError:
        return None


def build(written: str) -> Any:
    """The method that `spec` wrote."""
    return _decode(json.loads(written))


def locate(path: str) -> Any:
    """The object that "package.module:Name" names.

    Raises:
        ValueError: the text has no colon, there is no such module, or the module has no such name.
    """
    module_name, _, qualname = path.partition(":")
    if not qualname:
        raise ValueError(f"expected package.module:Name, got {path!r}")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ValueError(f"{path!r}: there is no module {error.name!r} on the import path") from None
        raise
    for part in qualname.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{path!r}: module {module_name!r} has no {qualname!r}")
        found = getattr(found, part)
    return found


def location(thing: Any) -> str | None:
    """The "package.module:Name" where a fresh process finds the module-level object `thing`, or None."""
    module_name = thing.__module__ if isinstance(thing, type) else type(thing).__module__
    module = sys.modules.get(module_name)
    if module is None or module_name == "__main__":
        return None
    for name, value in vars(module).items():
        if value is thing:
            return f"{module_name}:{name}"
    return None


def identity(method: Any) -> str:
    """A digest of the code of `method` and of the estimators inside it, and of the settings of a live one.

    A finished trial is reused only while this stays the same: assay's own sources, the version of an
    installed package, or the bytes of the user's module.
    """
    parts = sorted(_origins(method))
    if spec(method) is None:  # Nothing else tells one live method from another of the same class.
        parts.append(_content(method))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _origins(value: Any) -> set[str]:
    if isinstance(value, (list, tuple)):
        return set().union(*map(_origins, value))
    if isinstance(value, Mapping):
        return set().union(*map(_origins, value.values()))
    if not _is_method(value) and (isinstance(value, type) or not callable(getattr(value, "fit", None))):
        return set()
    origins = {_origin(type(value))} | set().union(*map(_origins, settings(value).values()))
    for library in getattr(type(value), "libraries", ()):  # What a peer's wrapper calls.
        origins.add(f"{library} {importlib.metadata.version(library)}")
    return origins


def _origin(cls: type) -> str:
    package = cls.__module__.partition(".")[0]
    if package == "assay":
        return f"assay {_assay_sources()}"
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    distributions = _distributions().get(package)
    if distributions and not (file and Path(file).is_relative_to(Path.cwd())):
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(distributions)))
    if file and Path(file).is_file():
        return f"{cls.__qualname__} {hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
    try:
        return f"{cls.__qualname__} {inspect.getsource(cls)}"
    except (OSError, TypeError):  # Typed at a prompt: nothing to compare with, so never reused.
        return f"{cls.__qualname__} {id(cls)}"


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.cache
def _assay_sources() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".c") and "app" not in path.relative_to(root).parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _content(value: Any) -> str:
    """A text that is the same for equal settings; for what cannot be compared, one that never comes again."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(_content, value))})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_content(key)}: {_content(item)}' for key, item in value.items())}}}"
    if isinstance(value, FunctionType) and not value.__closure__:
        inside = (value.__code__, value.__defaults__, value.__kwdefaults__)
        return f"{value.__module__}:{value.__qualname__} {', '.join(map(_content, inside))}"
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()} {value.co_names} {_content(value.co_consts)}"
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    try:
        return json.dumps(_encode(value), sort_keys=True)
    except TypeError:
        pass
    try:
        return f"{_content(type(value))} {_content(settings(value))}"
    except TypeError:
        return secrets.token_hex()


def _is_method(value: Any) -> bool:
    return not isinstance(value, type) and (
        dataclasses.is_dataclass(value) or callable(getattr(value, "get_params", None))
    )


def _encode(value: Any) -> Json:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # A NumPy scalar.
        return _encode(value.item())
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item) for key, item in value.items()}}
    if _is_method(value):
        cls = type(value)
        path = location(cls)
        if path is None:
            raise TypeError(f"{cls.__qualname__} cannot be imported elsewhere")
        return {"class": path, "settings": {name: _encode(item) for name, item in settings(value).items()}}
    raise TypeError(f"no JSON for {value!r}")


def _decode(written: Json) -> Any:
    if isinstance(written, list):
        return [_decode(item) for item in written]
    if isinstance(written, dict):
        if "class" in written:
            return locate(written["class"])(**{k: _decode(v) for k, v in written["settings"].items()})
        if "tuple" in written:
            return tuple(_decode(item) for item in written["tuple"])
        return {key: _decode(item) for key, item in written["dict"].items()}
    return written
