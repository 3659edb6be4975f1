"""The task: its data, its metrics, its trials, and every method at smoke scale."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from assay.core.method import spec
from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.data.labelled import LabelledImages
from assay.data.labelled_sets import CLOTHES
from assay.data.table import ContractError
from assay.images.contract import ImageData
from assay.images.task import task


@pytest.fixture(scope="module")
def fashion():
    try:
        return task.load(scale="smoke")
    except FetchError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for each of three classes with eight pictures."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, colour in (("red", (200, 0, 0)), ("green", (0, 200, 0)), ("blue", (0, 0, 200))):
        (root / name).mkdir()
        for i in range(8):
            noise = rng.integers(0, 50, (20, 24, 3)) + np.array(colour)
            Image.fromarray(noise.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


class TestData:
    def test_fashion_mnist_is_the_default(self, fashion):
        assert fashion.name == "fashion-mnist"
        assert fashion.classes == CLOTHES
        train, test = task.split(fashion, 0)
        assert (len(train), len(test)) == (300, 100)
        assert set(train.labels) == set(range(10))
        assert len(fashion.pool) == 400
        assert not train.test.any()
        assert test.test.all()

    def test_emoji_are_tested_on_vendors_that_were_not_seen(self):
        try:
            data = task.load("emoji", scale="smoke", size=16)
        except FetchError as error:
            pytest.skip(str(error))
        train, test = task.split(data, 0)
        assert train.images.shape[1:] == (16, 16, 3)
        assert test.test.all()
        assert not train.test.any()
        assert "food-drink" in data.classes

    def test_a_folder_for_each_class(self, folder):
        data = task.load(str(folder), size=16, labels=0.5)
        assert data.classes == ("blue", "green", "red")
        assert data.pool.images.shape == (24, 16, 16, 3)
        assert data.labels == 0.5
        assert task.load(folder, grey=True).pool.images.shape == (24, 32, 32)
        train, test = task.split(data, 0)
        assert (len(train), len(test)) == (9, 6)

    def test_a_damaged_picture_is_named_or_left_out(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "copy")
        (tmp_path / "copy" / "red" / "0.png").write_bytes(b"not a picture")
        with pytest.raises(ContractError, match=r"red/0\.png"):
            task.load(tmp_path / "copy")
        assert len(task.load(tmp_path / "copy", policy="skip").pool) == 23

    def test_images_in_memory(self, shapes):
        data = task.load(shapes)
        assert data.pool is shapes
        assert task.load(data) is data
        with pytest.raises(ContractError, match="expected a path, labelled images, or one of fashion-mnist"):
            task.load(42)

    def test_is_kept_for_other_processes(self, shapes, tmp_path):
        data = task.load(shapes, labels=0.3)
        task.save_data(data, tmp_path)
        assert task.open_data(tmp_path).fingerprint() == data.fingerprint()


class TestMetrics:
    def test_accuracy_decides_and_top_5_needs_six_classes(self, fashion, shapes):
        assert [m.name for m in task.metrics(fashion)] == ["accuracy", "log-loss", "top-5 accuracy"]
        assert [m.name for m in task.metrics(task.load(shapes))] == ["accuracy", "log-loss"]

    def test_scores(self, shapes):
        log_probs = np.log(np.full((len(shapes), 3), 1 / 3))
        found = task.score(log_probs, shapes)
        assert found == {
            "accuracy": pytest.approx((shapes.labels == 0).mean()),
            "log-loss": pytest.approx(np.log(3)),
        }


class TestMethods:
    def test_scales_change_the_sizes_that_a_method_has(self, fashion):
        assert task.method("resnet", fashion, {}, "smoke").examples == 600
        assert task.method("resnet", fashion, {"examples": 7}, "smoke").examples == 7
        assert task.method("resnet", fashion, {}, "full").examples == 600_000
        assert task.method("efficientnet-probe", fashion, {}, "smoke").size == 32
        assert task.method("efficientnet-probe", fashion, {}, "full").max_images is None
        assert task.method("pixel-neighbours", fashion, {}, "full").neighbours == 20

    def test_an_unknown_setting_is_told_what_there_is(self, fashion):
        with pytest.raises(ValueError, match=r"resnet has no setting 'size'; it has .*width"):
            task.method("resnet", fashion, {"size": 3})

    @pytest.mark.parametrize("name", task.methods)
    def test_a_method_is_data(self, name, fashion):
        written = spec(task.method(name, fashion, {}))
        assert written is not None
        assert json.loads(written)["class"] == task.methods[name]


class TestTrial:
    def test_curve_ends_at_the_score(self, shapes):
        data = task.load(shapes)
        train, test = task.split(data, 0)
        method = task.method("resnet", data, {"width": 4}, "smoke")
        model = task.fit(method, train, Run())
        score = task.score(task.predict(model, test, Run()), test)
        curve = task.curve(model, test)
        assert len(curve) == 8
        assert curve[-1] == (model.history[-1].examples, pytest.approx(score["accuracy"]))
        assert curve[0][0] < curve[-1][0]
        assert task.curve_axis() == "examples"

    def test_without_training_there_is_no_curve(self, shapes):
        data = task.load(shapes)
        train, test = task.split(data, 0)
        model = task.fit(task.method("pixel-neighbours", data, {}), train, Run())
        assert task.curve(model, test) == []

    def test_a_model_of_all_images_says_what_new_ones_are(self, folder, tmp_path):
        data = task.load(folder, size=16)
        model = task.fit(task.method("pixel-linear", data, {}), data, Run())  # As `assay fit` does.
        task.save_model(model, tmp_path)
        again = task.load_model(tmp_path)
        assert again.predict(folder / "red" / "3.png") == ["red"]
        assert again.predict(folder / "blue") == ["blue"] * 8
        assert again.predict_proba(folder / "green").shape == (8, 3)

    def test_a_test_leaves_its_findings(self, shapes):
        data = task.load(shapes)
        train, test = task.split(data, 0)
        model = task.fit(task.method("pixel-neighbours", data, {}), train, Run())
        assert model.findings is None
        outputs = task.predict(model, test, Run())
        assert model.findings.confusion.sum() == len(test)
        assert outputs.shape == (len(test), 3)

    def test_training_images_in_memory_stay_what_they_are(self, shapes):
        copy = LabelledImages(shapes.images.copy(), shapes.labels.copy(), shapes.classes)
        task.fit(task.method("vit", task.load(copy), {}, "smoke"), ImageData(copy), Run())
        assert np.array_equal(copy.images, shapes.images)
