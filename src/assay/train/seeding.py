"""Torch's random numbers and threads as a run says, for the time of a block and no longer."""

import contextlib
from collections.abc import Iterator

import torch

from assay.core.run import Run


@contextlib.contextmanager
def seeded(run: Run, *stream: str | int) -> Iterator[None]:
    """Within the block torch draws from `run.seed` and uses `run.threads`; afterwards all is as it was.

    Every rank draws the same numbers, so that all start from the same weights.

    Args:
        run: its seed, device and threads.
        stream: names one of several independent sequences, such as "predict".

    Raises:
        ValueError: this machine does not have the device.
    """
    device = torch.device(run.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count() or "no"
        raise ValueError(
            f"device {run.device!r}: torch finds {found} GPU{'s' * (found != 1)} on this machine"
        )
    before = torch.get_num_threads()
    cards = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=cards, device_type=device.type if cards else "cuda"):
        reseed(run, *stream)
        torch.set_num_threads(run.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def reseed(run: Run, *stream: str | int) -> None:
    """Sets torch's generators, on the CPU and on the run's device, to a state that seed and stream decide."""
    seed = int(run.rng("torch", *stream).integers(2**63))
    torch.default_generator.manual_seed(seed)
    device = torch.device(run.device)
    if device.type != "cpu":
        card(device).manual_seed(seed)


def card(device: torch.device) -> torch.Generator:
    """The generator from which an accelerator's random numbers are drawn."""
    torch.cuda.init()
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.cuda.default_generators[index]
