"""How much communication the backward pass hides: steps without it, with it afterwards, with it meanwhile."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from assay.collectives.bucketing import GradientBuckets, Span
from assay.collectives.metrics import exposed_communication, overlap_fraction


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A step of training: a stack of square layers on random inputs.

    Args:
        layers: how many.
        width: of each; a layer has 4 width^2 bytes of weights.
        batch: rows per rank; what a step computes grows with it, what it sends does not.
        bucket_bytes: of a bucket.
        steps: measured, of which medians are taken.
    """

    layers: int = 6
    width: int = 512
    batch: int = 256
    bucket_bytes: int = 2**20
    steps: int = 5

    def model(self) -> nn.Module:
        """The stack, with the same weights everywhere."""
        generator = torch.Generator().manual_seed(0)
        stack = nn.Sequential(*(nn.Linear(self.width, self.width, bias=False) for _ in range(self.layers)))
        with torch.no_grad():
            for p in stack.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / self.width**0.5)
        return stack


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Seconds of a step, medians of the slowest rank.

    Args:
        compute: without communication.
        after: buckets sent when the backward pass has ended.
        meanwhile: buckets sent while it goes on.
        alone: each bucket by itself.
        timeline: of one step with overlap on rank 0, beginning at 0.
    """

    compute: float
    after: float
    meanwhile: float
    alone: tuple[float, ...]
    timeline: tuple[Span, ...]

    @property
    def exposed(self) -> float:
        """What communication adds to a step with overlap."""
        return exposed_communication(self.meanwhile, self.compute)

    @property
    def fraction(self) -> float:
        """The share of communication that is hidden."""
        return overlap_fraction(self.exposed, self.alone)


def text_timeline(spans: Sequence[Span], width: int = 60) -> str:
    """One line for each span, such as "bucket 0 |  ####  | 3.1 to 5.0 ms"."""
    begin, end = min(span.start for span in spans), max(span.stop for span in spans)
    longest = max(len(span.name) for span in spans)
    scale = width / max(end - begin, 1e-9)
    lines = []
    for name, start, stop in spans:
        first = min(round((start - begin) * scale), width - 1)
        bar = "#" * max(1, round((stop - begin) * scale) - first)
        times = f"{1e3 * (start - begin):.1f} to {1e3 * (stop - begin):.1f} ms"
        lines.append(f"{name:{longest}} |{' ' * first + bar:{width}}| {times}")
    return "\n".join(lines)


def measure_overlap(work: Workload, launch: Callable[[Tensor], Any] | None = None) -> dict[str, Any]:
    """The fields of an `Overlap` as JSON; called on every rank. Arms take turns."""
    generator = torch.Generator().manual_seed(dist.get_rank())
    inputs = torch.randn(work.batch, work.width, generator=generator)
    plain, late, early = work.model(), work.model(), work.model()
    sent = functools.partial(GradientBuckets, bucket_bytes=work.bucket_bytes, launch=launch)
    meanwhile = sent(early.named_parameters())
    arms = {
        "compute": (plain, None),
        "after": (late, sent(late.named_parameters(), overlap=False)),
        "meanwhile": (early, meanwhile),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    timeline: list[Span] = []
    for turn in range(work.steps + 1):
        for name, (model, buckets) in arms.items():
            dist.barrier()
            spans = _step(model, inputs, buckets)
            if turn:
                seconds[name].append(_slowest(spans[-1].stop - spans[0].start))
            if name == "meanwhile":
                timeline = spans
    begin = timeline[0].start
    return {
        **{name: median(times) for name, times in seconds.items()},
        "alone": _alone(meanwhile, work.steps),
        "timeline": [(name, start - begin, stop - begin) for name, start, stop in timeline],
    }


def overlap_of(told: Sequence[dict[str, Any]]) -> Overlap:
    """The overlap that the ranks told; rank 0's timeline."""
    first = dict(told[0])
    return Overlap(
        compute=first["compute"],
        after=first["after"],
        meanwhile=first["meanwhile"],
        alone=tuple(first["alone"]),
        timeline=tuple(Span(*span) for span in first["timeline"]),
    )


def _step(model: nn.Module, inputs: Tensor, buckets: GradientBuckets | None) -> list[Span]:
    """Forward pass, backward pass, buckets, and the wait for them."""
    start = time.perf_counter()
    loss = model(inputs).square().mean()
    forward = time.perf_counter()
    loss.backward()
    backward = time.perf_counter()
    sent: list[Span] = []
    if buckets is not None:
        buckets.wait_all()
        sent = buckets.timeline
    end = time.perf_counter()
    for p in model.parameters():
        p.grad = None
    return [
        Span("forward", start, forward),
        Span("backward", forward, backward),
        *sent,
        Span("wait", backward, end),
    ]


def _alone(buckets: GradientBuckets, steps: int) -> list[float]:
    found = []
    for number in range(len(buckets.names)):
        times = []
        for _ in range(steps):
            dist.barrier()
            start = time.perf_counter()
            buckets.send_alone(number)
            times.append(_slowest(time.perf_counter() - start))
        found.append(median(times))
    return found


def _slowest(seconds: float) -> float:
    told = torch.tensor([seconds], dtype=torch.float64)
    dist.all_reduce(told, op=dist.ReduceOp.MAX)
    return float(told)
