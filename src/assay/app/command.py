"""What the subcommands share: their base class, options that several have, and how texts become values."""

import ast
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Suppress, arg

Scale = Literal["smoke", "default", "full"]
Precision = Literal["fp32", "bf16", "fp16"]
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_WORDS = {"none": None, "true": True, "false": False}


def option(metavar: str, default: str | None = None) -> Any:
    """How an option's value is called in the help text, and what it says when the option is not given."""
    hint = "" if default is None else f"(default: {default})"
    return arg(metavar=metavar, help_behavior_hint=hint)


Flag = Annotated[bool, arg(help_behavior_hint="")]
"""An option without a value; that it is not given by default goes without saying."""


@dataclass(kw_only=True)
class Errors:
    """What is shown of an error, beside one line."""

    traceback: Flag = False
    """Show where it comes from."""
    pdb: Flag = False
    """Open a debugger where it comes from, if this is a terminal."""


@dataclass(kw_only=True)
class Command:
    """A subcommand: its fields are its options, `run` does it and returns the exit status."""

    errors: OmitArgPrefixes[Errors] = field(default_factory=Errors)
    line: Suppress[str] = ""
    """What the user typed."""

    def run(self) -> int:
        """The exit status."""
        raise NotImplementedError


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """{"max_depth": 8} for ["max_depth=8"]: values are Python literals, or else strings."""
    return {name: literal(value) for name, value in (pair(text, "--set", "NAME=VALUE") for text in texts)}


def parse_method_settings(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """{"xgboost": {"max_depth": 8}} for ["xgboost.max_depth=8"].

    Raises:
        ValueError: a text has another form.
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        path, value = pair(text, "--set", "METHOD.NAME=VALUE")
        method, _, name = path.rpartition(".")
        if not method or not name:
            raise ValueError(f"--set: expected METHOD.NAME=VALUE, got {text!r}")
        settings.setdefault(method, {})[name] = literal(value)
    return settings


def parse_seconds(text: str) -> float | None:
    """Seconds in "90s", "5m" or "1h"; None for "none"."""
    from assay.core.budget import Budget

    if text.lower() == "none":
        return None
    budget = Budget.parse(text)
    if budget.unit != "seconds":
        raise ValueError(f"expected a time such as 90s, 5m, 1h, or none, got {text!r}")
    return budget.amount


def parse_bytes(text: str) -> int:
    """Bytes in "4GB", "500 MB" or "2GiB"."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _BYTES or float(match[1]) == 0:
        raise ValueError(f"expected an amount of memory such as 500MB, 4GB or 2GiB, got {text!r}")
    return int(float(match[1]) * _BYTES[match[2]])


def allow_modules(*texts: str | None) -> None:
    """Lets "module:name" name a module of the working folder; a program has only its own on the path."""
    if "" not in sys.path and any(text and ":" in text for text in texts):
        sys.path.insert(0, "")


def require_folder_of(path: Path | None, option: str) -> None:
    """Checks before the work that a file can be written after it.

    Raises:
        ValueError: there is no such folder, or the path is one.
    """
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise ValueError(f"{option} {path}: expected a file, but this is a folder")


def pair(text: str, option: str, form: str) -> tuple[str, str]:
    """What is before and behind the = of an option's value; without `--set`, the last = counts.

    Raises:
        ValueError: it has none, or nothing before it.
    """
    name, sign, value = text.partition("=") if option == "--set" else text.rpartition("=")
    if not sign or not name.strip():
        raise ValueError(f"{option}: expected {form}, got {text!r}")
    return name.strip(), value.strip()


def literal(text: str) -> Any:
    """The value of a Python literal, of none, true or false in any case, or else the text itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
