"""What a training leaves behind: the scalars of its steps, and how fast it went."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from assay.core.run import Run


class Record(NamedTuple):
    """One step: its number from 1, examples and seconds of training until its end, and its scalars."""

    step: int
    examples: int
    seconds: float
    values: dict[str, float]


@dataclass
class History:
    """The steps of a training.

    Args:
        records: one per attempted step.
        skipped: steps whose update was left out because it was not finite.
    """

    records: list[Record] = field(default_factory=list)
    skipped: int = 0

    @classmethod
    def resumed(cls, facts: Mapping[str, Any] | None, run: Run) -> "History":
        """The history that `state_dict` gave, with log and clock of `run` put back to it; else a new one."""
        if facts is None:
            return cls()
        found = cls([Record(*record) for record in facts["records"]], facts["skipped"])
        run.rewind(len(found.records))
        run.start_clock(spent=found.seconds)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The history as JSON."""
        return {"records": [list(record) for record in self.records], "skipped": self.skipped}

    def add(self, examples: int, seconds: float, values: dict[str, float], *, updated: bool) -> int:
        """Adds a step and returns its number, from 1."""
        step = len(self.records) + 1
        self.records.append(Record(step, examples, seconds, values))
        self.skipped += not updated
        return step

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return self.records[-1].seconds if self.records else 0.0

    @property
    def examples(self) -> int:
        """Examples seen, counted as often as they were seen."""
        return self.records[-1].examples if self.records else 0

    @property
    def examples_per_second(self) -> float:
        """Over the last nine tenths of the steps, because the first ones also warm up; 0 without steps."""
        if len(self.records) < 2:
            return self.examples / self.seconds if self.seconds else 0.0
        first, last = self.records[len(self.records) // 10], self.records[-1]
        return (last.examples - first.examples) / max(last.seconds - first.seconds, 1e-9)

    def curve(self, name: str = "loss", *, points: int | None = None) -> list[tuple[float, float]]:
        """(step, value) of a scalar; with `points`, means over about so many equal stretches of steps.

        Raises:
            KeyError: no step has a scalar of that name.
        """
        found = [(record.step, record.values[name]) for record in self.records if name in record.values]
        if not found:
            known = sorted({key for record in self.records for key in record.values})
            raise KeyError(f"no scalar {name!r}; there are {', '.join(known) or 'none'}")
        if points is None or len(found) <= points:
            return [(float(step), value) for step, value in found]
        edges = [round(i * len(found) / points) for i in range(points + 1)]
        stretches = [found[a:b] for a, b in itertools.pairwise(edges)]
        return [(float(stretch[-1][0]), _mean([value for _, value in stretch])) for stretch in stretches]


def pace(history: History, done: float) -> str:
    """A line about a training that has `done` so much of it: step, loss, speed, time left."""
    last = history.records[-1]
    words = [f"step {last.step}", f"loss {last.values['loss']:.4g}"]
    words.append(f"{history.examples_per_second:,.0f} examples/s")
    if 0 < done < 1:
        left = round(history.seconds * (1 - done) / done)
        words.append(f"{left // 60}:{left % 60:02d} left")
    return ", ".join(words)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
