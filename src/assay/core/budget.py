"""A budget: how much of one thing every method of a comparison may spend."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Unit = Literal["seconds", "epochs", "steps", "examples"]

_SPELLINGS: dict[str, tuple[Unit, float]] = {
    "s": ("seconds", 1),
    "m": ("seconds", 60),
    "h": ("seconds", 3600),
    **{name: (unit, 1) for unit in get_args(Unit) for name in (unit, unit.removesuffix("s"))},
}


@dataclass(frozen=True)
class Budget:
    """An amount of seconds of fitting, or of epochs, steps (rounds, trees) or examples.

    Raises:
        ValueError: the amount is not positive and finite.
    """

    amount: float
    unit: Unit

    def __post_init__(self) -> None:
        if not 0 < self.amount < float("inf"):
            raise ValueError(f"a budget must be positive and finite, got {self.amount} {self.unit}")

    @classmethod
    def parse(cls, text: "str | Budget") -> "Budget":
        """The budget that `text` names: "60s", "5m", "1h", "20epochs", "1000steps" or "50000examples"."""
        if isinstance(text, Budget):
            return text
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([a-z]+)\s*", text.lower())
        if match is None or match[2] not in _SPELLINGS:
            raise ValueError(
                f"expected a budget such as 60s, 5m, 1h, 20epochs, 1000steps or 50000examples, got {text!r}"
            )
        unit, factor = _SPELLINGS[match[2]]
        return cls(float(match[1]) * factor, unit)

    def __str__(self) -> str:
        return f"{self.amount:g}s" if self.unit == "seconds" else f"{self.amount:g}{self.unit}"
