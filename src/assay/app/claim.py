"""`assay claim`: what the papers say, run again and judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional

from assay.app.command import Command, Precision, Scale, option, parse_seconds


@dataclass(kw_only=True)
class Claim(Command):
    """Re-run what papers claim, and judge it: supported, refuted or open."""

    names: Annotated[Positional[tuple[str, ...]], option("[NAME ...]", "all")] = ()
    """Claims, or tasks."""
    seeds: Annotated[int | None, option("INT", "what each claim asks for")] = None
    """How many."""
    scale: Scale = "default"
    """How large: seconds, minutes, or what the machine can bear."""
    device: Annotated[str, option("cpu|cuda[:INT]", "cpu")] = "cpu"
    """Where the claim's trainings compute."""
    precision: Precision = "fp32"
    """Of the claim's trainings, where it does not choose one."""
    jobs: Annotated[int | None, option("INT", "as many as there are cores, one on a GPU")] = None
    """Seeds at the same time."""
    time_limit: Annotated[str, option("TIME", "1h")] = "1h"
    """Time after which one seed is killed, or none."""
    runs: Annotated[Path, option("FOLDER", "runs")] = Path("runs")
    """Folder of finished trials; what is there is not run again."""
    records: Annotated[Path | None, option("FOLDER")] = None
    """Folder to write the records to."""

    def run(self) -> int:
        """0, or 1 if a claim could not be run; the verdict does not matter."""
        from assay.app.terminal import console, say, table
        from assay.core.claim import claim, claims

        chosen = claims(self.names)
        options = {"seeds": self.seeds, "scale": self.scale, "runs": self.runs, "jobs": self.jobs}
        options |= {"device": self.device, "precision": self.precision}
        options["time_limit"] = parse_seconds(self.time_limit)
        if (self.seeds is not None and self.seeds < 1) or (self.jobs is not None and self.jobs < 1):
            raise ValueError("--seeds and --jobs must be at least 1")
        rows = table("claim", "verdict", "predicted", "measured", "source")
        failed = 0
        for name, each in chosen.items():
            try:
                record = claim(each, **options)
            except RuntimeError as error:
                failed += 1
                say(f"assay: error: {error}")
                rows.add_row(name, "not run", "", "", each.source)
                continue
            if self.records is not None:
                record.write(self.records)
            for index, judged in enumerate(record.predictions):
                first = index == 0
                rows.add_row(
                    name if first else "",
                    record.verdict if first else "",
                    judged["prediction"],
                    measured(judged),
                    record.source if first else "",
                )
        console().print(rows)
        return 1 if failed else 0


def measured(judged: Mapping[str, Any]) -> str:
    """A judged prediction's mean and interval, such as "0.0213 [0.0188, 0.0238]"."""
    if judged["low"] is None:
        return f"{judged['mean']:.4g} (one seed)"
    return f"{judged['mean']:.4g} [{judged['low']:.4g}, {judged['high']:.4g}]"
