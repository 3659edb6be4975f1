import pytest
import torch.distributed as dist

from assay.collectives.problem import Problem
from assay.collectives.task import task
from assay.core.comparison import compare
from assay.core.method import build, spec
from assay.data.table import ContractError

OPTIONS = {"ranks": 2, "bytes": "64K"}


class Doubled:
    """A user's own method, which is wrong."""

    def get_params(self, deep=True):
        return {}

    def sum(self, tensor):
        dist.all_reduce(tensor)
        tensor.mul_(2)

    def fit(self, data, *, run):
        raise NotImplementedError


class TestLoad:
    def test_the_scale_says_how_large(self):
        assert task.load() == Problem(ranks=4, bytes=2**24)
        assert task.load(scale="smoke") == Problem(ranks=2, bytes=2**20)
        assert task.load(scale="full") == Problem(ranks=4, bytes=2**28)

    def test_options_come_first(self):
        asked = Problem(ranks=3, bytes=2**26, dtype="bfloat16")
        assert task.load("random", scale="smoke", ranks=3, bytes="64M", dtype="bfloat16") == asked
        assert task.load(asked) is asked

    def test_other_data_are_refused(self):
        with pytest.raises(ContractError, match="expected no data but 'random'"):
            task.load("adult.csv")

    def test_is_kept_for_the_trials(self, tmp_path):
        data = task.load(**OPTIONS)
        task.save_data(data, tmp_path)
        assert task.open_data(tmp_path) == data
        assert task.split(data, 3) == (data, data)


class TestMethods:
    @pytest.mark.parametrize("name", task.methods)
    def test_are_built_and_written(self, name):
        method = task.method(name, task.load(), {}, "smoke")
        assert build(spec(method)) == method
        with pytest.raises(ValueError, match=f"{name} has no setting 'depth'"):
            task.method(name, task.load(), {"depth": 1})

    def test_a_users_own_needs_a_sum(self):
        assert isinstance(task.accept(Doubled, None), Doubled)
        with pytest.raises(TypeError, match=r"expected a method with sum\(tensor\)"):
            task.accept(Problem(), None)

    def test_a_users_own_says_its_settings(self):
        class Silent:
            def sum(self, tensor):
                raise NotImplementedError

        with pytest.raises(TypeError, match=r"sum\(tensor\) that is a dataclass or says its settings"):
            task.accept(Silent, None)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    methods = ["ring", "halving-doubling", "gloo", Doubled()]
    return compare(task, methods=methods, scale="smoke", seeds=2, progress=False, runs=runs, **OPTIONS)


class TestBoard:
    def test_every_method_finished(self, board):
        assert {row.name: row.error for row in board.rows} == dict.fromkeys(
            ["ring", "halving-doubling", "gloo", "Doubled"]
        )

    def test_metrics_are_those_of_the_definitions(self, board):
        for row in board.rows:
            assert list(row.results[0].metrics) == [metric.name for metric in board.metrics]
            for time, speed in zip(row.values("time"), row.values("bus bandwidth"), strict=True):
                assert speed == pytest.approx(2**16 / (1e-3 * time) / 1e9)
            assert row.values("identical ranks") == (1.0, 1.0)
        assert board.row("ring").values("sent per rank") == (2**16, 2**16)
        assert board.row("halving-doubling").values("sent per rank") == (2**16, 2**16)

    def test_a_wrong_sum_shows(self, board):
        assert min(board.row("Doubled").values("numeric error")) > 0.5 * 2**23
        assert 0 < max(board.row("ring").values("numeric error")) < 2

    def test_has_pictures(self, board):
        assert [figure.title for figure in board.figures] == [
            "Bus bandwidth",
            "Measured and predicted",
            "On more ranks",
            "Timeline of overlap",
        ]
