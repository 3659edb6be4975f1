"""The report's pictures: what every method finds for a few texts, and a map of images and texts."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from assay.core.board import Board
from assay.core.task import Figure
from assay.data.pairs import Pairs
from assay.data.pictures import encode_png, grid
from assay.image_text.model import ImageTextModel, Searcher

_FOUND = 5
_SIDE = 64
_TEXTS = 6
_ON_MAP = 400


def figures(board: Board) -> Iterator[Figure]:
    """The pictures, if the models can be opened."""
    if board.open_model is None:
        return
    models: dict[str, Searcher] = {}
    for row in board.ranking:
        model = board.model(row.name) if row.seeds else None
        if isinstance(model, Searcher) and model.gallery is not None:
            models[row.name] = model
    if not models:
        return
    gallery = next(iter(models.values())).gallery
    assert gallery is not None
    for text in sample_texts(gallery):
        yield search(models, gallery, text)
    for name, model in models.items():
        if isinstance(model, ImageTextModel):
            yield embedding_map(name, model, gallery)
            return


def sample_texts(gallery: Pairs) -> list[str]:
    """A few texts of the gallery, evenly spread."""
    places = np.linspace(0, len(gallery) - 1, min(_TEXTS, len(gallery))).round().astype(int)
    return list(dict.fromkeys(gallery.texts(int(i))[0] for i in places))


def search(models: dict[str, Searcher], gallery: Pairs, text: str) -> Figure:
    """The best pictures for a text, a row of tiles for each method; small, so that several fit in a row."""
    rows = []
    for model in models.values():
        shown = gallery.images([found.index for found in model.search(text, _FOUND, gallery)], _SIDE)
        white = np.full((_FOUND - len(shown), _SIDE, _SIDE, 3), 255, np.uint8)
        rows.append(np.concatenate([shown, white]))
    return Figure(
        f"Found for “{text}”",
        f"The {_FOUND} pictures of the training data that fit best. Methods, from top to bottom: "
        f"{', '.join(models)}.",
        image=encode_png(grid(np.concatenate(rows), columns=_FOUND)),
    )


def contact_sheet(gallery: Pairs, indices: Sequence[int], side: int = 128) -> np.ndarray:
    """The pictures at these positions side by side, uint8 [height, width, 3]."""
    return grid(gallery.images(indices, side), columns=min(len(indices), 5) or 1)


def embedding_map(name: str, model: ImageTextModel, gallery: Pairs) -> Figure:
    """Images and their first texts in the plane of their two principal components, joined by lines."""
    places = np.linspace(0, len(gallery) - 1, min(_ON_MAP, len(gallery))).round().astype(int)
    shown = gallery.take(np.unique(places))
    texts = [shown.texts(i)[0] for i in range(len(shown))]
    images, said = model.encode_image(shown), model.encode_text(texts)
    # Images and texts lie in two regions of the sphere; each is taken from its own middle.
    both = plane(np.concatenate([images - images.mean(axis=0), said - said.mean(axis=0)]))
    first, second = both[: len(shown)], both[len(shown) :]
    lines: dict[str, Any] = {"x": [], "y": []}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        lines["x"] += [a[0], b[0], None]
        lines["y"] += [a[1], b[1], None]
    thin = {"color": "rgba(128,128,128,0.3)", "width": 1}
    data = [
        {"type": "scatter", "mode": "lines", "line": thin, "hoverinfo": "skip", "showlegend": False, **lines},
        _points("images", first, texts),
        _points("texts", second, texts),
    ]
    return Figure(
        f"Embeddings of {name}",
        "Images and their texts in the plane of the two principal components of both; a line joins what "
        "belongs together.",
        plotly={"data": data, "layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}},
    )


def plane(x: np.ndarray) -> np.ndarray:
    """The rows' coordinates along the two directions of greatest variance, with signs that are fixed."""
    centred = x - x.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return centred @ (directions * signs[:, None]).T


def _points(name: str, xy: np.ndarray, texts: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": xy[:, 0].round(4).tolist(),
        "y": xy[:, 1].round(4).tolist(),
        "text": list(texts),
        "hoverinfo": "text",
        "marker": {"size": 6},
    }
