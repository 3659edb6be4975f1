"""Renews the tables of methods and claims in the documents, from the catalog and the records.

`python docs/tables.py` rewrites what stands between `<!-- methods -->`, `<!-- verdicts -->` or
`<!-- claims -->` and its end mark; with `--check` its exit status only says whether one is out of date.
"""

import re
import sys
from pathlib import Path

from assay import catalog
from assay.app.cards import cards
from assay.core.claim import Record

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "docs" / "claims.md")
RECORDS = ROOT / "claims" / "records"


def methods_table() -> str:
    """Every task with its question, then its methods: name, what it is, paper."""
    parts = []
    for name in catalog.TASKS:
        task = catalog.task(name)
        parts += [f"**`{name}`**: {task.question}\n", "| method | what it is | paper |", "|---|---|---|"]
        for card in cards(task):
            if not card.peer:
                what = card.what.partition(": ")[2] or card.what
                parts.append(f"| `{card.name}` | {_cell(what)} | {_cell(card.paper)} |")
        peers = [f"`{card.name}`" for card in cards(task) if card.peer]
        parts.append(f"\nPeers, when installed: {', '.join(peers)}.\n" if peers else "")
    return "\n".join(parts).strip()


def verdicts_table() -> str:
    """How many of each task's claims were supported, refuted or left open."""
    lines = ["| task | supported | refuted | open |", "|---|---|---|---|"]
    for task, records in _records().items():
        verdicts = [record.verdict for _, record in records]
        counts = (str(verdicts.count(verdict)) for verdict in ("supported", "refuted", "open"))
        lines.append(f"| [`{task}`](docs/claims.md#{task}) | {' | '.join(counts)} |")
    return "\n".join(lines)


def claims_table() -> str:
    """Every record by task: claim, source, verdict, and by how much."""
    parts = []
    for task, records in _records().items():
        parts += [
            f"## {task}\n",
            "| claim | source | verdict | measured (mean [95 % interval]) |",
            "|---|---|---|---|",
        ]
        for path, record in records:
            measured = "<br>".join(_measured(prediction) for prediction in record.predictions)
            link = f"../{path.relative_to(ROOT).as_posix()}"
            found = f"<br>{_cell(record.finding)}" if record.finding else ""
            claim = f"[{_cell(record.statement)}]({link}){found}"
            parts.append(f"| {claim} | {_cell(record.source)} | **{record.verdict}** | {measured} |")
        parts.append("")
    return "\n".join(parts).strip()


def _records() -> dict[str, list[tuple[Path, Record]]]:
    """Path and record of every claim, by task in the catalog's order."""
    found: dict[str, list[tuple[Path, Record]]] = {}
    for task in catalog.CLAIMS:
        paths = sorted((RECORDS / task).glob("*.json"))
        if paths:
            found[task] = [(path, Record.read(path)) for path in paths]
    return found


def _measured(prediction) -> str:
    interval = ""
    if prediction["low"] is not None:
        interval = f" [{prediction['low']:.3g}, {prediction['high']:.3g}]"
    return f"{_cell(prediction['prediction'])}: {prediction['mean']:.3g}{interval}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def renewed(text: str) -> str:
    """`text` with its tables made anew."""
    tables = {"methods": methods_table, "verdicts": verdicts_table, "claims": claims_table}
    for name, made in tables.items():
        if f"<!-- {name} -->" not in text:
            continue
        table = made()
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text = pattern.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", text)
    return text


def main() -> int:
    """0 when the files were up to date or have been rewritten, 1 when --check found one that is not."""
    stale = [path for path in DOCUMENTS if renewed(path.read_text("utf-8")) != path.read_text("utf-8")]
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"{path.name} is out of date: run python docs/tables.py\n")
        return bool(stale)
    for path in stale:
        path.write_text(renewed(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
