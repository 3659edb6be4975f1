"""A task's own options on the command line, read off its `load`: names, types, defaults and descriptions.

`load` is the one place where a task says what it can be asked, so `assay compare TASK --help` shows exactly
what `assay.compare(TASK, ...)` takes.
"""

import collections.abc
import dataclasses
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import docstring_parser
from tyro.conf import FlagConversionOff, OmitArgPrefixes, UseAppendAction, arg

from assay.app.command import Command, literal, pair
from assay.core.task import Task

_PLAIN = (str, int, float, bool)


@dataclasses.dataclass(kw_only=True)
class Options:
    """Options of a task; every subclass has those of one."""

    def given(self) -> dict[str, Any]:
        """What differs from the defaults, as `compare` and the task's `load` take it."""
        values = {field.name: (field, getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {
            name: field.metadata["read"](f"--{name}", value)
            for name, (field, value) in values.items()
            if name != "option" and value != field.default
        } | {
            name: literal(value)
            for name, value in (pair(text, "--option", "NAME=VALUE") for text in getattr(self, "option", ()))
        }


def with_options(command: type[Command], task: Task) -> type[Command]:
    """`command`, whose field `options` is refined to those of `task`."""
    own = options_of(task)
    taken = {field.name for field in dataclasses.fields(own)} & {
        field.name for field in dataclasses.fields(command)
    }
    assert not taken, f"{task.name}'s load and the command line both have {taken}"
    own.__doc__ = "Which data, and what is asked of them."
    hint = Annotated[OmitArgPrefixes[own], arg(name=task.name)]
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
    hints = typing.get_type_hints(task.load)
    fields: list[Any] = []
    for name, parameter in inspect.signature(task.load).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            hint = Annotated[
                UseAppendAction[tuple[str, ...]],
                arg(metavar="NAME=VALUE", help=f"One more: {_sentence(about.get(name, ''))}"),
            ]
            fields.append(("option", hint, dataclasses.field(default=())))
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "scale":
            fields.append(_field(name, hints[name], parameter.default, _sentence(about.get(name, ""))))
    return dataclasses.make_dataclass("TaskOptions", fields, bases=(Options,), kw_only=True)


def _field(name: str, hint: Any, default: Any, about: str) -> tuple[str, Any, Any]:
    """A dataclass's field for one of `load`'s parameters."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    optional = len(kinds) < len(get_args(hint)) and get_origin(hint) is not typing.Literal
    kind = kinds[0] if optional and len(kinds) == 1 else hint
    outer = get_origin(kind) or kind
    metavar, read = name.upper().replace("_", "-"), _as_it_is
    told: list[Any] = []
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
    elif kind is bool and default is None:
        kind, metavar = bool | None, "True|False"
        told.append(FlagConversionOff)
    elif kind in _PLAIN:
        metavar = "" if kind is bool else metavar
        kind = kind | None if optional else kind
    else:  # Of several types: a text that is read as a literal.
        kind, read = str | None, _literal
    hint_text = "" if default in (None, (), False) else f"(default: {default})"
    default = None if read is _literal else default
    told.append(arg(help=about, help_behavior_hint=hint_text, metavar=metavar or None))
    annotated: Any = kind
    for each in told:
        annotated = Annotated[annotated, each]
    return name, annotated, dataclasses.field(default=default, metadata={"read": read})


def _sentence(about: str) -> str:
    text = " ".join(about.split())
    return text[:1].upper() + text[1:]


def _as_it_is(option: str, value: Any) -> Any:
    return value


def _literal(option: str, text: str) -> Any:
    return literal(text)


def _mapping(option: str, texts: Sequence[str]) -> Mapping[str, Any]:
    return {name: literal(value) for name, value in (pair(text, option, "NAME=VALUE") for text in texts)}
