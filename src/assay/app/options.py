"""A task's own options on the command line, read off its `load`: names, types, defaults and descriptions.

`load` is the one place where a task says what it can be asked, so `assay compare TASK --help` shows exactly
what `assay.compare(TASK, ...)` takes.
"""

import collections.abc
import dataclasses
import inspect
import typing
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

import docstring_parser
from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from assay.app.command import Command, literal, pair
from assay.core.task import Task

_PLAIN = (str, int, float, bool)


@dataclasses.dataclass(kw_only=True)
class Options:
    """Options of a task; every subclass has those of one."""

    def given(self) -> dict[str, Any]:
        """What differs from the defaults, as `compare` and the task's `load` take it."""
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                found |= field.metadata["read"](field.name, value)
        return found


def with_options(command: type[Command], task: Task) -> type[Command]:
    """`command`, whose field `options` is refined to those of `task`."""
    own = options_of(task)
    taken = {field.name for field in dataclasses.fields(own)} & {
        field.name for field in dataclasses.fields(command)
    }
    taken -= {"task"}  # The command's is a word by its place, and leaves --task free.
    assert not taken, f"{task.name}'s load and the command line both have {taken}"
    hint = Annotated[OmitArgPrefixes[own], arg(name=task.name, help="Which data, and what is asked of them.")]
    field = ("options", hint, dataclasses.field(default_factory=own))
    refined = dataclasses.make_dataclass(command.__name__, [field], bases=(command,), kw_only=True)
    refined.__doc__ = command.__doc__
    return refined


def options_of(task: Task) -> type[Options]:
    """A dataclass with one field for each of the options that `task.load` has beside source and scale."""
    about = {
        p.arg_name: p.description or ""
        for p in docstring_parser.parse(inspect.getdoc(task.load) or "").params
    }
    fields: list[Any] = []
    for name, parameter in inspect.signature(task.load).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            hint = Annotated[
                UseAppendAction[tuple[str, ...]],
                arg(metavar="NAME=VALUE", help=f"One more: {_sentence(about.get(name, ''))}"),
            ]
            fields.append(("option", hint, dataclasses.field(default=(), metadata={"read": _further})))
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "scale":
            fields += _fields(name, parameter.annotation, parameter.default, _sentence(about.get(name, "")))
    return dataclasses.make_dataclass("TaskOptions", fields, bases=(Options,), kw_only=True)


def _fields(name: str, hint: Any, default: Any, about: str) -> list[tuple[str, Any, Any]]:
    """The fields of a dataclass for one of `load`'s parameters: one, or two for a choice left to the data."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    optional = len(kinds) < len(get_args(hint)) and get_origin(hint) is not typing.Literal
    kind = kinds[0] if optional and len(kinds) == 1 else hint
    outer = get_origin(kind) or kind
    metavar, read = name.upper().replace("_", "-"), _as_it_is
    if kind is bool:  # A flag; without a default, one more that says no.
        fields = [_named(name, bool, False, "", _as_it_is, about)]
        return fields + ([_named(f"no_{name}", bool, False, "", _no, "Not so.")] if default is None else [])
    if outer in (collections.abc.Mapping, dict):
        kind, default, metavar, read = tuple[str, ...], (), "NAME=VALUE ...", _mapping
    elif outer in (collections.abc.Sequence, list, tuple):
        element = next(iter(get_args(kind)), str)
        metavar = f"{metavar} ..."
        kind = tuple[element, ...] if element in _PLAIN else tuple[str, ...]  # type: ignore[valid-type]
        default = () if default is None else tuple(default)
    elif outer is typing.Literal:
        metavar = "|".join(map(str, get_args(kind)))
        kind = kind | None if default is None else kind
    elif kind in _PLAIN:
        kind = kind | None if optional else kind
    else:  # Of several types: a text that is read as a literal.
        kind, default, read = str | None, None, _literal
    return [_named(name, kind, default, metavar, read, about)]


def _named(name: str, kind: Any, default: Any, metavar: str, read: Any, about: str) -> tuple[str, Any, Any]:
    """Name, annotated type and default of a field, whose value `read` turns into what `load` takes."""
    hint = "" if default in (None, (), False) else f"(default: {default})"
    annotated = Annotated[kind, arg(help=about, help_behavior_hint=hint, metavar=metavar or None)]
    return name, annotated, dataclasses.field(default=default, metadata={"read": read})


def _sentence(about: str) -> str:
    text = " ".join(about.split())
    return text[:1].upper() + text[1:]


def _as_it_is(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def _no(name: str, value: bool) -> dict[str, Any]:
    return {name.removeprefix("no_"): False}


def _literal(name: str, text: str) -> dict[str, Any]:
    return {name: literal(text)}


def _mapping(name: str, texts: Sequence[str]) -> dict[str, Any]:
    return {name: {key: literal(value) for key, value in (pair(t, f"--{name}", "NAME=VALUE") for t in texts)}}


def _further(name: str, texts: Sequence[str]) -> dict[str, Any]:
    return {key: literal(value) for key, value in (pair(text, f"--{name}", "NAME=VALUE") for text in texts)}
