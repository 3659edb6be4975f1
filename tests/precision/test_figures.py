from assay.precision.figures import histogram, magnitude_counts, over_steps
from assay.precision.network import EXPONENTS, Moment


def moment(scale, **counts):
    magnitudes = [counts.get(f"e{-exponent}", 0) for exponent in EXPONENTS]
    facts = {"step": 1, "loss": 0.0, "skipped": 0, "flushed": 0.0, "flushed_unscaled": 0.0, "stagnant": 0.0}
    return Moment(scale=scale, magnitudes=tuple(magnitudes), **facts)


def test_the_histogram_moves_by_the_scale_of_each_moment():
    moments = [moment(4.0, e30=6, e20=2), moment(2.0**10, e30=2)]
    plain, shifted = (dict(zip(EXPONENTS, counts, strict=True)) for counts in magnitude_counts(moments))
    assert {e: n for e, n in plain.items() if n} == {-30: 8, -20: 2}
    assert {e: n for e, n in shifted.items() if n} == {-28: 6, -18: 2, -20: 2}
    assert "80.0% as they are, 60.0% with the loss scale" in histogram("it", moments).caption


def test_a_line_that_lies_on_another_is_dashed_and_colours_go_by_the_place():
    moments = [moment(4.0), moment(8.0)]
    found = {"one": moments, "none": [], "same": moments, "other": moments[::-1]}
    data = over_steps("t", "c", "a", found, lambda m: m.scale).plotly["data"]
    assert [(line["name"], line["line"]["dash"]) for line in data] == [
        ("one", "solid"),
        ("same", "dash"),
        ("other", "solid"),
    ]
    assert [line["line"]["color"] for line in data] == [f"var(--series-{hue})" for hue in (0, 2, 3)]
    assert data[0]["y"] == [4.0, 8.0]
