"""What is wrong with single items of a user's data: refused at once, or left out and counted."""

from collections import Counter
from typing import Literal, get_args

from assay.data.table import ContractError

Policy = Literal["refuse", "skip"]
_SHOWN = 5  # examples that are named


class Faults:
    """Faults found while data are read.

    Args:
        policy: "refuse" makes the first fault an error; "skip" counts it, and the item is left out.

    Raises:
        ValueError: no such policy.
    """

    def __init__(self, policy: Policy) -> None:
        if policy not in get_args(Policy):
            raise ValueError(f"expected a policy of {' or '.join(get_args(Policy))}, got {policy!r}")
        self.policy: Policy = policy
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, kind: str, message: str) -> None:
        """Counts a fault.

        Args:
            kind: what sort of fault in a few words, such as "empty text".
            message: where it is (file, row), what was expected and what came.

        Raises:
            ContractError: the policy is "refuse".
        """
        if self.policy == "refuse":
            raise ContractError(f'{message} (with the policy "skip" such items are left out and counted)')
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _SHOWN:
            examples.append(message)

    def notes(self) -> tuple[str, ...]:
        """A line for each kind of fault: how many items were left out, and the first ones by name."""
        return tuple(
            f"left out {count:,} with {kind}: {'; '.join(self.examples[kind])}"
            + ("; ..." if count > _SHOWN else "")
            for kind, count in self.counts.items()
        )

    def check_some_left(self, where: str, left: int) -> None:
        """Makes sure that something is left.

        Raises:
            ContractError: nothing is; the message says why.
        """
        if left == 0:
            why = f": {'; '.join(self.notes())}" if self.counts else ""
            raise ContractError(f"{where}: expected at least one item, got none{why}")
