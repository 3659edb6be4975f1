"""The report's pictures: bandwidth and time against size, the model on more ranks, a timeline of overlap.

Colours are the report's CSS variables, so that the pictures can be read on a light and on a dark page.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from assay.collectives.algorithm import Algorithm
from assay.collectives.cost_model import Network, simulate
from assay.collectives.measurement import Measurement
from assay.collectives.metrics import bus_bandwidth
from assay.collectives.overlap import Overlap
from assay.collectives.problem import ITEM_BYTES
from assay.collectives.task import task
from assay.core.board import Board
from assay.core.method import locate
from assay.core.task import Figure

_HUES = 8  # as many as the report's style defines
_RANKS = (2, 8, 32, 128, 512, 2048)
_SHORT = 2**16  # bytes


def figures(board: Board) -> Iterator[Figure]:
    """The pictures that the board has measurements for."""
    found = {row.name: _measurements(board, row.name) for row in board.ranking if row.status == "ok"}
    found = {name: measured for name, measured in found.items() if measured}
    if not found:
        return
    yield bandwidth(found)
    networks = [m.network for measured in found.values() for m in measured if m.network is not None]
    if networks:
        network = middle(networks)
        yield predicted(found, network)
        yield extrapolated(found, network)
    hidden = {name: m.overlap for name, measured in found.items() for m in measured[:1] if m.overlap}
    if hidden:
        yield timeline(*next(iter(hidden.items())))


def middle(networks: Sequence[Network]) -> Network:
    """The medians of what several measurements found."""
    names = ("alpha", "beta", "gamma", "crowd_alpha", "crowd_beta")
    return Network(**{name: median(getattr(network, name) for network in networks) for name in names})


def bandwidth(found: Mapping[str, Sequence[Measurement]]) -> Figure:
    """Bus bandwidth of every method against the size of the array."""
    data = []
    for hue, (name, measured) in enumerate(found.items()):
        sizes, seconds = _sweep(measured)
        ranks = measured[0].problem.ranks
        values = [bus_bandwidth("all_reduce", s, t, ranks) / 1e9 for s, t in zip(sizes, seconds, strict=True)]
        data.append(_line(name, sizes, values, hue))
    return Figure(
        "Bus bandwidth",
        "algbw x 2(n - 1)/n against the bytes of the array, median over seeds. Short arrays pay for the "
        "number of messages, long ones for their bytes.",
        {"data": data, "layout": {"xaxis": _log_axis("bytes"), "yaxis": _log_axis("GB/s")}},
    )


def predicted(found: Mapping[str, Sequence[Measurement]], network: Network) -> Figure:
    """Measured times, and those that the cost model expects of the same steps."""
    data = []
    for hue, (name, measured) in enumerate(found.items()):
        sizes, seconds = _sweep(measured)
        data.append(_line(name, sizes, seconds, hue))
        algorithm = _algorithm(name)
        if algorithm is not None:
            problem = measured[0].problem
            item = ITEM_BYTES[problem.dtype]
            walks = [algorithm.walk("all_reduce", problem.ranks, size // item) for size in sizes]
            times = [simulate(walk, problem.ranks, network, item) for walk in walks]
            data.append(_line(f"{name}, model", sizes, times, hue, dash="dot", key=False))
    return Figure(
        "Measured and predicted",
        f"Seconds against bytes. Dotted: the cost model with alpha {network.alpha * 1e6:.0f} us and "
        f"{1e-9 / network.beta if network.beta else 0:.2f} GB/s for a message alone, and the slowing of "
        "messages that are on their way together, both measured beside the methods. The model does not know "
        "of segments.",
        {"data": data, "layout": {"xaxis": _log_axis("bytes"), "yaxis": _log_axis("seconds")}},
    )


def extrapolated(found: Mapping[str, Sequence[Measurement]], network: Network) -> Figure:
    """What the model expects of up to thousands of ranks, each on cores and links of its own."""
    data: list[Any] = []
    problem = next(iter(found.values()))[0].problem
    item = ITEM_BYTES[problem.dtype]
    sizes = sorted({min(_SHORT, problem.bytes), problem.bytes})
    for hue, (name, measured) in enumerate(found.items()):
        algorithm = _algorithm(name)
        for size, dash in zip(sizes, ("dot", "solid"), strict=False):
            if algorithm is not None:
                walks = [(n, algorithm.walk("all_reduce", n, size // item)) for n in _RANKS]
                times = [simulate(walk, n, network.alone(), item) for n, walk in walks]
                data.append(_line(f"{name}, {size:,} bytes", _RANKS, times, hue, dash=dash, key=False))
        here = median(m.outcome.seconds for m in measured)
        data.append(_line(name, [problem.ranks], [here], hue))
    return Figure(
        "On more ranks",
        "Seconds against the number of ranks by simulation of every step, with alpha and beta as measured "
        f"between two ranks, for ranks that share neither cores nor links; {_each(sizes)}. Single points are "
        "measurements on this machine, whose ranks share its cores. Algorithms of the same steps lie on each "
        "other.",
        {"data": data, "layout": {"xaxis": _log_axis("ranks"), "yaxis": _log_axis("seconds")}},
    )


def timeline(name: str, overlap: Overlap) -> Figure:
    """When the parts of a step and its buckets were under way."""
    data = []
    for row, span in enumerate(overlap.timeline):
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": span.name,
                "base": [float(f"{1e3 * span.start:.4g}")],
                "x": [float(f"{1e3 * (span.stop - span.start):.4g}")],
                "y": [span.name],
                "marker": {"color": f"var(--series-{2 if span.name.startswith('bucket') else row % 2})"},
                "showlegend": False,
            }
        )
    return Figure(
        "Timeline of overlap",
        f"One training step whose gradients {name} averages in buckets: {1e3 * overlap.compute:.1f} ms of "
        f"computation without communication, {1e3 * overlap.after:.1f} ms with all buckets afterwards, "
        f"{1e3 * overlap.meanwhile:.1f} ms with buckets sent during the backward pass. On one machine "
        "communication takes the cores that computation needs.",
        {
            "data": data,
            "layout": {
                "xaxis": {"title": {"text": "milliseconds"}},
                "yaxis": {"autorange": "reversed"},
                "barmode": "overlay",
            },
        },
    )


def _measurements(board: Board, name: str) -> list[Measurement]:
    if board.open_model is None:
        return []
    models = [board.model(name, seed) for seed in board.row(name).seeds]
    return [model for model in models if isinstance(model, Measurement)]


def _algorithm(name: str) -> Algorithm | None:
    """The method of that name, if it is made of steps."""
    made = locate(task.methods[name])() if name in task.methods else None
    return made if isinstance(made, Algorithm) else None


def _sweep(measured: Sequence[Measurement]) -> tuple[list[int], list[float]]:
    """Sizes, and medians over the seeds of their times."""
    times: dict[int, list[float]] = {}
    for m in measured:
        for size, seconds in m.sweep:
            times.setdefault(size, []).append(seconds)
    return list(times), [median(found) for found in times.values()]


def _log_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "type": "log", "exponentformat": "power"}


def _each(sizes: Sequence[int]) -> str:
    """What dotted and solid lines stand for."""
    words = [f"{dash} for {size:,} bytes" for size, dash in zip(sizes, ("dotted", "solid"), strict=False)]
    return ", ".join(words)


def _line(
    name: str, x: Sequence[float], y: Sequence[float], hue: int, *, dash: str = "solid", key: bool = True
) -> dict[str, Any]:
    """A line; its name is in the picture's key, or only where the pointer is."""
    return {
        "showlegend": key,
        "type": "scatter",
        "mode": "lines" if dash == "dot" else "lines+markers",
        "name": name,
        "x": [float(value) for value in x],
        "y": [float(f"{value:.6g}") for value in np.asarray(y, float)],
        "line": {"color": f"var(--series-{hue % _HUES})", "dash": dash, "width": 2},
    }
