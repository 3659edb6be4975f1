import pytest

from assay.attention.figures import ceiling_figure, memory, memory_figure, time_figure
from assay.attention.methods import Flash2, Naive, Prepared
from assay.attention.problem import Problem

PROBLEM = Problem(batch=1, heads=1, length=64, dim=64)


def test_lines_have_names_numbers_and_logarithmic_axes():
    points = {"naive": [(64.0, 1.0), (128.0, 4.0)], "flash2": [(64.0, 1.0), (128.0, 1.5)]}
    for figure in (time_figure(points, "1x1x128x64"), memory_figure(points)):
        first, second = figure.plotly["data"]
        assert (first["name"], first["x"], first["y"]) == ("naive", [64, 128], [1, 4])
        assert first["line"]["color"] != second["line"]["color"]
        assert figure.plotly["layout"]["xaxis"]["type"] == figure.plotly["layout"]["yaxis"]["type"] == "log"
    assert "1x1x128x64" in time_figure(points, "1x1x128x64").caption


def test_memory_that_keeps_the_scores_outgrows_memory_that_does_not():
    naive, flash2 = (dict(memory(Prepared(method, PROBLEM))) for method in (Naive(), Flash2()))
    assert naive[2048.0] > 4096 * 4096 / 1e6 > flash2.get(2048.0, 0.0)  # A matrix of 2,048 by 2,048 floats.


def test_the_line_is_the_ceiling():
    figure = ceiling_figure({"triton": 400.0, "sdpa": 600.0}, 128)
    (line,) = figure.plotly["layout"]["shapes"]
    assert line["y0"] == line["y1"] == pytest.approx(661, abs=0.6)
    assert figure.plotly["data"][0]["y"] == [400, 600]
    assert "661" in figure.caption
