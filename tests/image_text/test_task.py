import numpy as np
import pytest

from assay.core.comparison import compare
from assay.core.run import Run
from assay.data.emoji import emoji_split
from assay.data.fetch import FetchError
from assay.data.pairs import Pairs
from assay.data.table import ContractError
from assay.image_text.figures import sample_texts
from assay.image_text.task import task

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def emoji():
    try:
        return task.load(scale="smoke")
    except FetchError as error:
        pytest.skip(str(error))


def test_the_emoji_are_split_by_vendor_and_concept(emoji):
    train, exam = task.split(emoji, 0)
    names = [question.name for question in exam.questions]
    assert names == ["", "hard R@1", "zh R@1", "compositional R@1", "unseen R@1", "zero-shot"]
    easy = exam.questions[0]
    assert set(easy.images.column("vendor")) == {"twemoji"}
    assert set(exam.questions[1].images.column("vendor")) == {"openmoji"}
    assert not {"twemoji", "openmoji"} & set(train.column("vendor"))
    assert set(train.column("held_out")) == {"no"}
    seen = set(train.groups.tolist())
    for question in exam.questions[3:5]:
        assert not seen & set(question.image_groups.tolist())
    assert len(easy.texts) == len(np.unique(emoji.groups))
    assert set(easy.image_groups.tolist()) <= set(easy.text_groups.tolist())
    assert [m.name for m in task.metrics(emoji)] == [m.name for m in task.metrics(exam)]


def test_skin_tones_are_learnt_from_and_not_asked_for(emoji):
    toned = np.array(["none"] * len(emoji), object)
    parts = emoji_split(emoji)
    for part in parts.values():
        toned[part[::3]] = "dark"
    place = emoji.table.column_names.index("tone")
    table = emoji.table.take(emoji.rows).set_column(place, "tone", [toned.tolist()])
    train, exam = task.split(Pairs(table, "emoji"), 0)
    assert "dark" in set(train.column("tone"))
    assert len(train) == len(parts["train"])
    assert all(set(question.images.column("tone")) == {"none"} for question in exam.questions)
    plain = {emoji.texts(int(i), "en")[0] for i in np.flatnonzero(toned == "none")}
    assert set(exam.questions[0].texts) == plain


def test_perfect_and_useless_scores(emoji):
    _, exam = task.split(emoji, 0)
    right = [(q.image_groups[:, None] == q.text_groups[None]).ravel() for q in exam.questions]
    best = task.score(np.concatenate(right).astype(np.float32), exam)
    assert best["R@1"] == best["hard R@1"] == best["zero-shot"] == 1
    nothing = task.score(np.zeros(sum(map(len, right)), np.float32), exam)
    assert nothing["RSUM"] == 0
    assert list(best) == [metric.name for metric in task.metrics(emoji)]


def test_ones_own_pairs_are_split_by_group(pairs):
    train, exam = task.split(task.load(pairs), 1)
    question = exam.questions[0]
    assert not set(train.groups.tolist()) & set(question.image_groups.tolist())
    assert len(train) + len(exam) == 24
    assert len(question.texts) == sum(len(question.images.texts(i)) for i in range(len(exam)))
    assert [q.name for q in exam.questions] == ["", "zero-shot"]
    other, _ = task.split(pairs, 2)
    assert other.groups.tolist() != train.groups.tolist()


def test_a_file_of_pairs_is_read(pairs, tmp_path):
    import json

    from assay.data.pictures import encode_png

    lines = []
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(encode_png(pairs.images([i], 16)[0]))
        lines.append(json.dumps({"image": f"{i}.png", "text": pairs.texts(i)[0]}))
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    data = task.load(str(tmp_path / "pairs.jsonl"))
    assert len(data) == 12
    assert data.texts(3) == pairs.texts(3)[:1]
    with pytest.raises(ContractError):
        task.load(str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(ContractError, match="at least 4 different pairs"):
        task.load(pairs.take([0, 1, 12]))


def test_data_are_kept_and_opened(pairs, tmp_path):
    task.save_data(pairs, tmp_path)
    assert task.open_data(tmp_path).fingerprint() == pairs.fingerprint()


def test_methods_have_settings_and_sizes(pairs):
    assert task.method("clip", pairs, {}, "smoke").examples == 1536
    assert task.method("clip", pairs, {"examples": 7}, "smoke").examples == 7
    assert task.method("lit", pairs, {}, "full").examples == 400_000
    with pytest.raises(ValueError, match="clip has no setting 'widht'"):
        task.method("clip", pairs, {"widht": 1})
    assert "clean" in task.answers("dfn", pairs)
    assert task.answers("clip", pairs) is None


def test_a_method_that_scores_something_else_is_named(emoji):
    class Wrong:
        def scores(self, images, texts):
            return np.zeros((1, 1))

    _, exam = task.split(emoji, 0)
    with pytest.raises(ValueError, match=r"expected scores of shape \(\d+, \d+\), got \(1, 1\)"):
        task.predict(Wrong(), exam, Run())


def test_a_comparison_has_figures_curves_and_models(pairs, tmp_path):
    board = compare(
        task,
        pairs,
        methods=["pixel-neighbours", "clip"],
        seeds=1,
        scale="smoke",
        runs=tmp_path,
        progress=False,
        jobs=1,
    )
    assert [row.status for row in board.rows] == ["ok", "ok"]
    titles = [figure.title for figure in board.figures]
    assert titles == [f"Found for “{text}”" for text in sample_texts(board.best.gallery)] + [
        "Embeddings of clip"
    ]
    curve = board.row("clip").results[0].curve
    assert len(curve) == 6
    assert curve[-1][1] == board.row("clip").results[0].metrics["R@1"]
    assert board.model("clip").search("red bar", 2)
    assert isinstance(board.model("pixel-neighbours").gallery, Pairs)
