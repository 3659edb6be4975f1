"""Adapters that send a run's scalars to TensorBoard, Weights & Biases or MLflow, where they are installed.

They go into `Run(trackers=...)`; what the log gets they get too. One that fails is warned about and left out.
The extra `trackers` installs all three.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.core.run import Tracker


class TensorBoard:
    """Event files in a folder; needs the package tensorboard.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: str | Path) -> None:
        writer = _imported("tensorboard.summary", "tensorboard").Writer
        self._writer = writer(str(folder))

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds one point to each curve."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, float(value), step)

    def close(self) -> None:
        """Writes what is not written yet."""
        self._writer.close()


class WandB:
    """A run at Weights & Biases; needs the package wandb.

    Args:
        project: name of the project.
        options: of `wandb.init`, such as `name` or `mode="offline"`.
    """

    def __init__(self, project: str, **options: Any) -> None:
        self._run = _imported("wandb", "wandb").init(project=project, **options)
        self._run.define_metric("*", step_metric="step")  # Its own steps never go back; those of parts do.

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Sends the scalars of one step."""
        self._run.log({name: float(value) for name, value in scalars.items()} | {"step": step})

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


class MLflow:
    """A run of an MLflow experiment; needs the package mlflow-skinny, or mlflow for a database of one's own.

    Args:
        experiment: its name.
        uri: of the tracking server, or of a database such as "sqlite:///mlflow.db"; None for MLflow's
            default.
    """

    def __init__(self, experiment: str, *, uri: str | None = None) -> None:
        self._mlflow = _imported("mlflow", "mlflow-skinny")
        if uri is not None:
            self._mlflow.set_tracking_uri(uri)
        self._mlflow.set_experiment(experiment)
        self._mlflow.start_run()

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Sends the scalars of one step."""
        self._mlflow.log_metrics({name: float(value) for name, value in scalars.items()}, step=step)

    def close(self) -> None:
        """Ends the run."""
        self._mlflow.end_run()


KINDS = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
"""The trackers by the names that the command line has for them."""


def tracker(text: str) -> Tracker:
    """The tracker of "tensorboard:FOLDER", "wandb:PROJECT" or "mlflow:EXPERIMENT".

    Raises:
        ValueError: the text is none of these, or the package is not installed.
    """
    kind, _, where = text.partition(":")
    if kind not in KINDS or not where:
        raise ValueError(f"expected tensorboard:FOLDER, wandb:PROJECT or mlflow:EXPERIMENT, got {text!r}")
    return KINDS[kind](where)


def _imported(module: str, package: str) -> Any:
    """The module.

    Raises:
        ValueError: its package is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"this tracker needs the package {package}: pip install {package} ({error})"
        ) from None
