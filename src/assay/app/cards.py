"""What a method is, and which papers it comes from: read from its source, without importing it."""

import ast
import functools
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core.comparison import installed_methods
from assay.core.task import Task

_SECTIONS = ("Implements:", "Departs:", "Omits:", "Verified:")


@dataclass(frozen=True)
class Card:
    """One method: its name, what it is, its papers, whether it is a peer, and which package it lacks."""

    name: str
    what: str
    paper: str
    peer: bool
    missing: str | None


def cards(task: Task) -> Iterator[Card]:
    """The methods of a task, then those that installed packages add, then its peers."""
    for name, method in task.methods.items():
        yield _card(name, _docstring(method, of_module=True), False, task.available(name))
    for name, method in installed_methods(task).items():
        yield _card(name, _docstring(method), False, None)
    for name, method in task.peers.items():
        yield _card(name, _docstring(method), True, task.available(name))


def _card(name: str, docstring: str, peer: bool, missing: str | None) -> Card:
    what = " ".join(docstring.partition("\n\n")[0].split())
    return Card(name, what, reference(docstring), peer, missing)


def reference(docstring: str) -> str:
    """The papers named under "Reference:", in one line; empty if there is no such block."""
    _, _, block = docstring.partition("Reference:\n")
    lines = []
    for line in map(str.strip, block.splitlines()):
        if not line or line.startswith(_SECTIONS):
            break
        lines.append(line)
    return " ".join(lines)


@functools.cache
def _source(module: str) -> ast.Module | None:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return None
    return ast.parse(Path(found.origin).read_text("utf-8"))


def _docstring(method: Any, *, of_module: bool = False) -> str:
    """Of a class, or of what "package.module:Name" names: the module, or the first class that begins so.

    A task may add an ending to the name. One file holds one method, but all peers; where one holds several
    methods, each class says which module has its mathematics: "See `assay.images.vit`.".
    """
    if not isinstance(method, str):
        return inspect.getdoc(method) or ""
    module, _, name = method.partition(":")
    tree = _source(module)
    if tree is None:
        return ""
    told = ast.get_docstring(tree) or ""
    if of_module and reference(told):
        return told
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith(name):
            of_class = ast.get_docstring(node) or ""
            elsewhere = re.search(r"\bSee `([\w.]+)`", of_class) if of_module else None
            return _docstring(elsewhere[1], of_module=True) if elsewhere else of_class
        if isinstance(node, ast.ImportFrom) and any(alias.name.startswith(name) for alias in node.names):
            return _docstring(f"{node.module}:{name}")
    return told
