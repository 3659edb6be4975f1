"""The table of arrows: who may import whom, what stays light, and what is nowhere."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "assay").rglob("*.py"))

WINGS = {"density", "control", "estimation", "tabular"}
# Those that train with gradients or run on a GPU, and what they stand on.
TORCH_WINGS = {"images", "image_text", "attention", "precision", "collectives"}
TORCH = TORCH_WINGS | {"train", "nn"}
ALLOWED: dict[str, set[str]] = {
    "core": {"core", "catalog"},
    "catalog": {"core"},
    "data": {"data", "core"},
    "control": {"control", "data", "core"},
    "estimation": {"estimation", "data", "core"},
    "tabular": {"tabular", "data", "core"},
    "density": {"density", "data", "core"},
    "attention": {"attention", "data", "core"},
    "precision": {"precision", "data", "core"},
    "collectives": {"collectives", "data", "core"},
    "nn": {"nn", "attention", "core"},
    "train": {"train", "collectives", "precision", "data", "core"},
    "images": {"images", "train", "nn", "attention", "data", "core"},
    "image_text": {"image_text", "images", "train", "nn", "attention", "data", "core"},
    "app": {"app", "catalog", "core", "data", *WINGS, *TORCH_WINGS},
    "__init__": {"core"},
}
# The arrows that point up, each lazily and for a reason.
EXCEPTIONS = {("core/board.py", "app")}  # A board shows itself as a page.

SLOW = {"catboost", "lightgbm", "pandas", "polars", "ray", "scipy", "sklearn", "torch", "xgboost"}
WITHOUT_TORCH = {"control", "core", "data", "density", "estimation", "tabular"}


def part(path: Path) -> str:
    """The folder of the house that a source file stands in."""
    inside = path.relative_to(ROOT / "src" / "assay")
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(tree: ast.Module) -> list[ast.stmt]:
    """The statements that run when the module is imported; `if TYPE_CHECKING` does not."""
    found: list[ast.stmt] = []
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for block in ("body", "orelse", "handlers", "finalbody"):
            todo.extend(getattr(node, block, []))
        found.append(node)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
class TestFile:
    def test_arrows_point_down(self, path):
        where = str(path.relative_to(ROOT / "src" / "assay"))
        for name in imports(ast.parse(path.read_text("utf-8"))):
            words = name.split(".")
            if words[0] != "assay" or len(words) == 1:
                continue
            to = words[1]
            if to in ALLOWED and to != "__init__" and (where, to) not in EXCEPTIONS:
                assert to in ALLOWED[part(path)], f"{where} must not import {name}"

    def test_slow_packages_are_imported_when_used(self, path):
        running = at_import(ast.parse(path.read_text("utf-8")))
        direct = [node for node in running if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {name.split(".")[0] for node in direct for name in imports(node)}
        if part(path) in TORCH and path.stem not in ("task", "claims"):
            names -= {"torch"}  # A task's listing stays light; its methods are torch all through.
        assert not names & SLOW, f"import inside the function that needs it: {names & SLOW}"

    def test_no_torch_where_none_is_needed(self, path):
        if part(path) in WITHOUT_TORCH:
            names = {name.split(".")[0] for name in imports(ast.parse(path.read_text("utf-8")))}
            assert "torch" not in names

    def test_nothing_executes_data(self, path):
        tree = ast.parse(path.read_text("utf-8"))
        assert not {"pickle", "dill", "joblib", "marshal", "shelve"} & {
            n.split(".")[0] for n in imports(tree)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path.name}:{node.lineno}"

    def test_names_say_what_is_inside_and_files_stay_short(self, path):
        assert path.stem not in ("utils", "common", "helpers", "misc", "base")
        assert len(path.read_text("utf-8").splitlines()) <= 400

    def test_global_random_state_is_left_alone(self, path):
        text = path.read_text("utf-8")
        for word in ("np.random.seed", "random.seed(", "torch.manual_seed"):
            assert word not in text


def test_importing_assay_is_cheap():
    code = "import sys, assay, assay.tabular.xgboost; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not SLOW & set(loaded)
    assert "rich" not in loaded


def test_every_wing_of_the_catalog_has_its_row_in_the_table_of_arrows():
    from assay import catalog

    assert WINGS <= {name.replace("-", "_") for name in catalog.TASKS} <= WINGS | TORCH_WINGS


def code_lines(path: Path) -> int:
    """Lines of code: no blank lines, comments or docstrings, which no test can test."""
    text = path.read_text("utf-8")
    if path.suffix == ".c":
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
        return sum(bool(line.strip()) for line in text.splitlines())
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            assert node.end_lineno is not None
            prose |= set(range(node.lineno, node.end_lineno + 1))
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


def test_tests_are_at_least_four_fifths_of_the_source():
    kernel = (ROOT / "src").rglob("*.c")
    source = sum(map(code_lines, [*SOURCES, *kernel]))
    tests = sum(map(code_lines, (ROOT / "tests").rglob("*.py")))
    assert tests >= 0.8 * source, f"{tests} lines of tests for {source} lines of source"
