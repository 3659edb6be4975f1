"""The report's pictures, of a board made without running anything."""

import io

import boards
import numpy as np
import plotly.graph_objects
import pytest
from PIL import Image

from assay.core.run import Run
from assay.images.figures import confusion_matrix, figures, mistakes
from assay.images.findings import Findings
from assay.images.pixel_neighbours import PixelNeighbours


def findings(test, wrong=(), colour=False):
    """Those of outputs that are wrong, with certainty, for the images `wrong`."""
    guess = test.labels.copy()
    guess[list(wrong)] = (guess[list(wrong)] + 1) % len(test.classes)
    probs = np.full((len(test), len(test.classes)), 0.05)
    probs[np.arange(len(test)), guess] = 0.9
    return Findings.of(np.log(probs), test)


def test_the_matrix_has_shares_of_each_class(others):
    figure = confusion_matrix("net", others.classes, findings(others, range(12)))
    (trace,) = figure.plotly["data"]
    assert np.allclose(np.sum(trace["z"], axis=1), 1, atol=1e-3)
    counts = np.array([[int(cell or 0) for cell in row] for row in trace["text"]])
    assert counts.sum() == len(others)
    assert counts.trace() == len(others) - 12
    true, guess = np.unravel_index((counts - np.diag(np.diag(counts))).argmax(), counts.shape)
    assert f"{others.classes[true]} was taken for {others.classes[guess]}" in figure.caption
    plotly.graph_objects.Figure(figure.plotly).to_json()


def test_no_mistake_is_said(others):
    assert "no mistake" in confusion_matrix("net", others.classes, findings(others)).caption


@pytest.mark.parametrize("part", ["others", "coloured"])
def test_the_sheet_has_a_row_for_each_method(part, request):
    test = request.getfixturevalue(part)
    found = {
        "first": (test.classes, findings(test, range(3))),
        "second": (test.classes, findings(test, range(30))),
    }
    figure = mistakes(found)
    sheet = np.asarray(Image.open(io.BytesIO(figure.image)))
    assert sheet.shape[1] > 2.5 * sheet.shape[0]  # Ten columns, two rows.
    assert "first: " in figure.caption
    assert "(90%)" in figure.caption
    side = sheet.shape[0] // 2
    assert (sheet[:side, sheet.shape[1] // 2 :] == 255).all()  # The first has three mistakes only.


def test_figures_of_a_board(shapes, others):
    model = PixelNeighbours().fit(shapes, run=Run())
    model.findings = findings(others, range(5))
    board = boards.board(open_model=lambda name, seed: model)
    found = list(figures(board))
    assert [figure.title for figure in found] == ["What forest confuses", "Most confident mistakes"]
    assert all(figure.caption for figure in found)


def test_a_board_without_models_or_mistakes_has_fewer(shapes, others):
    assert list(figures(boards.board())) == []
    assert list(figures(boards.board(open_model=lambda name, seed: object()))) == []
    model = PixelNeighbours().fit(shapes, run=Run())
    assert list(figures(boards.board(open_model=lambda name, seed: model))) == []
    model.findings = findings(others)
    assert len(list(figures(boards.board(open_model=lambda name, seed: model)))) == 1
