"""The report's pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from control_worlds import BOOK

from assay.control import figures as pictures
from assay.control.grid_world import ARROWS
from assay.control.task import task
from assay.control.value_iteration import ValueIteration
from assay.core.comparison import compare
from assay.core.run import Run
from assay.core.task import Figure

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return compare(
        task,
        methods=["value-iteration", "policy-iteration", "sarsa"],
        settings={"sarsa": {"steps": 5000}},
        seeds=2,
        runs=tmp_path_factory.mktemp("runs"),
        progress=False,
    )


class TestFigures:
    def test_a_board_shows_policy_evolution_convergence_and_errors(self, board):
        titles = [figure.title for figure in board.figures]
        assert titles == ["The policy found", "How it evolves", "Convergence", "State value error"]
        for figure in board.figures:
            assert isinstance(figure, Figure)
            json.dumps(figure.plotly, allow_nan=False)
            assert len(figure.caption) > 40

    def test_they_are_drawn_by_plotly(self, board):
        graph_objects = pytest.importorskip("plotly.graph_objects")
        for figure in board.figures:
            text = json.dumps(figure.plotly)
            for index in range(8):  # The page gives these names their colours.
                text = text.replace(f"var(--series-{index})", "#123456")
            plain = json.loads(text.replace("var(--ink)", "#000000"))
            graph_objects.Figure(plain)  # Raises when an attribute does not exist.

    def test_the_policy_has_an_arrow_and_a_value_in_every_cell(self, board):
        [cells] = board.figures[0].plotly["data"]
        solution = board.model("value-iteration")
        texts = np.ravel(cells["text"]).tolist()
        assert len(texts) == 25
        for text, value, action in zip(texts, solution.v, solution.predict(), strict=True):
            assert text == f"{value:.3g}<br>{ARROWS[action]}"
        assert np.ravel(cells["z"]) == pytest.approx(solution.v, rel=1e-5)
        assert board.figures[0].plotly["layout"]["yaxis"]["autorange"] == "reversed"  # Row 1 is on top.

    def test_forbidden_cells_and_the_target_are_marked_where_they_are(self, board):
        shapes = board.figures[0].plotly["layout"]["shapes"]
        centres = [(shape["y0"] + 0.5, shape["x0"] + 0.5) for shape in shapes]
        assert centres == [*BOOK.forbidden, BOOK.target]
        assert shapes[-1]["line"]["width"] == 3

    def test_evolution_begins_at_the_first_and_ends_at_the_last_iteration(self, board):
        figure = board.figures[1].plotly
        trace = board.model("value-iteration").trace
        assert len(figure["data"]) == 6
        assert figure["layout"]["annotations"][0]["text"] == "iteration 1"
        assert figure["layout"]["annotations"][-1]["text"] == f"iteration {trace.iterations[-1]}"
        assert np.ravel(figure["data"][-1]["z"]) == pytest.approx(trace.v[-1], rel=1e-5)
        assert {f"xaxis{n}" for n in ("", 2, 3, 4, 5, 6)} <= set(figure["layout"])
        assert len({(cells["zmin"], cells["zmax"]) for cells in figure["data"]}) == 1

    def test_value_iteration_stays_below_its_bound(self, board):
        lines = {line["name"]: line for line in board.figures[2].plotly["data"]}
        assert list(lines) == ["value-iteration", "policy-iteration", "bound: 0.9^k of the first error"]
        bound = lines["bound: 0.9^k of the first error"]
        errors = lines["value-iteration"]
        at = np.interp(errors["x"], bound["x"], np.log(bound["y"]))
        assert (np.log(errors["y"]) <= at + 0.02).all()

    def test_bands_cover_all_seeds(self, board):
        band, line = board.figures[3].plotly["data"]
        assert line["name"] == "sarsa"
        count = len(line["y"])
        high, low = np.array(band["y"][:count]), np.array(band["y"][count:])[::-1]
        assert (low <= np.array(line["y"]) * (1 + 1e-5)).all()
        assert (np.array(line["y"]) <= high * (1 + 1e-5)).all()

    def test_a_world_without_a_grid_or_models_has_fewer_pictures(self, tmp_path):
        plain = compare(
            task,
            {"next": [[0, 1], [0, 1]], "reward": [[0.0, 1.0], [2.0, 0.0]]},
            methods=["value-iteration", "sarsa"],
            settings={"sarsa": {"steps": 500}},
            seeds=1,
            runs=tmp_path,
            progress=False,
        )
        assert [figure.title for figure in plain.figures] == ["Convergence", "State value error"]
        plain.report(tmp_path / "board.html")
        assert "State value error" in (tmp_path / "board.html").read_text("utf-8")

    def test_large_grids_are_drawn_without_numbers(self):
        mdp = type(BOOK)(shape=(30, 30), forbidden=(), target=(30, 30)).mdp()
        solution = ValueIteration(tolerance=0.5).fit(mdp, run=Run())
        figure = pictures.policy_picture("value-iteration", solution, mdp.grid)
        assert "texttemplate" not in figure.plotly["data"][0]
