import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from boards import HOSTILE, board, failed, row

from assay.app import report
from assay.app.report import board_page, write_board
from assay.core.board import Board
from assay.core.leaderboard import format_interval
from assay.core.task import Figure
from assay.data.pictures import encode_png

VOID = {"meta", "img", "br", "line", "circle", "link"}


class Page(HTMLParser):
    """The elements of a page, their attributes and text; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts.setdefault(tag, []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag):
        return " ".join("".join(self.texts.get(tag, [])).split())


def page(shown, **options):
    return board_page(shown, command=None, plotly=report.Markup("<script>Plotly</script>"), **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "board.html"
    board().report(path)
    return path.read_text("utf-8")


def test_page_loads_nothing_from_elsewhere(whole):
    found = Page(whole)
    for tag, attributes in found.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:image/png")) or not value, (tag, name, value)
    style = found.text("style")
    assert "@import" not in style
    assert "url(" not in style
    [policy] = [m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:|\*", policy)
    assert not found.all("link")


def test_plotly_is_there_once_and_the_page_is_not_large(whole):
    assert whole.count("plotly.js v") == 1
    assert len(whole) - len(report.plotly_source()) < 150_000


def test_curves_are_called_by_their_axes(whole):
    assert '<h2 id="curves-title">AUC by round</h2>' in whole
    assert '<a href="#curves">AUC by round</a>' in whole


def test_sections_and_structure(whole):
    found = Page(whole)
    sections = [s["id"] for s in found.all("section")]
    names = "leaderboard failed differences curves cost settings data environment reproduce"
    assert sections == names.split()
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in found.all("a"):
        assert attributes["href"][1:] in ids
    for _, attributes in found.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    assert len(found.all("h1")) == 1
    assert found.all("html")[0]["lang"] == "en"
    for attributes in found.all("svg"):
        assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    for _, attributes in found.elements:
        if "scroll" in (attributes.get("class") or "").split():
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]


def test_what_the_board_says_is_on_the_page(whole):
    shown = board()
    text = Page(whole).text("body")
    for words in (shown.verdict, shown.question, "people.csv", "not finished after 60 s", "48,842", "2,799"):
        assert words in text
    for one in shown.ranking[:4]:
        for metric in shown.metrics:
            assert format_interval(one.values(metric.name)) in text
    assert "assay compare tabular --data people.csv --target income" in text
    assert "8 GB" in text
    assert text.count("≈ tie") == len(shown.contenders)
    assert "0123456789abcdef" in text
    assert "0123456789abcdef0" not in text
    assert "rounds" in text


def test_leaderboard_rows_carry_what_they_are_sorted_by(whole):
    body = re.search(r'class="sortable leaderboard".*?<tbody>(.*?)</tbody>', whole, re.DOTALL)[1]
    rows = [re.findall(r'data-value="([^"]*)"', part) for part in body.split("</tr>")[:-1]]
    shown = board()
    assert [values[1] for values in rows] == [one.name for one in shown.ranking]
    for values, one in zip(rows, shown.ranking, strict=True):
        scores = one.values("AUC")
        assert values[2] == (str(sum(scores) / len(scores)) if scores else "") or float(
            values[2]
        ) == pytest.approx(sum(scores) / len(scores))
        assert len(values) == 2 + len(shown.metrics) + 4


@pytest.mark.parametrize(
    "where", ["method", "data", "setting", "question", "column", "error", "metric", "figure"]
)
def test_hostile_names_stay_text(where, tmp_path):
    shown = board()
    changes = {
        "method": lambda: board(row(HOSTILE, [0.5, 0.6, 0.7], curve=True), row("b", [0.5, 0.6, 0.8])),
        "data": lambda: board(data={**shown.data, "name": HOSTILE}),
        "setting": lambda: board(row("a", [0.5], settings={HOSTILE: HOSTILE})),
        "question": lambda: board(question=HOSTILE),
        "column": lambda: board(data={**shown.data, "columns": [{"name": HOSTILE}], HOSTILE: [HOSTILE]}),
        "error": lambda: board(failed("a", "error", HOSTILE), row("b", [0.5])),
        "metric": lambda: board(metrics=(dataclasses.replace(shown.metrics[0], unit=HOSTILE),)),
        "figure": lambda: board(
            draw=lambda _: [Figure(HOSTILE, HOSTILE, {"data": [], "layout": {"title": HOSTILE}})]
        ),
    }
    text = page(changes[where](), home="../index.html")
    found = Page(text)
    assert "alert(1)" in text
    assert not found.all("img")
    assert len(found.all("script")) == 3
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]


def test_chart_data_is_json_and_the_same_as_the_figures():
    shown = board(row(HOSTILE, [0.5, 0.6, 0.7], curve=True))
    text = page(shown)
    written = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL)[1]
    look = report.series(shown)
    assert json.loads(written) == {
        "curves": json.loads(json.dumps(report.learning_curves(shown, look))),
        "cost": json.loads(json.dumps(report.cost_against_score(shown, look))),
    }


@pytest.mark.parametrize(
    ("shown", "present", "absent"),
    [
        (board(row("only", [0.5])), {"leaderboard", "cost"}, {"differences", "curves", "failed"}),
        (board(row("a", [0.5]), row("b", [0.6])), {"differences"}, {"curves"}),
        (board(failed("a"), failed("b")), {"failed"}, {"differences", "cost", "curves"}),
        (board(seeds=(0,), budget="60s", threads=4, scale="smoke"), {"leaderboard"}, set()),
    ],
)
def test_boards_with_little_on_them(shown, present, absent):
    text = page(shown)
    sections = {section["id"] for section in Page(text).all("section")}
    assert present <= sections
    assert not absent & sections
    assert shown.verdict in Page(text).text("body")
    assert not re.search(r"\bnan\b", text.lower())


def test_single_seed_is_no_tie_but_unsettled():
    text = Page(page(board(row("a", [0.5]), row("b", [0.6])))).text("body")
    assert "one seed gives no interval" in text
    assert "worse than the leader" not in text


def test_lower_is_better_turns_the_sides():
    shown = board()
    turned = board(metrics=shown.metrics[::-1])
    assert "← worse" in page(shown)
    assert "← better" in page(turned)


def test_task_figures_are_shown():
    drawn = Figure("Confusion", "True against predicted.", {"data": [], "layout": {}})
    image = Figure("Samples", "Four digits.", None, b"\x89PNG")
    text = page(board(draw=lambda _: [drawn, image]))
    found = Page(text)
    assert found.all("img") == [{"src": "data:image/png;base64,iVBORw==", "alt": "Four digits."}]
    assert any(attributes.get("id") == "chart-own-0" for _, attributes in found.elements)
    assert '"own-0"' in text


def test_small_pictures_stand_side_by_side():
    small, large = (encode_png(np.zeros((4, width, 3), np.uint8)) for width in (400, 401))
    figures = [Figure("a", "", None, small), Figure("b", "", None, large), Figure("c", "", {"data": []})]
    found = Page(page(board(draw=lambda _: figures)))
    assert [one.get("class") for one in found.all("figure")][-3:] == [None, "whole", "whole"]


def test_page_of_a_board_that_was_read_is_the_same(tmp_path):
    shown = board()
    shown.write(tmp_path / "board.json")
    assert page(Board.read(tmp_path / "board.json")) == page(shown)


def test_command_is_given_or_derived(tmp_path):
    path = tmp_path / "a.html"
    write_board(board(), path, command="assay compare tabular --set 'a=<b>'")
    assert "assay compare tabular --set &#39;a=&lt;b&gt;&#39;" in path.read_text("utf-8")
    derived = Page(page(board(budget="60s", threads=2, scale="full"))).text("pre")
    assert derived == (
        "assay compare tabular --data people.csv --target income --methods forest,boosting,tree,broken "
        "--peers --seeds 3 --budget 60s --scale full --threads 2"
    )
    on_gpu = board(environment={"device": "cuda", "precision": "bf16"})
    assert Page(page(on_gpu)).text("pre").endswith("--seeds 3 --device cuda --precision bf16")


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    with pytest.raises(OSError):
        write_board(board(), tmp_path / "missing" / "a.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_board(board(), tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def colours(scheme):
    style = (report.Path(report.__file__).parent / "templates" / "style.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", {"light": light, "dark": dark}[scheme]))


def contrast(one, two):
    """Ratio of luminances as WCAG 2 defines it."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme):
    palette = colours(scheme)
    for ground in ("page", "panel"):
        for text in ("ink", "muted", "accent", "good", "bad"):
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
    hues = [palette[f"series-{index}"] for index in range(8)]
    assert len(set(hues)) == 8
    for hue in hues:
        assert contrast(hue, palette["page"]) >= 4.5  # The ranks are written on the hues.
