"""`assay compare`: a comparison from the command line."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, Suppress, UseAppendAction, arg

from assay.app.command import (
    Command,
    Flag,
    Precision,
    Scale,
    allow_modules,
    option,
    parse_bytes,
    parse_method_settings,
    parse_seconds,
    require_folder_of,
)
from assay.app.options import Options


@dataclass(kw_only=True)
class Compare(Command):
    """Compare methods on the same data, with the same budget and paired seeds."""

    task: Annotated[Positional[str], arg(metavar="TASK")]
    """Name of the task; `assay tasks` lists them."""
    data: Annotated[str | None, option("FILE|NAME", "the task's")] = None
    """A file, or the name of a default data set."""
    methods: Annotated[str | None, option("NAME,...", "all")] = None
    """Names of methods, separated by commas."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="METHOD.NAME=VALUE")] = ()
    """A hyper-parameter in place of its default."""
    with_: Annotated[UseAppendAction[tuple[str, ...]], arg(name="with", metavar="MODULE:CLASS")] = ()
    """A method of your own, which joins the others."""
    peers: Flag = False
    """Add the installed peers."""
    seeds: int = 5
    """How many paired seeds."""
    budget: Annotated[str | None, option("AMOUNT", "what each asks for")] = None
    """The same for every method: 60s, 5m, 20epochs, 1000steps."""
    scale: Scale = "default"
    """How large: seconds, minutes, or what the machine can bear."""
    threads: int = 1
    """CPU threads of each fit."""
    device: Annotated[str, option("cpu|cuda[:INT]", "cpu")] = "cpu"
    """Where methods that can use a GPU compute."""
    precision: Precision = "fp32"
    """Of methods that train by gradients."""
    jobs: Annotated[int | None, option("INT", "as many as there are cores for, one on a GPU")] = None
    """Trials at the same time."""
    on: Annotated[Literal["ray"] | None, option("ray")] = None
    """Run the trials on a Ray cluster."""
    time_limit: Annotated[str, option("TIME", "1h")] = "1h"
    """Time after which a trial is killed, or none."""
    memory_limit: Annotated[str | None, option("BYTES", "this machine's, divided among the jobs")] = None
    """Memory after which a trial is killed, such as 4GB."""
    runs: Annotated[Path, option("FOLDER", "runs")] = Path("runs")
    """Folder of finished trials; what is there is not run again."""
    json: Annotated[Path | None, option("FILE")] = None
    """Write the board as JSON."""
    html: Annotated[Path | None, option("FILE")] = None
    """Write the board as a page that needs no network."""

    options: Suppress[Options] = field(default_factory=Options)
    """Those of the task; which they are is known when the task is."""

    def run(self) -> int:
        """0 if any method finished, 1 if none did."""
        from assay.app.shelf import keep
        from assay.app.terminal import Waiting, console, say
        from assay.core.comparison import compare

        allow_modules(self.data, *self.with_)
        require_folder_of(self.json, "--json")
        require_folder_of(self.html, "--html")
        if self.threads < 1 or (self.jobs is not None and self.jobs < 1):
            raise ValueError("--threads and --jobs must be at least 1")
        try:
            board = compare(
                self.task,
                self.data,
                methods=self._methods(),
                settings=parse_method_settings(self.set),
                seeds=self.seeds,
                budget=self.budget,
                peers=self.peers,
                jobs=self.jobs,
                on=self.on,
                runs=self.runs,
                scale=self.scale,
                threads=self.threads,
                device=self.device,
                precision=self.precision,
                time_limit=parse_seconds(self.time_limit),
                memory_limit=parse_bytes(self.memory_limit) if self.memory_limit else None,
                **self.options.given(),
            )
        except TypeError as error:
            if not self.with_:
                raise
            raise ValueError(f"--with: {error}") from error
        console().print(board)
        for row in board.rows:
            if self.errors.traceback and row.traceback:
                say(f"{row.name}:\n{row.traceback.rstrip()}")
        with Waiting(f"{board.task}: drawing the board"):
            keep(board, self.runs, self.line)
            if self.json is not None:
                board.write(self.json)
            if self.html is not None:
                from assay.app.report import write_board

                write_board(board, self.html, command=self.line)
        if self.html is not None:
            say(f"report: {self.html}")
        return 0 if any(row.status == "ok" for row in board.rows) else 1

    def _methods(self) -> list[Any] | None:
        """Names and the user's own classes; None for all of the task's."""
        from assay import catalog
        from assay.core.comparison import installed_methods
        from assay.core.method import locate

        names = None
        if self.methods is not None:
            names = [name.strip() for name in self.methods.split(",") if name.strip()]
        if not self.with_:
            return names
        if names is None:
            task = catalog.task(self.task)
            names = [*task.methods, *installed_methods(task)]
        return [*names, *(locate(path) for path in self.with_)]
