"""The report's pictures: which classes the best method confuses, and the most confident mistakes of all."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from assay.core.board import Board
from assay.core.task import Figure
from assay.data.pictures import encode_png, grid
from assay.images.classifier import ImageClassifier
from assay.images.findings import Findings

_WIDTH = 720  # of the sheet in pixels, about
_TOLD = 3  # mistakes of each method in words


def figures(board: Board) -> Iterator[Figure]:
    """A matrix of the leading method and a sheet of all; nothing for a board read from a file."""
    if board.open_model is None:
        return
    found: dict[str, tuple[tuple[str, ...], Findings]] = {}
    for row in board.ranking:
        model = board.model(row.name) if row.seeds else None
        if isinstance(model, ImageClassifier) and model.findings is not None:
            found[row.name] = (model.classes, model.findings)
    if found:
        name, (classes, findings) = next(iter(found.items()))
        yield confusion_matrix(name, classes, findings)
    wrong = {name: pair for name, pair in found.items() if len(pair[1].labels)}
    if wrong:
        yield mistakes(wrong)


def confusion_matrix(name: str, classes: tuple[str, ...], findings: Findings) -> Figure:
    """What images of each class were taken for, as shares of the class."""
    counts = findings.confusion
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    text = [[str(count) if count else "" for count in row] for row in counts.tolist()]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": list(classes),
        "y": list(classes),
        "z": shares.round(4).tolist(),
        "text": text,
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "rgba(127,127,127,0.08)"], [1, "#3a7bd5"]],
        "showscale": False,
        "hovertemplate": "%{y} taken for %{x}: %{text} (%{z:.1%})<extra></extra>",
    }
    if len(classes) <= 20:
        trace["texttemplate"] = "%{text}"
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "taken for"}, "type": "category", "side": "top"},
        "yaxis": {"title": {"text": "is"}, "type": "category", "autorange": "reversed"},
        "height": 200 + 26 * min(len(classes), 40),
    }
    off = counts - np.diag(np.diag(counts))
    true, guess = np.unravel_index(off.argmax(), off.shape)
    worst = (
        f"Most often {classes[true]} was taken for {classes[guess]}, {off[true, guess]} times."
        if off.any()
        else "There was no mistake."
    )
    return Figure(
        f"What {name} confuses",
        f"Test images of one seed by their class (row) and the class that {name} gave them. {worst}",
        plotly={"data": [trace], "layout": layout},
    )


def mistakes(found: Mapping[str, tuple[tuple[str, ...], Findings]]) -> Figure:
    """The wrong answers of every method that seemed most certain to it, one row each."""
    columns = max(len(findings.labels) for _, findings in found.values())
    rows, words = [], []
    for name, (classes, findings) in found.items():
        pictures = findings.pictures
        missing = columns - len(pictures)
        rows.append(np.pad(pictures, ((0, missing), *((0, 0),) * (pictures.ndim - 1)), constant_values=255))
        some = zip(findings.labels, findings.guesses, findings.confidence, strict=True)
        told = [f"{classes[t]} as {classes[g]} ({c:.0%})" for t, g, c in list(some)[:_TOLD]]
        words.append(f"{name}: {', '.join(told)}")
    sheet = grid(np.concatenate(rows), columns=columns)
    scale = max(1, _WIDTH // sheet.shape[1])
    return Figure(
        "Most confident mistakes",
        f"One row each, the most certain first: {'; '.join(words)}.",
        image=encode_png(np.ascontiguousarray(sheet.repeat(scale, axis=0).repeat(scale, axis=1))),
    )
