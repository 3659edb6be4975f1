"""The documents say what the code does: generated tables are fresh, commands exist, figures have sources."""

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]


def test_generated_tables_are_fresh():
    command = [sys.executable, str(ROOT / "docs" / "tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", [*READMES, ROOT / "docs" / "claims.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        if "://" not in link:
            assert (document.parent / link).exists(), link


def test_every_record_is_in_the_table_of_claims():
    table = (ROOT / "docs" / "claims.md").read_text("utf-8")
    records = [path.relative_to(ROOT).as_posix() for path in (ROOT / "claims" / "records").rglob("*.json")]
    assert records
    assert all(f"(../{record})" in table for record in records)


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.name)
def test_commands_of_the_readme_parse(readme):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    text = "\n".join(re.findall(r"```sh\n(.*?)```", readme.read_text("utf-8"), re.DOTALL))
    for target in re.findall(r"^make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    listed = subprocess.run(
        [sys.executable, "-m", "assay.app.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in re.findall(r"^assay (\w+)", text, re.MULTILINE):
        assert command in listed, command


def test_both_readmes_show_the_same_commands():
    blocks = []
    for readme in READMES:
        code = "\n".join(re.findall(r"```\w*\n(.*?)```", readme.read_text("utf-8"), re.DOTALL))
        blocks.append([line.partition("#")[0].strip() for line in code.splitlines()])
    assert blocks[0] == blocks[1]


def test_nothing_printed_is_only_recalled():
    for path in [*READMES, *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py"), *ROOT.glob("*.md")]:
        assert "recalled" not in path.read_text("utf-8"), path


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=]", name)[0].lower() for name in wanted} - {"assay"}
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {line.partition("==")[0].lower() for line in lines if "==" in line}
    assert names <= pinned, names - pinned


def test_version_is_one():
    from assay import __version__

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == __version__
