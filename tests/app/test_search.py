import io

import numpy as np
import pytest

from assay.app.search import Search
from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.data.table import ContractError
from assay.image_text.pixel_neighbours import PixelNeighbours

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("torch")


@pytest.fixture
def model(tmp_path):
    """A folder as `assay fit` writes it, with a model of five grey pictures."""
    pictures = [np.full((8, 8, 3), 40 * i + 20, np.uint8) for i in range(5)]
    pairs = Pairs.of(pictures, [f"grey {i}" for i in range(5)])
    (tmp_path / "fitted" / "model").mkdir(parents=True)
    PixelNeighbours(size=4).fit(pairs, run=Run()).save(tmp_path / "fitted" / "model")
    return tmp_path / "fitted"


def test_answers_with_a_table_and_a_sheet(model, tmp_path, capsys):
    sheet = tmp_path / "found.png"
    assert Search(model=model, text="grey 3", k=3, sheet=sheet).run() == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert "similarity" in lines[0]
    assert len(lines) == 4
    assert "found.png" in said.err
    image = Image.open(io.BytesIO(sheet.read_bytes()))
    assert image.size == (3 * 130 + 2, 132)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_other_pictures_can_be_searched(model, tmp_path, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    for name, value in (("dark", 10), ("light", 200)):
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"a {name} one")
    sheet = tmp_path / "found.png"
    assert Search(model=model / "model", text="grey 0", data=str(folder), sheet=sheet).run() == 0
    out = capsys.readouterr().out
    assert "a dark one" in out
    assert "a light one" in out


def test_a_folder_of_pictures_needs_no_texts(model, tmp_path, capsys):
    for name, value in (("dark", 10), ("light", 200)):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(tmp_path / "own" / name / "1.png")
    (tmp_path / "own" / "broken.png").write_bytes(b"no picture")
    own = {"model": model, "text": "grey 0", "data": str(tmp_path / "own"), "sheet": tmp_path / "found.png"}
    with pytest.raises(ContractError, match=r"own/broken\.png: expected an image"):
        Search(**own).run()
    assert not (tmp_path / "found.png").exists()
    assert Search(**own, policy="skip").run() == 0
    said = capsys.readouterr()
    assert [line.split()[-1] for line in said.out.splitlines()[1:]] == ["dark/1.png", "light/1.png"]
    assert "own: left out 1 with an unreadable image" in said.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "--top: expected at least 1, got 0"),
        ({"text": " "}, "a text to look for"),
        ({"sheet": "found.jpg"}, "a file that ends in .png"),
        ({"sheet": "nowhere/found.png"}, "there is no folder"),
        ({"model": "nowhere"}, "nowhere: there is no such folder"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(model, tmp_path, changes, message):
    paths = {key: tmp_path / value for key, value in changes.items() if key in ("sheet", "model")}
    settings = {"model": model, "text": "grey", "sheet": tmp_path / "found.png"} | changes | paths
    with pytest.raises(ValueError, match=message):
        Search(**settings).run()
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a model's configuration"):
        Search(model=tmp_path, text="grey", sheet=tmp_path / "a.png").run()
