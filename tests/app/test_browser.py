"""The report in a real browser, where there is one: it fits the window, draws, and reports no error."""

import html
import json
import re
import shutil
import subprocess

import pytest
from boards import HOSTILE, board, row

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=6000",
]

PROBE = r"""<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => errors.push(event.blockedURI));
addEventListener("load", () => setTimeout(() => {
  for (const button of document.querySelectorAll(".key button")) button.click();
  document.querySelectorAll(".leaderboard thead button")[1].click();
  const turned = (text) => !/^rotate\(0[,)]|^$|^translate/.test(text.getAttribute("transform") ?? "");
  const ticks = [...document.querySelectorAll("#chart-cost .xtick text")].filter((text) => !turned(text));
  const boxes = ticks.map((text) => text.getBoundingClientRect()).sort((a, b) => a.left - b.left);
  parent.postMessage(JSON.stringify({
    crowded: boxes.filter((box, at) => at > 0 && box.left < boxes[at - 1].right).length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    wide: [...document.querySelectorAll(".chart")].filter((chart) => chart.scrollWidth > innerWidth).length,
    drawn: document.querySelectorAll(".chart .main-svg").length > 0,
    points: document.querySelectorAll("#chart-cost .points path").length,
    hidden: document.querySelectorAll('.key button[aria-pressed="false"]').length,
    first: document.querySelector(".leaderboard tbody th").textContent.trim(),
    background: getComputedStyle(document.documentElement).backgroundColor,
    ink: document.querySelector("#chart-cost .xtick text").style.fill,
    errors,
  }), "*");
}, 500));
</script>"""


def look(page, tmp_path, width, dark):
    """What the page says of itself in a frame of that width."""
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text("utf-8").replace("<head>", "<head>" + PROBE, 1), "utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="probed.html" style="width:{width}px;height:900px"></iframe><pre></pre>'
        '<script>addEventListener("message", (e) => document.querySelector("pre").textContent = e.data)'
        "</script>"
    )
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1500,1000"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)[1]))


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1400, True)])
def test_the_report_fits_and_draws(tmp_path, width, dark):
    page = tmp_path / "board.html"
    shown = board(*board().rows, row(HOSTILE, [0.7, 0.71, 0.72], curve=True))
    shown.report(page)
    seen = look(page, tmp_path, width, dark)
    assert seen["errors"] == []
    assert seen["overflow"] <= 0
    assert seen["wide"] == 0
    assert seen["drawn"]
    assert seen["crowded"] == 0  # No word of an axis lies on another.
    assert seen["points"] == 5
    assert seen["hidden"] == 4  # Every button of the key was pressed once.
    assert seen["first"] == HOSTILE  # The table was sorted by name.
    assert seen["background"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert seen["ink"] == ("rgb(163, 171, 181)" if dark else "rgb(89, 97, 107)")
