import pytest
import torch
from collective_worlds import on_ranks

from assay.collectives.bucketing import Span
from assay.collectives.gloo import Gloo
from assay.collectives.overlap import Overlap, Workload, measure_overlap, overlap_of, text_timeline

WORK = Workload(layers=4, width=16, batch=8, bucket_bytes=2048, steps=2)


def test_exposed_and_hidden():
    found = Overlap(compute=1.0, after=2.0, meanwhile=1.25, alone=(0.5, 0.5), timeline=())
    assert found.exposed == 0.25
    assert found.fraction == 0.75


def test_a_timeline_in_text():
    spans = [Span("backward", 5.0, 5.004), Span("bucket 0", 5.002, 5.008), Span("wait", 5.008, 5.008)]
    assert text_timeline(spans, width=8).splitlines() == [
        "backward |####    | 0.0 to 4.0 ms",
        "bucket 0 |  ######| 2.0 to 8.0 ms",
        "wait     |       #| 8.0 to 8.0 ms",
    ]


def test_models_are_the_same_everywhere():
    one, two = WORK.model(), WORK.model()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert sum(p.nbytes for p in one.parameters()) == 4 * 4 * 16 * 16


@pytest.mark.parametrize("launch", [None, Gloo().launch], ids=["ours", "gloo"])
def test_measures_steps_with_and_without(launch):
    told = on_ranks([2], measure_overlap, WORK, launch)[2]
    found = overlap_of(told)
    assert told[0]["compute"] == told[1]["compute"]  # The slowest rank's, on both.
    assert min(found.compute, found.after, found.meanwhile) > 0
    assert len(found.alone) == 2
    names = [span.name for span in found.timeline]
    assert names == ["forward", "backward", "bucket 0", "bucket 1", "wait"]
    assert all(isinstance(span, Span) and span.start <= span.stop for span in found.timeline)
    forward, backward, first, second, wait = found.timeline
    assert forward.start == 0.0
    assert forward.stop == backward.start
    assert backward.start <= first.start <= second.start <= wait.stop
    assert first.start <= backward.stop  # It began before the backward pass had ended.
