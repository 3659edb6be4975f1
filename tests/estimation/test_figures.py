import json
from dataclasses import replace

import numpy as np
import pytest

from assay.core.comparison import compare
from assay.estimation.figures import figures
from assay.estimation.sources import read_problem
from assay.estimation.task import task


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """Boards of a mean, of a root and of a point in the plane."""
    runs = tmp_path_factory.mktemp("runs")
    names = ["robbins-monro", "constant-step", "full-batch", "polyak-ruppert"]
    return {
        name: compare(task, name, methods=names, seeds=2, scale="smoke", runs=runs, progress=False)
        for name in ("tanh", "square")
    }


def lines(figure):
    return {
        trace["name"]: trace
        for trace in figure.plotly["data"]
        if "name" in trace and trace["name"] != "theory"
    }


@pytest.mark.parametrize(
    ("name", "titles"), [("tanh", ["Convergence", "Estimates"]), ("square", ["Convergence", "Paths"])]
)
def test_every_picture_is_plain_json_with_a_caption(boards, name, titles):
    drawn = list(figures(boards[name]))
    assert [figure.title for figure in drawn] == titles
    for figure in drawn:
        json.dumps(figure.plotly, allow_nan=False)
        assert figure.caption.endswith(".")
        assert boards[name].data["seeks"] in figure.caption


def test_error_against_samples_is_drawn_on_logarithmic_axes_beside_the_theory(boards):
    board = boards["tanh"]
    figure = next(figures(board))
    assert {figure.plotly["layout"][axis]["type"] for axis in ("xaxis", "yaxis")} == {"log"}
    drawn = lines(figure)
    name = next(key for key in drawn if key.startswith("robbins-monro (slope"))
    curves = [dict(board.row("robbins-monro").results[seed].curve) for seed in (0, 1)]
    samples = drawn[name]["x"]
    assert samples == [float(s) for s in curves[0]]
    assert drawn[name]["y"] == pytest.approx([np.mean([c[s] for c in curves]) for s in samples], rel=1e-5)
    assert drawn["limit"]["y"] == pytest.approx(1 / np.sqrt(drawn["limit"]["x"]), rel=1e-5)
    assert drawn["limit"]["x"] == [1.0, samples[-1]]  # Whichever method is drawn first.
    assert drawn["limit"]["line"]["dash"] == "dash"
    theory = [trace for trace in figure.plotly["data"] if trace.get("name") == "theory"]
    assert len(theory) == 3  # A full batch has no steps of its own.
    floor = next(t for t in theory if t["y"][0] == pytest.approx(np.sqrt(0.1 / 1.9), rel=1e-5))
    assert floor["line"]["dash"] == "dot"
    assert drawn["full-batch"]["mode"] == "markers"


def test_broken_conditions_are_named_in_the_caption(boards):
    caption = next(figures(boards["tanh"])).caption
    assert "constant-step: sum a_k^2 is infinite" in caption
    assert "robbins-monro: sum" not in caption


def test_estimates_approach_the_answer(boards):
    figure = list(figures(boards["tanh"]))[1]
    drawn = lines(figure)
    assert drawn["answer"]["y"] == [1.0, 1.0]
    model = boards["tanh"].model("robbins-monro")
    assert drawn["robbins-monro"]["y"] == pytest.approx(model.trace[1:].mean(axis=1), rel=1e-5)


def test_paths_lead_from_the_start_to_the_answer(boards):
    figure = list(figures(boards["square"]))[1]
    path = next(trace for trace in figure.plotly["data"] if trace["name"] == "robbins-monro")
    assert (path["x"][0], path["y"][0]) == (20.0, 20.0)
    assert np.hypot(path["x"][-1], path["y"][-1]) < 5
    named = [t for t in figure.plotly["data"] if t["name"] == "robbins-monro" and t["showlegend"]]
    assert len(named) == 1
    assert lines(figure)["answer"]["x"] == [0.0]


def test_a_board_without_models_shows_what_its_file_holds(boards):
    bare = replace(boards["tanh"], open_model=None)
    [figure] = figures(bare)
    assert figure.title == "Convergence"
    assert not [trace for trace in figure.plotly["data"] if trace.get("name") == "theory"]
    assert not list(figures(replace(bare, rows=())))


def test_without_known_slope_and_noise_there_is_no_theory(tmp_path):
    problem = read_problem([1.0, 2.0, 4.0], order="shuffled", samples=60, runs=4)
    board = compare(InMemory(problem), methods=["sgd"], seeds=1, runs=tmp_path, progress=False)
    figure = next(figures(board))
    assert "limit" not in lines(figure)
    assert "theory" not in figure.caption


class InMemory(type(task)):
    """The task with one problem."""

    def __init__(self, problem):
        self._problem = problem

    def load(self, source=None, **options):
        return self._problem
