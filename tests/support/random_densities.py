"""Density models with random weights in float64, and every binary vector there is."""

import itertools
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from assay.density.autoregressive import draw_orders
from assay.density.bernoulli import BernoulliModel
from assay.density.contract import BinaryData
from assay.density.eonade import EoNADEModel
from assay.density.fvsbn import FVSBNModel
from assay.density.likelihood import log_likelihood
from assay.density.made import MADEModel, draw_degrees
from assay.density.mixture import MixtureModel
from assay.density.nade import NADEModel

AUTOREGRESSIVE = ("fvsbn", "nade", "eonade", "made", "deep-made", "undirected-made", "made-without-hidden")

ALL = ("bernoulli", "mixture", *AUTOREGRESSIVE)


def all_vectors(D):
    return np.array(list(itertools.product((0, 1), repeat=D)), np.uint8)


def random_model(family, D, seed=0, *, members=1, hidden=9):
    """A model of `family` in random orders; only EoNADE and MADE have more members than one."""
    rng = np.random.default_rng([seed, D])
    b = rng.normal(size=D)
    if family == "bernoulli":
        return BernoulliModel(weights={"b": b})
    if family == "mixture":
        log_pi = np.log(rng.dirichlet(np.ones(4)))
        return MixtureModel(weights={"log_pi": log_pi, "logits": rng.normal(0, 2, (4, D))})
    orders = draw_orders(members, D, rng)
    if family == "fvsbn":
        return FVSBNModel(weights={"W": rng.normal(size=(D, D)), "b": b}, structure={"orders": orders[:1]})
    if family in ("nade", "eonade"):
        weights = {"W": rng.normal(size=(D, hidden)), "V": rng.normal(size=(D, hidden)), "b": b}
        weights["c"] = rng.normal(size=hidden)
        if family == "nade":
            return NADEModel(weights=weights, structure={"orders": orders[:1]})
        weights["U"] = rng.normal(size=(D, hidden))
        return EoNADEModel(weights=weights, structure={"orders": orders})
    layers = {"deep-made": (hidden, hidden + 2), "made-without-hidden": ()}.get(family, (hidden,))
    sizes = [D, *layers, D]
    weights = {"b": b}
    for i in range(len(layers) + bool(layers)):
        weights[f"W{i}"] = rng.normal(size=(sizes[i], sizes[i + 1]))
    for i, units in enumerate(layers):
        weights[f"c{i}"] = rng.normal(size=units)
    if family != "undirected-made":
        weights["direct"] = rng.normal(size=(D, D))
    degrees = [draw_degrees(order, layers, rng)[1:] for order in orders]
    structure = {"orders": orders}
    structure |= {f"degrees{i}": np.stack(d) for i, d in enumerate(zip(*degrees, strict=True))}
    return MADEModel(weights=weights, structure=structure)


def finite_differences(loss, weights, step=1e-6):
    """The gradient of `loss` by central differences, weight by weight."""
    slope = {}
    for name, w in weights.items():
        slope[name] = np.zeros_like(w)
        for at in np.ndindex(w.shape):
            values = []
            for sign in (1, -1):
                moved = {key: np.array(value) for key, value in weights.items()}
                moved[name][at] += sign * step
                values.append(loss(moved))
            slope[name][at] = (values[0] - values[1]) / (2 * step)
    return slope


def decoded(file):
    """The grey values of a PNG without filters, read chunk by chunk."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        (size,) = struct.unpack(">I", file[at : at + 4])
        kind, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", file[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:]


@dataclass(frozen=True, kw_only=True)
class Coins:
    """A user's own method: fair coins, with no more than log_prob."""

    bias: float = 0.0

    def fit(self, data, *, run):
        return self

    def log_prob(self, x):
        return log_likelihood(np.full(x.shape, self.bias), x)


def two_prototypes(rows=600, seed=0):
    rng = np.random.default_rng(seed)
    p = np.where(rng.random((rows, 1)) < 0.3, [0.95, 0.9, 0.1, 0.05, 0.9], [0.1, 0.05, 0.9, 0.8, 0.2])
    return BinaryData((rng.random((rows, 5)) < p).astype(np.uint8))
