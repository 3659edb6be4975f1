from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import toy_task
from boards import HOSTILE, board, row

from assay import catalog
from assay.app.cli import main
from assay.app.shelf import keep, kept
from assay.app.site import write_site
from assay.core.claim import Record


def record(name="toy/bias", verdict="supported", **changes):
    content = {
        "name": name,
        "statement": "A biased mean is worse.",
        "source": "Gauss. Theoria combinationis. 1823.",
        "shrunk": "",
        "finding": "",
        "scale": "default",
        "seeds": (0, 1, 2),
        "values": {"mean": (1.0, 2.0, 3.0)},
        "predictions": (
            {"prediction": "mean > 0", "mean": 2.0, "low": 1.5, "high": 2.5, "verdict": verdict},
            {"prediction": "mean > 9", "mean": 2.0, "low": None, "high": None, "verdict": "open"},
        ),
        "verdict": verdict,
        "seconds": 1.25,
        "date": "2024-02-29",
        "environment": {},
    }
    return Record(**(content | changes))


class Links(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.targets, self.ids, self.tags, self.words = [], set(), [], ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.ids.add(found.get("id"))
        self.targets += [found[name] for name in ("href", "src") if name in found]

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def site(tmp_path):
    keep(board(), tmp_path / "runs", "assay compare tabular --data people.csv")
    keep(board(row("a", [0.1, 0.2]), row(HOSTILE, [0.3, 0.4])), tmp_path / "runs", None)
    records = [record(), record(f"toy/{HOSTILE}", "refuted", statement=HOSTILE, finding="It does not.")]
    write_site(tmp_path / "site", [toy_task.task], kept(tmp_path / "runs"), records)
    return tmp_path / "site"


def test_every_link_leads_to_a_file_or_a_heading(site):
    pages = [site / "index.html", *(site / "boards").iterdir()]
    assert len(pages) == 3
    for page in pages:
        links = Links(page)
        assert links.targets
        for target in links.targets:
            file, _, anchor = unquote(target).partition("#")
            assert ":" not in file
            assert (page.parent / file).is_file() if file else anchor in links.ids, target


def test_index_shows_tasks_methods_claims_and_boards(site):
    words = " ".join(Links(site / "index.html").words.split())
    for name in ("mean", "median", "peer-mean", "Where is the centre?", "needs a-package", "people.csv"):
        assert name in words
    assert "supported A biased mean is worse. toy/bias" in words
    assert "mean > 0: measured 2 [1.5, 2.5] supported" in words
    assert "mean > 9: measured 2 (one seed) open" in words
    assert "It does not." in words
    assert "2024-02-29, 3 seeds" in words
    assert board().verdict in words
    assert {"boards", "claims", "task-toy"} <= Links(site / "index.html").ids


def test_plotly_is_written_once_for_all_pages(site):
    for page in (site / "boards").iterdir():
        assert page.stat().st_size < 150_000
        assert "../plotly.min.js" in page.read_text("utf-8")
    assert (site / "plotly.min.js").stat().st_size > 1_000_000
    assert "assay compare tabular --data people.csv" in "".join(
        page.read_text("utf-8") for page in (site / "boards").iterdir()
    )


def test_hostile_names_stay_text(site):
    for page in [site / "index.html", *(site / "boards").iterdir()]:
        tags = Links(page).tags
        assert "img" not in tags
        assert tags.count("script") == (0 if page.name == "index.html" else 3)


def test_an_empty_site_says_how_to_fill_it(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").write_text("stays")
    write_site(tmp_path / "site", [], [], [])
    words = Links(tmp_path / "site" / "index.html").words
    assert "assay compare" in words
    assert "assay claim" in words
    assert (tmp_path / "site" / "mine.txt").exists()


def test_report_shows_what_was_compared_and_claimed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(catalog, "TASKS", {"toy": "toy_task:task"})
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "toy", "--seeds", "2", "--runs", "r"]) == 0
    record().write(Path("claims/records"))
    capsys.readouterr()
    assert main(["report", "--runs", "r", "--out", "out"]) == 0
    assert capsys.readouterr().err == "site: out/index.html\n"
    words = Links(Path("out/index.html")).words
    assert "numbers" in words
    assert "toy/bias" in words
    [page] = Path("out/boards").iterdir()
    assert "assay compare toy --seeds 2 --runs r" in page.read_text("utf-8")


def test_a_damaged_record_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(catalog, "TASKS", {})
    (tmp_path / "bad.json").write_text("{}")
    assert main(["report", "--records", str(tmp_path), "--out", str(tmp_path / "site")]) == 2
    assert "bad.json: expected a claim's record" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
