"""`assay tasks`, `assay methods` and `assay data`: what there is."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from assay.app.command import Command, option

if TYPE_CHECKING:
    from rich.table import Table as Lines

    from assay.data.picture_sets import PictureSet


@dataclass(kw_only=True)
class Tasks(Command):
    """List the tasks: the questions that methods are compared on."""

    def run(self) -> int:
        """0."""
        from assay import catalog
        from assay.app.terminal import console, table

        rows = table("task", "question", "methods", "default data")
        for name in catalog.TASKS:
            task = catalog.task(name)
            count = f"{len(task.methods)}" + (f" + {len(task.peers)} peers" if task.peers else "")
            rows.add_row(name, task.question, count, task.default_data)
        console().print(rows)
        return 0


@dataclass(kw_only=True)
class Methods(Command):
    """List the methods that answer a task, with their papers, and whether they are installed."""

    task: Annotated[Positional[str | None], option("[TASK]", "all")] = None
    """Name of the task."""

    def run(self) -> int:
        """0."""
        from assay import catalog
        from assay.app.cards import cards
        from assay.app.terminal import console, table

        names = [self.task] if self.task is not None else list(catalog.TASKS)
        for name in names:
            rows = table("method", "what it is", "paper", "installed")
            for card in cards(catalog.task(name)):
                here = f"needs {card.missing}" if card.missing else "yes"
                rows.add_row(card.name, card.what, card.paper, f"peer, {here}" if card.peer else here)
            out = console()
            if len(names) > 1:
                out.print(name, style="bold")
            out.print(rows)
        return 0


@dataclass(kw_only=True)
class Data(Command):
    """List the default data sets; or show what is understood of one, or of a file."""

    source: Annotated[Positional[str | None], option("[NAME|FILE]", "list the data sets")] = None
    """A default data set or a file."""

    def run(self) -> int:
        """0."""
        return self._list() if self.source is None else self._show(self.source)

    def _list(self) -> int:
        from assay.app.terminal import console, table
        from assay.data.datasets import DATASETS
        from assay.data.picture_sets import PICTURE_SETS

        rows = table("data set", "what it is", "rows", "target", "licence", "source")
        for name, entry in DATASETS.items():
            rows.add_row(name, entry.about, f"{entry.rows:,}", entry.target, entry.licence, entry.source)
        console().print(rows, _pictures(PICTURE_SETS.values()))
        return 0

    def _show(self, source: str) -> int:
        from assay.app.terminal import Waiting, console, table
        from assay.data.datasets import DATASETS
        from assay.data.picture_sets import PICTURE_SETS
        from assay.data.table import Table

        if source in PICTURE_SETS:
            console().print(_pictures([PICTURE_SETS[source]]))
            return 0
        if source not in DATASETS and not Path(source).exists():
            known = ", ".join([*DATASETS, *PICTURE_SETS])
            raise ValueError(f"there is no file and no data set {source!r}; the data sets are {known}")
        with Waiting(f"reading {source}"):
            read = DATASETS[source].load() if source in DATASETS else Table.of(source)
            columns = read.describe()
        rows = table("column", "kind", "missing", "distinct", "values", "note")
        for index in (2, 3):
            rows.columns[index].justify = "right"
        for column in columns:
            counts = f"{column.missing:,}", f"{column.distinct:,}"
            rows.add_row(column.name, column.kind, *counts, column.values, column.note)
        out = console()
        out.print(f"{read.name}: {read.num_rows:,} rows, {len(columns)} columns", style="bold")
        out.print(rows)
        return 0


def _pictures(sets: "Iterable[PictureSet]") -> "Lines":
    """A table of sets of pictures, each with the packages it comes from."""
    from assay.app.terminal import table

    rows = table("pictures", "what they are", "images", "target", "licence", "source")
    for entry in sets:
        for one in (entry, *entry.parts):
            rows.add_row(one.name, one.about, f"{one.images:,}", one.target, one.licence, one.source)
    return rows
