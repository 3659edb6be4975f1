import os

import pytest
from boards import HOSTILE, board, row

from assay.app.shelf import keep, kept


def test_a_kept_board_comes_back_with_its_command(tmp_path):
    path = keep(board(), tmp_path, "assay compare tabular")
    [found] = kept(tmp_path)
    assert found.board.to_json() == board().to_json()
    assert found.command == "assay compare tabular"
    assert path == tmp_path / "boards" / f"{found.name}.json"
    assert found.name.startswith("tabular-people-csv-")


def test_the_same_comparison_replaces_its_board_and_another_does_not(tmp_path):
    first = keep(board(row("a", [0.1]), row("b", [0.2])), tmp_path, None)
    assert keep(board(row("b", [0.3]), row("a", [0.2])), tmp_path, None) == first
    assert len(kept(tmp_path)) == 1
    others = [
        board(row("a", [0.1])),
        board(seeds=(0,)),
        board(budget="1s"),
        board(row("a", [0.1], settings={"x": 2})),
    ]
    assert len({keep(other, tmp_path, None) for other in others} | {first}) == 5


def test_latest_first_and_hostile_names_stay_in_the_folder(tmp_path):
    old = keep(board(), tmp_path, None)
    new = keep(board(data={**board().data, "name": "../../" + HOSTILE}), tmp_path, None)
    os.utime(old, (1, 1))
    assert new.parent == old.parent
    assert [entry.name for entry in kept(tmp_path)] == [new.stem, old.stem]


def test_no_boards_and_a_damaged_one(tmp_path):
    assert kept(tmp_path) == []
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "x.json").write_text('{"task": "tab')
    with pytest.raises(ValueError, match=r"x\.json: expected a board written by assay"):
        kept(tmp_path)
