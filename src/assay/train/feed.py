"""Batches one after another, over as many passes as a training lasts, resumed where it was cut off."""

from collections.abc import Iterable, Iterator
from typing import Any

Batch = tuple[Any, ...]


class Feed:
    """Groups of batches for one step each.

    Args:
        batches: an iterable of tuples. One that can be iterated again is, until a pass gives nothing.
        endless: begin another pass when one is over.
    """

    def __init__(self, batches: Iterable[Batch], *, endless: bool) -> None:
        self._batches, self._endless = batches, endless
        self.taken = self.passes = 0
        self._iterator = self._all()

    @property
    def epochs(self) -> float:
        """Passes over the data until now, in parts if the number of batches is known."""
        try:
            return self.taken / max(len(self._batches), 1)  # type: ignore[arg-type]
        except TypeError:
            return float(self.passes)

    def group(self, count: int, device: str) -> list[Batch] | None:
        """The next `count` batches, on `device` what has `to`; None when there are not so many any more."""
        found = []
        for _, batch in zip(range(count), self._iterator, strict=False):
            found.append(tuple(_moved(item, device) for item in batch))
        return found if len(found) == count else None

    def state_dict(self) -> dict[str, Any]:
        """How far it is, and the batches' own state if they have one."""
        own = self._batches.state_dict() if self._resumes() else None  # type: ignore[attr-defined]
        return {"taken": self.taken, "passes": self.passes, "batches": own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where `state_dict` was called; batches without a state of their own are passed over.

        Raises:
            ValueError: there are fewer batches than were taken before.
        """
        if self._resumes():
            self._batches.load_state_dict(state["batches"])  # type: ignore[attr-defined]
            self.taken, self.passes = state["taken"], state["passes"]
        else:
            while self.taken < state["taken"]:
                if next(self._iterator, None) is None:
                    raise ValueError(f"expected {state['taken']} batches to pass over, got {self.taken}")

    def _resumes(self) -> bool:
        return hasattr(self._batches, "load_state_dict")

    def _all(self) -> Iterator[Batch]:
        resumed = True  # The first pass may be the empty rest of one that was cut off at its very end.
        while True:
            before = self.taken
            for batch in self._batches:
                self.taken += 1
                yield batch
            self.passes += 1
            if not self._endless or (self.taken == before and not resumed):
                return
            resumed = False


def _moved(item: Any, device: str) -> Any:
    return item.to(device, non_blocking=True) if hasattr(item, "to") else item
