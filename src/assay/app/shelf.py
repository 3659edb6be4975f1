"""Boards that were made, kept beside their trials in `<runs>/boards/`, so that the site can show them all."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from assay.core.board import Board
from assay.core.files import write_json


@dataclass(frozen=True)
class Kept:
    """A board with the command that made it, and a name for its page."""

    name: str
    board: Board
    command: str | None


def keep(board: Board, runs: Path, command: str | None) -> Path:
    """Writes the board into `runs`, in place of an earlier one of the same comparison; returns its path."""
    content = board.to_json()
    same = ("task", "data", "seeds", "budget", "scale", "threads")
    methods = sorted((row.name, json.dumps(row.settings, sort_keys=True)) for row in board.rows)
    digest = hashlib.sha256(json.dumps([[content[key] for key in same], methods]).encode()).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9]+", "-", f"{board.task}-{board.data['name']}".lower()).strip("-")
    path = runs / "boards" / f"{stem[:60]}-{digest}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content | {"command": command})
    return path


def kept(runs: Path) -> list[Kept]:
    """The boards in `runs`, latest first.

    Raises:
        ValueError: a file there is not a board.
    """
    paths = sorted((runs / "boards").glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    found = []
    for path in paths:
        board = Board.read(path)
        found.append(Kept(path.stem, board, json.loads(path.read_text("utf-8")).get("command")))
    return found
