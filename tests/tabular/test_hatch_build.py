"""The build hook and the compilation of the kernel, on a library of one small function."""

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from assay.tabular import kernel

pytest.importorskip("hatchling")
ROOT = Path(__file__).parents[2]
GOOD = "int answer(void) { return 42; }\n"
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture
def hatch_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project(folder: Path, source: str) -> Path:
    """A project whose kernel is this source alone; returns the folder of the sources."""
    sources = folder / "src" / "assay" / "tabular"
    sources.mkdir(parents=True)
    shutil.copy(ROOT / "src/assay/tabular/kernel.py", sources)
    (sources / "small.c").write_text(source)
    return sources


def build(hatch_build: ModuleType, root: Path) -> tuple[dict[str, Any], list[str]]:
    """What the hook says of the wheel, and its warnings."""
    warnings: list[str] = []
    app = SimpleNamespace(display_warning=warnings.append)
    hook = hatch_build.KernelBuildHook(str(root), {}, None, None, str(root / "dist"), "wheel", app)
    data: dict[str, Any] = {"artifacts": [], "pure_python": True}
    hook.initialize("standard", data)
    return data, warnings


@needs_compiler
def test_sources_of_a_folder_become_one_library(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "one.c").write_text("int other(void);\nint answer(void) { return other() + 2; }\n")
    (tmp_path / "two.c").write_text("int other(void) { return 40; }\n")
    kernel.compile_kernel(tmp_path / "both.so", tmp_path)
    assert ctypes.CDLL(str(tmp_path / "both.so")).answer() == 42
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both.so", "one.c", "two.c"]


@needs_compiler
def test_products_are_not_fused_with_sums(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "fused.c").write_text("double fused(double a, double b, double c) { return a * b + c; }\n")
    kernel.compile_kernel(tmp_path / "fused.so", tmp_path)
    fused = ctypes.CDLL(str(tmp_path / "fused.so")).fused
    fused.argtypes, fused.restype = [ctypes.c_double] * 3, ctypes.c_double
    a = 1 + 2.0**-30
    assert fused(a, a, -(a * a)) == 0.0  # a fused one leaves the rounding of the product


@needs_compiler
def test_a_failed_compilation_says_why_and_leaves_what_was_there(tmp_path, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "bad.c").write_text("this is no C\n")
    (tmp_path / "old.so").write_bytes(b"old")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        kernel.compile_kernel(tmp_path / "old.so", tmp_path)
    assert "bad.c" in caught.value.stderr
    assert (tmp_path / "old.so").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_missing_compiler_is_an_os_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    (tmp_path / "small.c").write_text(GOOD)
    with pytest.raises(OSError, match="no-such-compiler"):
        kernel.compile_kernel(tmp_path / "small.so", tmp_path)
    assert not (tmp_path / "small.so").exists()


@needs_compiler
def test_the_hook_adds_the_library_and_the_platform(tmp_path, monkeypatch, hatch_build):
    monkeypatch.delenv("CC", raising=False)
    sources = project(tmp_path, GOOD)
    data, warnings = build(hatch_build, tmp_path)
    assert not warnings
    assert (sources / kernel.LIBRARY.name).exists()
    assert data["artifacts"] == [f"src/assay/tabular/{kernel.LIBRARY.name}"]
    assert data["pure_python"] is False
    assert data["tag"].startswith("py3-none-")
    assert not set("-.") & set(data["tag"].removeprefix("py3-none-"))


def test_without_a_compiler_the_hook_warns_and_the_wheel_is_pure(tmp_path, monkeypatch, hatch_build):
    monkeypatch.setenv("CC", "no-such-compiler")
    sources = project(tmp_path, GOOD)
    data, warnings = build(hatch_build, tmp_path)
    assert data == {"artifacts": [], "pure_python": True}
    assert not (sources / kernel.LIBRARY.name).exists()
    assert len(warnings) == 1
    assert "NumPy twin" in warnings[0]
    assert "no-such-compiler" in warnings[0]


@needs_compiler
def test_what_the_compiler_says_is_in_the_warning(tmp_path, monkeypatch, hatch_build):
    monkeypatch.delenv("CC", raising=False)
    project(tmp_path, "this is no C\n")
    data, warnings = build(hatch_build, tmp_path)
    assert data["pure_python"] is True
    assert "small.c" in warnings[0]
    assert "error" in warnings[0]
