import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import toy_task
from toy_task import Mean, Trouble

from assay.core import method as methods
from assay.core.method import build, identity, locate, location, settings, spec


@dataclass(frozen=True, kw_only=True)
class Unlocated:
    value: Any = None

    def fit(self, train):
        return self


class Sklearnish:
    def __init__(self, *, depth=3, inner=None):
        self.depth, self.inner = depth, inner

    def get_params(self, deep=True):
        return {"depth": self.depth, "inner": self.inner}


toy_task.Sklearnish = Sklearnish  # type: ignore[attr-defined]
Sklearnish.__module__ = "toy_task"


def test_settings_of_dataclasses_and_of_get_params():
    assert settings(Mean(bias=2.0)) == {"bias": 2.0}
    assert settings(Sklearnish(depth=4)) == {"depth": 4, "inner": None}
    with pytest.raises(TypeError, match=r"expected an object with fit\(...\) as a method"):
        settings(Mean)
    with pytest.raises(TypeError):
        settings(3)


def test_any_object_with_fit_is_a_live_method_whose_settings_are_its_attributes():
    class Plain:
        def __init__(self):
            self.depth, self._cache = 3, {}

        def fit(self, train):
            return self

    assert settings(Plain()) == {"depth": 3}
    assert spec(Plain()) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        ([1, (2, None)], [1, [2, None]]),
        (np.ones(2), np.ones(3)),
        (np.ones(2), np.ones(2, np.float32)),
        ({"a": np.ones(2)}, {"a": np.zeros(2)}),
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x, y=1: x, lambda x, y=2: x),
        (lambda x: lambda: x + 1, lambda x: lambda: x + 2),
        (len, Mean),
        (Mean, Trouble),
        (Unlocated(value=1), Unlocated(value=2)),
        (object(), object()),
    ],
)
def test_identity_of_live_methods_follows_their_settings(one, other):
    assert identity(Unlocated(value=[Unlocated, one])) != identity(Unlocated(value=[Unlocated, other]))
    known = not any(type(value) in (object, type(len)) for value in (one, other))
    assert (identity(Unlocated(value=[int, one])) == identity(Unlocated(value=[int, one]))) == known


def test_what_a_function_closes_over_is_not_compared():
    def scaled(by):
        return lambda x: by * x

    assert identity(Unlocated(value=scaled(1))) != identity(Unlocated(value=scaled(2)))


@pytest.mark.parametrize(
    "inner",
    [
        None,
        True,
        3,
        0.1,
        math.inf,
        "text",
        [1, (2, "a"), None],
        {"a": (1,), "class": "no class"},
        Mean(bias=0.5),
        [("m", Mean()), ("t", Trouble(how="nan"))],
    ],
)
def test_spec_round_trip(inner):
    text = spec(Sklearnish(inner=inner))
    assert text is not None
    json.loads(text)
    again = build(text)
    assert type(again) is Sklearnish
    assert again.inner == inner
    assert type(again.inner) is type(inner)
    assert spec(again) == text


def test_numpy_scalars_are_written_as_python_numbers():
    assert build(spec(Mean(bias=np.float32(0.5))) or "") == Mean(bias=0.5)


@pytest.mark.parametrize("value", [lambda x: x, np.ones(2), object(), {1: 2}, Unlocated])
def test_what_json_cannot_say_has_no_spec(value):
    assert spec(Sklearnish(inner=value)) is None


def test_local_classes_have_no_spec():
    @dataclass(frozen=True)
    class Local:
        pass

    assert spec(Local()) is None
    assert location(Local) is None


def test_location_and_locate_are_inverse():
    assert location(toy_task.task) == "toy_task:task"
    assert locate("toy_task:task") is toy_task.task
    assert location(toy_task.Toy()) is None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("toy_task", "expected package.module:Name"),
        ("toy_tusk:task", "there is no module 'toy_tusk'"),
        ("toy_task:tusk", "has no 'tusk'"),
    ],
)
def test_locate_says_what_is_missing(path, message):
    with pytest.raises(ValueError, match=message):
        locate(path)


def test_identity_follows_the_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = "class M:\n    def get_params(self, deep=True):\n        return {}\n"
    (tmp_path / "changing_module.py").write_text(source)
    import changing_module  # type: ignore[import-not-found]

    first = identity(changing_module.M())
    assert identity(changing_module.M()) == first
    assert identity(Sklearnish(inner=[changing_module.M()])) != identity(Sklearnish())
    (tmp_path / "changing_module.py").write_text(source + "# changed\n")
    assert identity(changing_module.M()) != first


def test_assays_own_methods_share_one_digest_of_the_sources():
    methods._assay_sources.cache_clear()
    assert len(methods._assay_sources()) == 64
