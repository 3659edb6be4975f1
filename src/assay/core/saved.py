"""Saved models: the folder that `assay fit` or a trial wrote, opened again."""

import json
from pathlib import Path
from typing import Any

from assay import catalog

CARD = "assay.json"  # Beside the folder of the model: which task and method it is of, and how it was fitted.
FORMAT = "assay-model"


def load(folder: str | Path, /) -> Any:
    """The fitted model in a folder that `assay fit` wrote, or in that of a finished trial.

    Args:
        folder: with `assay.json` or `trial.json`, and the folder `model`.

    Raises:
        ValueError: it holds no model; the message says what is missing.
    """
    folder = Path(folder)
    for name in (CARD, "trial.json"):
        if (folder / name).is_file():
            try:
                task = json.loads((folder / name).read_text("utf-8"))["task"]
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{folder / name}: expected a description of a model, got {error!r}"
                ) from None
            if not (folder / "model").is_dir():
                raise ValueError(f"{folder}: its model was not saved")
            return catalog.task(task).load_model(folder / "model")
    raise ValueError(f"{folder}: expected a folder that `assay fit` wrote, found no {CARD} in it")
