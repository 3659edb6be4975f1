import numpy as np
import pytest

from assay.core.run import Run
from assay.data.table import ContractError
from assay.image_text.pixel_neighbours import PixelNeighbours, PixelNeighboursModel


def test_scores_are_those_of_loops(pairs):
    train, test = pairs.take(slice(0, 12)), pairs.take(slice(12, 24))
    model = PixelNeighbours(size=8).fit(train, run=Run())
    texts = ["red square", "a bar in blue", "Green Stripe", "no such thing"]
    found = model.scores(test, texts)
    a = train.images(size=8).reshape(12, -1) / 255
    b = test.images(size=8).reshape(12, -1) / 255
    for i in range(12):
        for j, text in enumerate(texts):
            own = [
                (a[k] @ b[i]) / np.sqrt((a[k] @ a[k]) * (b[i] @ b[i]))
                for k in range(12)
                if text.lower() in train.texts(k)
            ]
            assert found[i, j] == pytest.approx(max(own, default=-1.0), abs=1e-5)


def test_finds_training_pictures(pairs):
    model = PixelNeighbours().fit(pairs, run=Run())
    names = [pairs.texts(i)[0] for i in range(12)]
    assert (model.scores(list(pairs.images(size=16))[:12], names).argmax(axis=1) == np.arange(12)).all()
    assert model.search("blue bar", 1)[0].text == "blue bar"
    assert model.zero_shot(pairs, ["red", "blue"]).shape == (24, 2)
    assert model.predict(pairs.take([5, 2])).tolist() == [pairs.texts(i)[0] for i in (5, 2)]


def test_is_saved_and_loaded(pairs, tmp_path):
    model = PixelNeighbours().fit(pairs, run=Run())
    model.save(tmp_path)
    again = PixelNeighboursModel.load(tmp_path)
    assert np.array_equal(again.scores(pairs, ["red bar"]), model.scores(pairs, ["red bar"]))
    assert len(again.gallery) == len(model.gallery)
    with pytest.raises(ValueError, match="expected pictures and their texts"):
        PixelNeighboursModel.load(tmp_path / "gallery")


def test_what_cannot_be_learnt_from_is_refused(pairs):
    with pytest.raises(ContractError, match="at least 2 pairs"):
        PixelNeighbours().fit(pairs.take([0]), run=Run())
    with pytest.raises(ValueError, match="size above 0"):
        PixelNeighbours(size=0)
