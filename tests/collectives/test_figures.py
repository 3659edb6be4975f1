import dataclasses

import pytest

from assay.collectives import figures
from assay.collectives.bucketing import Span
from assay.collectives.cost_model import Network, ring_seconds
from assay.collectives.measurement import Measurement
from assay.collectives.outcome import Outcome
from assay.collectives.overlap import Overlap
from assay.collectives.problem import Problem

PROBLEM = Problem(ranks=4, bytes=2**20)
NETWORK = Network(alpha=1e-5, beta=1e-9, crowd_beta=0.5)


def measurement(seconds, network=NETWORK):
    outcome = Outcome(digest="", error=0.0, identical=True, seconds=seconds, bytes_sent=0)
    return Measurement(PROBLEM, outcome, ((2**10, seconds / 100), (2**20, seconds)), network)


FOUND = {"ring": [measurement(0.01), measurement(0.03), measurement(0.02)], "gloo": [measurement(0.02)]}


def test_bandwidth_is_that_of_the_median():
    figure = figures.bandwidth(FOUND)
    ring, gloo = figure.plotly["data"]
    assert ring["x"] == [2**10, 2**20]
    assert ring["y"][1] == pytest.approx(1.5 * 2**20 / 0.02 / 1e9, rel=1e-5)
    assert gloo["y"][1] == ring["y"][1]
    assert "2(n - 1)/n" in figure.caption


def test_predictions_stand_beside_methods_that_are_made_of_steps():
    data = figures.predicted(FOUND, NETWORK.alone()).plotly["data"]
    assert [line["name"] for line in data] == ["ring", "ring, model", "gloo"]
    assert [line["showlegend"] for line in data] == [True, False, True]
    assert data[1]["y"][1] == pytest.approx(ring_seconds(4, 2**20, 1e-5, 1e-9), rel=1e-5)
    assert data[1]["line"]["color"] == data[0]["line"]["color"]


def test_more_ranks_are_simulated_without_crowding():
    figure = figures.extrapolated(FOUND, NETWORK)
    data = figure.plotly["data"]
    assert [line["name"] for line in data] == [
        "ring, 65,536 bytes",
        "ring, 1,048,576 bytes",
        "ring",
        "gloo",
    ]
    assert [line["showlegend"] for line in data] == [False, False, True, True]
    assert "dotted for 65,536 bytes, solid for 1,048,576 bytes" in figure.caption
    assert data[0]["x"][-1] == 2048
    assert data[0]["y"][-1] == pytest.approx(ring_seconds(2048, 2**16, 1e-5, 1e-9), rel=1e-5)
    assert (data[2]["x"], data[2]["y"]) == ([4.0], [0.02])


def test_the_timeline_has_a_bar_for_each_span():
    spans = (Span("forward", 0.0, 0.001), Span("backward", 0.001, 0.003), Span("bucket 0", 0.002, 0.004))
    overlap = Overlap(compute=0.003, after=0.005, meanwhile=0.004, alone=(0.002,), timeline=spans)
    figure = figures.timeline("ring", overlap)
    assert [(bar["base"], bar["x"]) for bar in figure.plotly["data"]] == [
        ([0.0], [1.0]),
        ([1.0], [2.0]),
        ([2.0], [2.0]),
    ]
    assert "3.0 ms of computation" in figure.caption
    assert figure.plotly["data"][2]["marker"] != figure.plotly["data"][0]["marker"]


def test_the_middle_of_several_networks():
    networks = [dataclasses.replace(NETWORK, alpha=alpha) for alpha in (1.0, 5.0, 2.0)]
    assert figures.middle(networks) == dataclasses.replace(NETWORK, alpha=2.0)
