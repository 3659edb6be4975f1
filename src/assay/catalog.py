"""The table of tasks: name on the command line -> where its `task` object is, imported when asked for."""

import difflib

from assay.core.method import locate
from assay.core.task import Task

TASKS: dict[str, str] = {
    "tabular": "assay.tabular.task:task",
    "density": "assay.density.task:task",
    "images": "assay.images.task:task",
    "image-text": "assay.image_text.task:task",
    "control": "assay.control.task:task",
    "estimation": "assay.estimation.task:task",
    "attention": "assay.attention.task:task",
    "collectives": "assay.collectives.task:task",
    "precision": "assay.precision.task:task",
}

CLAIMS: dict[str, str] = {
    "tabular": "assay.tabular.claims:claims",
    "density": "assay.density.claims:claims",
    "images": "assay.images.claims:claims",
    "image-text": "assay.image_text.claims:claims",
    "control": "assay.control.claims:claims",
    "estimation": "assay.estimation.claims:claims",
    "attention": "assay.attention.claims:claims",
    "collectives": "assay.collectives.claims:claims",
    "precision": "assay.precision.claims:claims",
}


def task(name: str) -> Task:
    """The task called `name`; `-` and `_` are the same.

    Raises:
        ValueError: there is no such task.
    """
    name = name.replace("_", "-")
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(TASKS)}"
        raise ValueError(f"there is no task {name!r}; {hint}")
    return locate(TASKS[name])
