"""What the command line prints: tables that survive a pipe, lines on standard error."""

from typing import Any

from assay.core.waiting import Waiting, console

__all__ = ["Waiting", "console", "say", "table"]


def table(*headers: str) -> Any:
    """An empty table without lines; its first column is never wrapped."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, header in enumerate(headers):
        made.add_column(header, no_wrap=index == 0, overflow="fold")
    return made


def say(text: str) -> None:
    """A line on standard error."""
    console(stderr=True).print(text, soft_wrap=True)
