"""`assay report`: the site, an index of every task, method, claim and board, and a page for each board."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from assay.app.command import Command, option

if TYPE_CHECKING:
    from assay.app.shelf import Kept
    from assay.core.claim import Record
    from assay.core.task import Task


@dataclass(kw_only=True)
class Report(Command):
    """Write the site: every task, method, claim and board."""

    out: Annotated[Path, option("FOLDER", "report")] = Path("report")
    """Folder for the pages."""
    runs: Annotated[Path, option("FOLDER", "runs")] = Path("runs")
    """Folder of finished trials; the boards of its comparisons are shown."""
    records: Annotated[Path, option("FOLDER", "claims/records")] = Path("claims/records")
    """Folder of the records of claims."""

    def run(self) -> int:
        """0."""
        from assay import catalog
        from assay.app.shelf import kept
        from assay.app.terminal import Waiting, say
        from assay.core.claim import Record

        with Waiting("writing the site"):
            records = [Record.read(path) for path in sorted(self.records.rglob("*.json"))]
            tasks = [catalog.task(name) for name in catalog.TASKS]
            write_site(self.out, tasks, kept(self.runs), records)
        say(f"site: {self.out / 'index.html'}")
        return 0


def write_site(
    folder: Path, tasks: "Sequence[Task]", boards: "Sequence[Kept]", records: "Sequence[Record]"
) -> None:
    """Writes the site into `folder`: index.html, boards/<name>.html, and plotly.js once for all of them.

    Other files in the folder stay as they are.
    """
    from markupsafe import Markup

    from assay.app.cards import cards
    from assay.app.claim import measured
    from assay.app.report import board_page, plotly_source, templates
    from assay.core.files import write_text

    (folder / "boards").mkdir(parents=True, exist_ok=True)
    write_text(folder / "plotly.min.js", plotly_source())
    script = Markup('<script src="../plotly.min.js"></script>')
    for entry in boards:
        page = board_page(entry.board, command=entry.command, plotly=script, home="../index.html")
        write_text(folder / "boards" / f"{entry.name}.html", page)
    index = (
        templates()
        .get_template("index.html")
        .render(
            tasks=tasks,
            methods={task.name: list(cards(task)) for task in tasks},
            boards=boards,
            records=records,
            measured=measured,
        )
    )
    write_text(folder / "index.html", index)
