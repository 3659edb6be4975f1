"""Python's garbage collection at step boundaries, at the same step on all ranks.

One rank that stops to collect stalls all others in the next collective. It helps only with large heaps and
many ranks, so the loop uses it only with more than one.

Reference:
    CPython, `gc`; the pauses were described by torchtitan (pull request 148) and DeepSpeed (8451).
"""

import contextlib
import gc
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def collected(*, every: int = 10, warmup: int = 3, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """In the block garbage is collected only when the yielded function is called with a step that it chooses.

    After `warmup` steps everything that lives is collected once and then left out of later collections, which
    look at the young objects only, every `every` steps. Afterwards all is as it was before.

    Args:
        every: steps between collections.
        warmup: steps until what stays for good is there.
        enabled: False leaves Python's own ways alone.

    Raises:
        ValueError: a number of steps is not positive.
    """
    if every < 1 or warmup < 1:
        raise ValueError(f"expected positive numbers of steps, got every={every} and warmup={warmup}")
    if not enabled:
        yield lambda step: None
        return
    automatic, frozen = gc.isenabled(), gc.get_freeze_count()
    done = 0

    def collect(step: int) -> None:
        nonlocal done
        done += 1
        if done == warmup:
            gc.collect()
            gc.freeze()
        elif step % every == 0:
            gc.collect(1)

    gc.disable()
    try:
        yield collect
    finally:
        if not frozen:  # What an outer block has frozen stays frozen until that ends.
            gc.unfreeze()
        if automatic:
            gc.enable()
