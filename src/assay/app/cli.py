"""The command line: what was typed becomes a command; its exit status and its errors are dealt with here.

Exit status: 0 done, 1 it did not work out, 2 the user's mistake, 130 interrupted. An error is one line on
standard error, and so is a warning.
"""

import contextlib
import difflib
import io
import os
import re
import shlex
import sys
import warnings
from collections.abc import Sequence

import tyro

from assay import __version__, catalog
from assay.app.claim import Claim
from assay.app.command import Command, Errors
from assay.app.compare import Compare
from assay.app.listings import Data, Methods, Tasks
from assay.app.models import Fit, Predict
from assay.app.options import with_options
from assay.app.postmortem import explain, is_mistake
from assay.app.search import Search
from assay.app.site import Report
from assay.core.task import Task

COMMANDS: dict[str, type[Command]] = {
    "tasks": Tasks,
    "methods": Methods,
    "compare": Compare,
    "fit": Fit,
    "predict": Predict,
    "search": Search,
    "claim": Claim,
    "report": Report,
    "data": Data,
}

_IN_OUR_WORDS = (
    (r"^Error parsing (\S+): .*invalid literal for int\(\).*: (.*)$", r"\1: expected a whole number, got \2"),
    (r"^Missing value for argument '(.*)'\..*$", r"\1: expected a value"),
    (r"^invalid choice (.*) for argument '(.*)'\. Expected one of \((.*)\)\.$", r"\2: expected \3, got \1"),
    (r", 'None'|'None', ", ""),  # What leaving the option out stands for.
)
"""What tyro says -> what we say."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status of the command line `argv` (by default the process's own)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        print(f"assay {__version__}")
        return 0
    command = None
    try:
        command = parse(words or ["--help"])
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return command.run() if command is not None else 0
    except KeyboardInterrupt:
        kept = isinstance(command, (Compare, Claim)) or (isinstance(command, Fit) and command.checkpoints)
        again = "; what has finished is kept, and the same command continues" if kept else ""
        sys.stderr.write(f"assay: interrupted{again}\n")
        return 130
    except BrokenPipeError:  # The reader of our output has enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        errors = command.errors if command is not None else Errors()
        explain(error, show_traceback=errors.traceback, debug=errors.pdb)
        return 2 if is_mistake(error) else 1


def _warn(message: Warning | str, *place: object) -> None:
    """A warning as one line on standard error, like an error."""
    sys.stderr.write(f"assay: warning: {' '.join(str(message).split())}\n")


def parse(words: Sequence[str]) -> Command | None:
    """The command that `words` ask for, or None when they asked for help, which was given.

    Raises:
        ValueError: they ask for nothing that exists.
    """
    name, *rest = words
    if name in ("-h", "--help"):
        print(_overview())
        return None
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the commands are {', '.join(COMMANDS)}"
        raise ValueError(f"there is no command {name!r}{hint}")
    chosen = COMMANDS[name]
    prog = f"assay {name}"
    if "options" in chosen.__dataclass_fields__ and (task := _task_among(rest)):
        chosen, prog = with_options(chosen, task), f"{prog} {task.name}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            command = tyro.cli(chosen, prog=prog, args=rest, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as exit:
        if not exit.code:
            return None
        raise ValueError(_one_line(said.getvalue())) from None
    command.line = shlex.join(["assay", *words])
    return command


def _task_among(words: Sequence[str]) -> Task | None:
    """The task that a command's words name; the first word is one, if it is no option.

    Raises:
        ValueError: the first word is no option and no task.
    """
    if words and not words[0].startswith("-"):
        return catalog.task(words[0])
    named = next((word for word in words if word.replace("_", "-") in catalog.TASKS), None)
    return catalog.task(named) if named is not None else None


def _overview() -> str:
    commands = [
        f"  {name:9}{(command.__doc__ or '').partition(chr(10))[0]}" for name, command in COMMANDS.items()
    ]
    return "\n".join(
        [
            "usage: assay COMMAND [OPTIONS]",
            "",
            "Which machine-learning method should I use, on my data, at my budget?",
            "",
            *commands,
            "",
            "assay COMMAND --help shows the options of a command, and with a task's name behind COMMAND also",
            "those of the task; assay --version shows the version.",
        ]
    )


def _one_line(box: str) -> str:
    """The sentence in tyro's box of an error, in our words, with the nearest option it suggests.

    The box has a title, then blocks of lines between rules, which are drawn with ─ or with -.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    blocks: list[list[str]] = [[]]
    for line in (line.strip("│╭╮╰╯|").rstrip() for line in text.splitlines()[1:]):
        if line.strip("─- "):
            blocks[-1].append(line)
        elif line:
            blocks.append([])
    first, *others = (block for block in blocks if block)
    if first[0].strip().startswith("Missing from"):  # Names, each with its help text below it.
        names = [line for line in first[1:] if _indent(line) == _indent(first[1])]
        return f"{first[0].strip().removeprefix('Missing from ')} expected {', '.join(map(str.strip, names))}"
    message = " ".join(" ".join(first).split())
    for pattern, words in _IN_OUR_WORDS:
        message = re.sub(pattern, words, message)
    for block in others:
        if block[0].strip().startswith("Perhaps you meant"):
            message += f"; did you mean {block[1].split()[0]}?"
    return message


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


if __name__ == "__main__":
    sys.exit(main())
