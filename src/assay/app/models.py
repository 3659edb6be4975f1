"""`assay fit` and `assay predict`: one method, fitted on all rows, and what it says about new ones."""

import contextlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, Suppress, UseAppendAction, arg

from assay.app.command import (
    Command,
    Flag,
    Precision,
    Scale,
    allow_modules,
    option,
    parse_settings,
    require_folder_of,
)
from assay.app.options import Options
from assay.core.saved import CARD, FORMAT

if TYPE_CHECKING:
    import pyarrow


@dataclass(kw_only=True)
class Fit(Command):
    """Fit one method on all rows, and save the model."""

    task: Annotated[Positional[str], arg(metavar="TASK")]
    """Name of the task."""
    method: Annotated[Positional[str], arg(metavar="METHOD")]
    """Name of the method; `assay methods` lists them."""
    data: Annotated[str | None, option("FILE|NAME", "the task's")] = None
    """A file, or the name of a default data set."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """Folder for the model; an earlier model there is replaced."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=VALUE")] = ()
    """A hyper-parameter in place of its default."""
    seed: int = 0
    """Of every random draw."""
    budget: Annotated[str | None, option("AMOUNT", "what the method asks for")] = None
    """What the fit may spend: 60s, 5m, 20epochs, 1000steps."""
    scale: Scale = "default"
    """How large: seconds, minutes, or what the machine can bear."""
    threads: int = 1
    """CPU threads."""
    device: Annotated[str, option("cpu|cuda[:INT]", "cpu")] = "cpu"
    """Where the method computes, if it can use a GPU. Under torchrun, cuda is each rank's own."""
    precision: Precision = "fp32"
    """Of a method that trains by gradients."""
    shard: Flag = False
    """Under torchrun, divide weights and optimizer states among the ranks instead of copying them."""
    checkpoints: Annotated[Path | None, option("FOLDER", "none")] = None
    """Folder for a training's log and checkpoints; the same command goes on from the last one."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    track: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="KIND:NAME")] = ()
    """Send losses to tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT."""

    options: Suppress[Options] = field(default_factory=Options)
    """Those of the task; which they are is known when the task is."""

    def run(self) -> int:
        """0."""
        from assay import __version__, catalog
        from assay.app.terminal import Waiting, say
        from assay.core.budget import Budget
        from assay.core.comparison import installed_methods, named_entrant
        from assay.core.files import atomic_folder, write_json
        from assay.core.run import Run, torchrun, within
        from assay.core.trackers import tracker

        if self.out.exists() and not _is_replaceable(self.out):
            raise ValueError(f"--out {self.out}: it exists and holds no model that `assay fit` wrote")
        allow_modules(self.data)
        task = catalog.task(self.task)
        settings = parse_settings(self.set)
        with Waiting(f"fitting {self.method}") as waiting:
            budget = Budget.parse(self.budget) if self.budget else None
            rank, world, local = torchrun()
            run = Run(
                seed=self.seed,
                budget=budget,
                scale=self.scale,
                threads=self.threads,
                device=f"cuda:{local}" if self.device == "cuda" and world > 1 else self.device,
                precision=self.precision,
                rank=rank,
                world=world,
                sharded=self.shard,
                folder=self.checkpoints,
                checkpoint_every=None if self.checkpoints is None else self.checkpoint_every,
                trackers=[tracker(text) for text in self.track] if rank == 0 else (),
                progress=waiting.progress,
            )
            with within(run):
                data = task.load(self.data, scale=self.scale, **self.options.given())
            name, external = self.method, installed_methods(task)
            chosen = named_entrant(task, data, name, name, {name: settings}, external, self.scale)
            card = {"format": FORMAT, "task": task.name, "method": self.method, "settings": settings}
            card |= {"data": data.name, "fingerprint": data.fingerprint(), "seed": self.seed}
            card |= {"assay": __version__}
            if self.checkpoints is not None and rank == 0:  # Others would look while it writes.
                around = {"scale": self.scale, "budget": self.budget, "precision": self.precision}
                _require_the_same_fit(self.checkpoints, card | around)
            run.start_clock()
            with contextlib.closing(run):
                model = task.fit(chosen.method, data, run)
            if rank != 0:
                return 0  # All ranks have the same model; one writes it.
            with atomic_folder(self.out) as folder:
                (folder / "model").mkdir()
                try:
                    saved = task.save_model(model, folder / "model")
                except Exception as error:  # Each format has errors of its own for a full disk.
                    raise RuntimeError(f"--out {self.out}: the model could not be saved: {error}") from error
                if not saved:
                    raise ValueError(f"a model of {self.method} cannot be saved")
                write_json(folder / CARD, card)
        say(f"model: {self.out}")
        return 0


@dataclass(kw_only=True)
class Predict(Command):
    """Predict new rows with a saved model."""

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """Folder that `assay fit` wrote, or of a finished trial."""
    data: Annotated[str, arg(metavar="FILE")]
    """File with the new rows; columns are matched by name, others are ignored."""
    out: Annotated[Path | None, option("FILE", "CSV on standard output")] = None
    """File for the predictions: .csv, .tsv, .parquet or .jsonl."""
    proba: Flag = False
    """Add the probability of every class."""

    def run(self) -> int:
        """0."""
        from assay.app.terminal import Waiting, say
        from assay.core.saved import load

        require_folder_of(self.out, "--out")
        write = _writer(self.out)
        with Waiting(f"predicting {self.data}"):
            model = load(self.model)
            if not callable(getattr(model, "predict", None)):
                raise ValueError(f"{self.model}: this model answers its task and says nothing of new data")
            predictions = self._predictions(model)
        write(predictions)
        if self.out is not None:
            say(f"predictions: {self.out}")
        return 0

    def _predictions(self, model: Any) -> "pyarrow.Table":
        import numpy as np
        import pyarrow

        if not self.proba:
            labels = np.asarray(model.predict(self.data))
            return pyarrow.table(self._files(len(labels)) | {"prediction": labels})
        if not callable(getattr(model, "predict_proba", None)):
            raise ValueError(f"--proba: the model in {self.model} predicts no classes")
        probabilities = np.asarray(model.predict_proba(self.data))
        columns = {f"p({label})": probabilities[:, i] for i, label in enumerate(model.classes_.tolist())}
        labels = np.asarray(model.classes_)[probabilities.argmax(axis=1)]
        return pyarrow.table(self._files(len(labels)) | {"prediction": labels, **columns})

    def _files(self, count: int) -> dict[str, list[str]]:
        """Which file each prediction is of, if the data is a folder of so many pictures."""
        from assay.data.labelled import image_files

        files = image_files(Path(self.data)) if Path(self.data).is_dir() else []
        return {"file": list(map(str, files))} if len(files) == count > 0 else {}


def _require_the_same_fit(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes the facts of a fit to a folder of checkpoints that is new, and compares them in one that is not.

    Raises:
        ValueError: the folder is another fit's, or no folder of checkpoints.
    """
    from assay.core.files import write_json

    path, wanted = folder / "fit.json", json.loads(json.dumps(facts))
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"--checkpoints {folder}: expected an empty folder or one of checkpoints")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, wanted)
        return
    kept = json.loads(path.read_text("utf-8"))
    for name, value in wanted.items():
        if kept.get(name) != value:
            raise ValueError(
                f"--checkpoints {folder}: its fit has {name} {kept.get(name)!r}, this one {value!r}; "
                "take another folder, or delete this one"
            )


def _is_replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / CARD).is_file() or not any(folder.iterdir()))


def _writer(path: Path | None) -> Any:
    """What writes a table of predictions, by the file's ending; known before the work is done.

    Raises:
        ValueError: the ending is not known.
    """
    ending = path.suffix.lower() if path is not None else ".csv"
    if ending not in (".csv", ".tsv", ".parquet", ".jsonl"):
        raise ValueError(f"--out {path}: expected a file that ends in .csv, .tsv, .parquet or .jsonl")

    def write(table: "pyarrow.Table") -> None:
        if path is None:
            _write(table, sys.stdout.buffer, ending)
            return
        from assay.core.files import write_bytes

        content = io.BytesIO()
        _write(table, content, ending)
        write_bytes(path, content.getvalue())

    return write


def _write(table: "pyarrow.Table", file: Any, ending: str) -> None:
    if ending == ".parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, file)
    elif ending == ".jsonl":
        for row in table.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")
    else:
        import pyarrow.csv

        delimiter = "\t" if ending == ".tsv" else ","
        pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(delimiter=delimiter))
