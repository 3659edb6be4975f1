"""The report's pictures: samples of every method, and pictures completed from their upper halves."""

from collections.abc import Iterator

import numpy as np

from assay.core.board import Board
from assay.core.task import Figure
from assay.density.model import DensityModel
from assay.density.pictures import png, sheet

_COLUMNS = 16
_SAMPLE_ROWS = 2
_COMPLETIONS = 16
_WIDTH = 640  # of a picture in pixels, about


def figures(board: Board) -> Iterator[Figure]:
    """Samples and completions, one row of tiles after another; nothing if the data are no pictures."""
    if board.data.get("picture") is None or board.open_model is None:
        return
    models: dict[str, DensityModel] = {}
    for row in board.ranking:
        model = board.model(row.name) if row.seeds else None
        if isinstance(model, DensityModel):
            models[row.name] = model
    if models:
        yield samples(models, tuple(board.data["picture"]), str(board.data["binarisation"]))
        yield completions(models, tuple(board.data["picture"]))


def samples(models: dict[str, DensityModel], picture: tuple[int, int], binarisation: str) -> Figure:
    """Draws from every model."""
    tiles = [
        model.sample(_SAMPLE_ROWS * _COLUMNS, np.random.default_rng(0)).reshape(
            _SAMPLE_ROWS, _COLUMNS, *picture
        )
        for model in models.values()
    ]
    return Figure(
        "Samples",
        f"Two rows each, from top to bottom: {', '.join(models)}. The bits of the data were made by "
        f"{binarisation}.",
        image=_image(np.concatenate(tiles)),
    )


def completions(models: dict[str, DensityModel], picture: tuple[int, int]) -> Figure:
    """Lower halves drawn by every model given the same upper halves, which the best model drew."""
    rng = np.random.default_rng(1)
    given = next(iter(models.values())).sample(_COMPLETIONS, rng)
    upper = np.zeros(picture, bool)
    upper[: picture[0] // 2] = True
    rows = [given]
    words = []
    for name, model in models.items():
        rows += [model.in_paint(given, upper.ravel(), np.random.default_rng(seed)) for seed in (2, 3)]
        words.append(name if model.in_paints_exactly(upper.ravel()) else f"{name} (approximately)")
    tiles = np.stack(rows).reshape(len(rows), _COMPLETIONS, *picture)
    return Figure(
        "In-painting",
        f"First row: pictures drawn by {next(iter(models))}. Below, two rows each: their upper halves, "
        f"completed by {', '.join(words)}.",
        image=_image(tiles),
    )


def _image(tiles: np.ndarray) -> bytes:
    scale = max(1, _WIDTH // (tiles.shape[1] * tiles.shape[3]))
    return png(sheet(np.where(tiles, 0, 255).astype(np.uint8), scale=scale))  # Ink is black.
