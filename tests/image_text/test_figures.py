import io
from types import SimpleNamespace

import numpy as np
import pytest

from assay.core.run import Run
from assay.image_text.clip import CLIP
from assay.image_text.figures import contact_sheet, embedding_map, figures, plane, sample_texts, search
from assay.image_text.pixel_neighbours import PixelNeighbours

pytest.importorskip("tokenizers")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def models(pairs, small):
    return {
        "pixels": PixelNeighbours().fit(pairs, run=Run()),
        "clip": CLIP(**{**small, "examples": 48}).fit(pairs, run=Run()),
    }


def test_a_search_has_a_row_for_each_method(models, pairs):
    texts = sample_texts(pairs)
    assert len(texts) == 6
    figure = search(models, pairs, texts[0])
    image = Image.open(io.BytesIO(figure.image))
    assert image.size == (5 * 66 + 2, 2 * 66 + 2)
    assert "pixels, clip" in figure.caption
    assert texts[0] in figure.title


def test_there_is_one_for_each_text_and_a_map(models, pairs):
    rows = [SimpleNamespace(name=name, seeds=(0,)) for name in models]
    board = SimpleNamespace(open_model=True, ranking=rows, model=models.get)
    titles = [figure.title for figure in figures(board)]
    assert titles == [f"Found for “{text}”" for text in sample_texts(models["pixels"].gallery)] + [
        "Embeddings of clip"
    ]
    board.open_model = None
    assert list(figures(board)) == []


def test_the_first_tile_is_the_best_picture(models, pairs):
    figure = search({"pixels": models["pixels"]}, pairs, "blue square")
    image = np.asarray(Image.open(io.BytesIO(figure.image)))
    wanted = pairs.images([models["pixels"].search("blue square", 1, pairs)[0].index], 64)[0]
    assert np.array_equal(image[2:66, 2:66], wanted)


def test_the_map_joins_what_belongs_together(models, pairs):
    figure = embedding_map("clip", models["clip"], pairs)
    lines, images, texts = figure.plotly["data"]
    assert len(images["x"]) == len(texts["x"]) == 24
    assert lines["x"][0] == pytest.approx(images["x"][0], abs=1e-4)
    assert lines["x"][1] == pytest.approx(texts["x"][0], abs=1e-4)
    assert lines["x"][2] is None


def test_the_plane_is_that_of_greatest_variance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)) * [1, 9, 0.1, 4, 0.2]
    found = plane(x)
    assert np.allclose(np.abs(np.corrcoef(found[:, 0], x[:, 1])[0, 1]), 1, atol=0.01)
    assert np.allclose(np.abs(np.corrcoef(found[:, 1], x[:, 3])[0, 1]), 1, atol=0.01)
    assert np.allclose(plane(x), found)


def test_a_contact_sheet_shows_the_pictures(pairs):
    sheet = contact_sheet(pairs, [3, 1, 2], side=32)
    assert sheet.shape == (36, 3 * 34 + 2, 3)
    assert np.array_equal(sheet[2:34, 2:34], pairs.images([3], 32)[0])
