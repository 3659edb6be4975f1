import numpy as np
import pytest
from PIL import Image

from assay.core.comparison import compare
from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.data.labelled import LabelledImages
from assay.data.table import ContractError
from assay.precision.network import Network
from assay.precision.problem import Problem
from assay.precision.task import task


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    return compare(task, scale="smoke", seeds=2, jobs=1, runs=tmp_path_factory.mktemp("runs"), progress=False)


class TestLoad:
    def test_default_is_the_digits_of_a_dense_prediction(self):
        data = task.load()
        assert (data.name, len(data), data.positions) == ("digits", 1797, 8192)
        assert len(task.load(scale="smoke")) == 400
        assert task.load(task="digits", positions=1).positions == 1
        assert task.load(task="digits").fingerprint() == data.fingerprint()

    def test_images_in_memory_and_on_disk(self, tmp_path):
        rng = np.random.default_rng(0)
        images = LabelledImages(rng.integers(0, 256, (8, 4, 4), np.uint8), np.arange(8) % 2, ("a", "b"))
        assert task.load(images).images is images
        problem = Problem(images, 2)
        assert task.load(problem) is problem
        for name in ("cat", "dog"):
            (tmp_path / name).mkdir()
            for i in range(3):
                Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / name / f"{i}.png")
        found = task.load(str(tmp_path), size=5, scale="smoke")
        assert found.images.images.shape == (6, 5, 5)
        assert found.images.classes == ("cat", "dog")

    def test_images_are_fashion_and_those_of_full_scale(self):
        try:
            data = task.load(task="images")
        except FetchError as error:
            pytest.skip(str(error))
        assert (data.name, len(data)) == ("fashion-mnist", 20_000)
        assert task.load(scale="full").fingerprint() == data.fingerprint()

    def test_mistakes_are_named(self, tmp_path):
        with pytest.raises(ContractError, match="no such file or folder"):
            task.load(str(tmp_path / "gone"))
        with pytest.raises(ContractError, match="task: expected digits or images, got 'letters'"):
            task.load(task="letters")
        with pytest.raises(ContractError, match="a task or data of your own, got 'images' and 'x'"):
            task.load("x", task="images")
        with pytest.raises(ContractError, match="positions: expected a whole number"):
            task.load(positions=0)

    def test_data_are_kept(self, tmp_path):
        data = task.load(scale="smoke")
        task.save_data(data, tmp_path)
        assert task.open_data(tmp_path).fingerprint() == data.fingerprint()


class TestMethods:
    def test_settings(self):
        data = task.load(scale="smoke")
        assert task.method("fp16", data, {}, "smoke").steps == 60
        assert task.method("fp16", data, {"steps": 9}, "smoke").steps == 9
        assert task.method("fp16", data, {}).steps == 1000
        with pytest.raises(ValueError, match="fp16 has no setting 'interval'; it has batch_size"):
            task.method("fp16", data, {"interval": 3})

    def test_split_is_disjoint_complete_and_by_seed(self):
        data = task.load(scale="smoke")
        train, test = task.split(data, 0)
        assert (len(train), len(test)) == (300, 100)
        both = np.concatenate([train.images.images, test.images.images])
        assert np.array_equal(np.sort(both.sum((1, 2))), np.sort(data.images.images.sum((1, 2))))
        assert task.split(data, 0)[1].fingerprint() == test.fingerprint()
        assert task.split(data, 1)[1].fingerprint() != test.fingerprint()


class TestBoard:
    def test_every_recipe_finished_and_learned(self, board):
        assert {row.name: row.status for row in board.rows} == dict.fromkeys(task.methods, "ok")
        for row in board.rows:
            assert min(row.values("accuracy")) > 0.6
            assert set(row.results[0].metrics) == {metric.name for metric in board.metrics}

    def test_numbers_say_what_each_recipe_loses(self, board):
        def mean(name, metric):
            return np.mean(board.row(name).values(metric))

        for name in ("fp16", "fp16-master"):
            assert mean(name, "zero-flush") > 0.01
        for name in ("fp32", "tf32", "bf16", "bf16-pure"):
            assert mean(name, "zero-flush") == 0
        for name in ("fp16", "fp16-scaled", "bf16-pure"):
            assert mean(name, "stagnation") > 0.1
        for name in ("fp32", "fp16-mixed", "fp16-master", "bf16"):
            assert mean(name, "stagnation") < 0.05
        assert mean("fp16-mixed", "zero-flush") < 0.1 * mean("fp16-master", "zero-flush")

    def test_curves_end_near_the_score(self, board):
        result = board.row("fp16-mixed").results[0]
        assert len(result.curve) == 20
        assert result.curve[-1][1] == pytest.approx(result.metrics["cross-entropy"], rel=0.05)
        assert board.curve_axis == "step"

    def test_models_come_back(self, board):
        model = board.model("fp16-mixed", 1)
        assert isinstance(model, Network)
        _, test = task.split(task.load(scale="smoke"), 1)
        scores = task.score(task.predict(model, test, Run()), test)
        assert scores == pytest.approx(board.row("fp16-mixed").results[1].metrics)

    def test_pictures_show_the_gradients_and_what_is_lost(self, board):
        titles = [figure.title for figure in board.figures]
        assert titles == [
            "Gradients on fp16's number line",
            "Gradients that become zero",
            "Updates that vanish",
            "Loss scale",
        ]
        bars, flushed, stagnant, scale = (figure.plotly for figure in board.figures)
        assert [bar["name"] for bar in bars["data"]] == ["as they are", "times the scale"]
        for bar in bars["data"]:
            assert sum(bar["y"]) == pytest.approx(1, abs=0.01)
        assert {line["name"] for line in flushed["data"]} == set(task.methods)
        assert {line["name"] for line in stagnant["data"]} == set(task.methods)
        assert {line["name"] for line in scale["data"]} == {"fp16-scaled", "fp16-mixed"}
        assert scale["data"][0]["y"][0] == 16
        colours = [{line["name"]: line["line"]["color"] for line in f["data"]} for f in (flushed, scale)]
        assert colours[1].items() <= colours[0].items()
