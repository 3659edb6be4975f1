"""The report's pictures: where the gradients lie on the number line, and what gets lost over a training.

Colours are the report's CSS variables, so that the pictures can be read on a light and on a dark page.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from assay.core.board import Board
from assay.core.task import Figure
from assay.precision.formats import FP16
from assay.precision.network import EXPONENTS, Moment, Network

_HUES = 8  # as many as the report's style defines


def figures(board: Board) -> Iterator[Figure]:
    """The pictures that the board has trained networks for."""
    if board.open_model is None:
        return
    found: dict[str, Network] = {}
    for row in board.ranking:
        model = board.model(row.name) if row.seeds else None
        if isinstance(model, Network) and model.moments:
            found[row.name] = model
    scaled = next((name for name, model in found.items() if model.policy.scaling), None)
    if scaled is not None:
        yield histogram(scaled, found[scaled].moments)
    if not found:
        return
    yield over_steps(
        "Gradients that become zero",
        "The share of the non-zero gradient entries, computed in float32, that become 0 in each recipe's "
        "format, scaled as the recipe scales them. Where float32's exponents are kept it is 0.",
        "share",
        {name: model.moments for name, model in found.items()},
        lambda moment: moment.flushed,
    )
    yield over_steps(
        "Updates that vanish",
        "The share of the updates that leave their weight where it was, because they are less than half a "
        "place of it. The learning rate falls to 0, so at the end all recipes have some. Stochastic rounding "
        "counts as rounding to the nearest here: it makes these updates now and then.",
        "share",
        {name: model.moments for name, model in found.items()},
        lambda moment: moment.stagnant,
    )
    if scaled is not None:
        yield over_steps(
            "Loss scale",
            "The factor on the loss: halved when a gradient overflows, doubled after a while without.",
            "scale, log 2",
            {name: model.moments if model.policy.scaling else () for name, model in found.items()},
            lambda moment: float(np.log2(moment.scale)),
        )


def histogram(name: str, moments: Sequence[Moment]) -> Figure:
    """Binary exponents of all gradient entries of a training, as they are and times the loss scale."""
    plain, shifted = magnitude_counts(moments)
    shares = [np.array(counts) / max(sum(plain), 1) for counts in (plain, shifted)]
    exponents = list(EXPONENTS)
    lost = [float(counts[[e < -25 for e in exponents]].sum()) for counts in shares]
    shown = [i for i, _ in enumerate(exponents) if shares[0][i] or shares[1][i]]
    data = [
        {
            "type": "bar",
            "name": label,
            "x": [exponents[i] for i in shown],
            "y": [float(f"{counts[i]:.4g}") for i in shown],
            "marker": {"color": f"var(--series-{hue})"},
            "opacity": 0.75,
        }
        for hue, (label, counts) in enumerate(zip(("as they are", "times the scale"), shares, strict=True))
    ]
    limits = {"zero below": -25.5, "infinite above": np.log2(FP16.max) + 0.5}
    layout = {
        "barmode": "overlay",
        "xaxis": {"title": {"text": "binary exponent of a gradient entry"}},
        "yaxis": {"title": {"text": "share of the entries"}},
        "shapes": [
            {
                "type": "line",
                "x0": at,
                "x1": at,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "var(--ink)", "dash": "dot", "width": 1.5},
            }
            for at in limits.values()
        ],
        "annotations": [
            {"x": at, "y": 1, "yref": "paper", "text": text, "showarrow": False, "xanchor": "left"}
            for text, at in limits.items()
        ],
    }
    return Figure(
        "Gradients on fp16's number line",
        f"All gradient entries of {name} at {len(moments)} moments, computed in float32. What lies left of "
        f"the first dotted line, 2^-25, becomes 0 in fp16: {lost[0]:.1%} as they are, {lost[1]:.1%} with the "
        "loss scale of the moment.",
        {"data": data, "layout": layout},
    )


def magnitude_counts(moments: Sequence[Moment]) -> tuple[list[int], list[int]]:
    """Entries per exponent over all moments, as they are and moved by the loss scale of each moment."""
    plain, shifted = np.zeros(len(EXPONENTS), int), np.zeros(len(EXPONENTS), int)
    for moment in moments:
        counts = np.array(moment.magnitudes)
        places = np.clip(np.arange(len(EXPONENTS)) + round(np.log2(moment.scale)), 0, len(EXPONENTS) - 1)
        plain += counts
        np.add.at(shifted, places, counts)
    return plain.tolist(), shifted.tolist()


def over_steps(
    title: str,
    caption: str,
    axis: str,
    found: Mapping[str, Sequence[Moment]],
    value: Callable[[Moment], float],
) -> Figure:
    """A line for each recipe that has moments: a value of them against the steps.

    A recipe has its colour by its place among all; a line that lies on another one is dashed.
    """
    data: list[dict[str, Any]] = []
    for hue, (name, moments) in enumerate(found.items()):
        values = [float(f"{value(moment):.6g}") for moment in moments]
        hidden = any(values == line["y"] for line in data)
        if moments:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": name,
                    "x": [moment.step for moment in moments],
                    "y": values,
                    "line": {
                        "color": f"var(--series-{hue % _HUES})",
                        "dash": "dash" if hidden or hue >= _HUES else "solid",
                        "width": 2,
                    },
                }
            )
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": axis}}}
    return Figure(title, caption, {"data": data, "layout": layout})
