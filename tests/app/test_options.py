import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import tyro

from assay import catalog
from assay.app.cli import parse
from assay.app.compare import Compare
from assay.app.models import Fit
from assay.app.options import options_of, with_options


class Asking:
    """A task of which only `load` matters here."""

    name = "asking"

    def load(
        self,
        source: Any = None,
        *,
        scale: str = "default",
        target: str | None = None,
        drop: Sequence[str] = (),
        kinds: Mapping[str, str] | None = None,
        problem: Literal["one", "two"] | None = None,
        ends: Sequence[float] | None = None,
        share: float = 0.5,
        causal: bool = False,
        cached: bool | None = None,
        shape: tuple[int, ...] | str = (1, 2),
        start: Any = None,
        **world: Any,
    ) -> None:
        """What is asked.

        Args:
            source: where it is.
            scale: how large.
            target: which column is
                predicted.
            world: fields of the world.
        """


def given(*words):
    return tyro.cli(options_of(Asking()), args=words, config=(tyro.conf.FlagCreatePairsOff,)).given()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("--target", "y"), {"target": "y"}),
        (("--drop", "a", "b"), {"drop": ("a", "b")}),
        (("--kinds", "zip=category", "a=b=date"), {"kinds": {"zip": "category", "a=b": "date"}}),
        (("--problem", "two"), {"problem": "two"}),
        (("--ends", "-1", "2.5"), {"ends": (-1.0, 2.5)}),
        (("--share", "0.25"), {"share": 0.25}),
        (("--share", "0.5"), {}),
        (("--causal",), {"causal": True}),
        (("--cached",), {"cached": True}),
        (("--no-cached",), {"cached": False}),
        (("--start", "[1, 2]"), {"start": [1, 2]}),
        (("--start", "soon"), {"start": "soon"}),
        (("--option", "size=3", "--option", "wind=true"), {"size": 3, "wind": True}),
    ],
)
def test_words_become_what_load_takes(words, expected):
    assert given(*words) == expected


@pytest.mark.parametrize("words", [("--problem", "three"), ("--share", "much"), ("--scale", "smoke")])
def test_what_load_does_not_take_is_refused(words):
    with pytest.raises(SystemExit):
        given(*words)


@pytest.mark.parametrize("word", ["zip", "=category"])
def test_a_pair_needs_its_sign_and_name(word):
    with pytest.raises(ValueError, match="--kinds: expected NAME=VALUE"):
        given("--kinds", word)


def test_descriptions_are_those_of_load(capsys):
    with pytest.raises(SystemExit):
        given("--help")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Which column is predicted." in shown
    assert "Fields of the world." in shown
    assert "(default: 0.5)" in shown


@pytest.mark.parametrize("name", catalog.TASKS)
@pytest.mark.parametrize("command", [Compare, Fit])
def test_no_task_has_an_option_that_the_command_line_has(name, command):
    refined = with_options(command, catalog.task(name))
    names = [field.name for field in dataclasses.fields(refined)]
    assert len(set(names)) == len(names)


def test_the_task_may_stand_anywhere(monkeypatch):
    for words in (["--seeds", "2", "tabular"], ["tabular", "--seeds", "2"]):
        command = parse(["compare", *words, "--target", "y"])
        assert command.options.given() == {"target": "y"}
        assert (command.task, command.seeds) == ("tabular", 2)


def test_without_a_task_the_error_says_which_there_are():
    with pytest.raises(ValueError, match=r"there is no task 'tabluar'; did you mean 'tabular'"):
        parse(["compare", "tabluar", "--target", "y"])
    with pytest.raises(ValueError, match="TASK"):
        parse(["compare", "--seeds", "3"])


def test_an_option_of_another_task_is_refused():
    with pytest.raises(ValueError, match="causal"):
        parse(["compare", "tabular", "--causal"])


def test_help_for_a_task_shows_its_options_too(capsys):
    assert parse(["compare", "tabular", "--help"]) is None
    out = capsys.readouterr().out
    for option in ["--target", "--weight", "--group", "--time", "--drop", "--kinds", "--problem", "--seeds"]:
        assert f"{option} " in out
