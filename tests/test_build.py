"""The compilation of the kernel, and the build hook: what a wheel holds with a compiler, and without one."""

import ctypes
import importlib.util
import shutil
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import pytest

from assay.tabular import kernel

ROOT = Path(__file__).parent.parent
has_compiler = shutil.which("cc") is not None
needs_compiler = pytest.mark.skipif(not has_compiler, reason="no C compiler")


class Recorder:
    """Stands for hatchling's application, which shows warnings to the user."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def display_warning(self, message: str) -> None:
        self.warnings.append(message)


def run_hook(root: Path) -> tuple[dict, list[str]]:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app, build_data = Recorder(), {"artifacts": [], "pure_python": True}
    hook = module.KernelBuildHook(str(root), {}, None, None, str(root / "dist"), "wheel", app)
    hook.initialize("standard", build_data)
    return build_data, app.warnings


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What the hook reads, with a kernel that compiles in no time."""
    folder = tmp_path / "src" / "assay" / "tabular"
    folder.mkdir(parents=True)
    shutil.copy(kernel.FOLDER / "kernel.py", folder)
    (folder / "answer.c").write_text("int assay_answer(void) { return 42; }\n")
    return tmp_path


# -- compilation ---------------------------------------------------------------------------------------------


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
    (tmp_path / "small.c").write_text("int answer(void) { return 42; }\n")
    with pytest.raises(OSError, match="no-such-compiler"):
        kernel.compile_kernel(tmp_path / "small.so", tmp_path)
    assert not (tmp_path / "small.so").exists()


# -- the hook ------------------------------------------------------------------------------------------------


@needs_compiler
def test_the_hook_compiles_the_kernel_into_a_platform_wheel(sources):
    build_data, warnings = run_hook(sources)
    assert warnings == []
    assert build_data["artifacts"] == ["src/assay/tabular/_kernel.so"]
    assert build_data["pure_python"] is False
    assert build_data["tag"].startswith("py3-none-")
    assert not set("-.") & set(build_data["tag"].removeprefix("py3-none-"))
    assert sysconfig.get_platform().split("-")[0] in build_data["tag"]
    library = ctypes.CDLL(str(sources / build_data["artifacts"][0]))
    assert library.assay_answer() == 42


def test_without_a_compiler_the_wheel_is_pure_python_and_the_user_is_told(sources, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    build_data, warnings = run_hook(sources)
    assert build_data == {"artifacts": [], "pure_python": True}
    assert len(warnings) == 1
    assert "NumPy twin" in warnings[0]
    assert "no-such-compiler" in warnings[0]
    assert not list(sources.rglob("_kernel.so*"))


@needs_compiler
def test_a_compiler_that_fails_is_quoted(sources):
    (sources / "src/assay/tabular/broken.c").write_text("#error this does not compile\n")
    build_data, warnings = run_hook(sources)
    assert build_data["pure_python"] is True
    assert "this does not compile" in warnings[0]
    assert not list(sources.rglob("_kernel.so*"))


# -- the library ---------------------------------------------------------------------------------------------


@needs_compiler
def test_a_library_in_use_is_replaced_not_overwritten(sources):
    folder = sources / "src/assay/tabular"
    kernel.compile_kernel(folder / "_kernel.so", folder)
    before = (folder / "_kernel.so").stat().st_ino
    loaded = ctypes.CDLL(str(folder / "_kernel.so"))
    kernel.compile_kernel(folder / "_kernel.so", folder)
    assert (folder / "_kernel.so").stat().st_ino != before
    assert loaded.assay_answer() == 42
    assert [path.name for path in folder.glob("_kernel.so*")] == ["_kernel.so"]


@needs_compiler
def test_the_installed_package_has_its_kernel():
    assert kernel.LIBRARY.exists(), "reinstall the package: pip install -e ."


@needs_compiler
@pytest.mark.parametrize("source", sorted(path.name for path in kernel.FOLDER.glob("*.c")))
def test_the_sources_have_no_warnings(source):
    strict = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
    command = ["cc", *strict, '-DASSAY_SOURCES=""', str(kernel.FOLDER / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_compiler
def test_a_wheel_built_by_the_backend_holds_the_library(tmp_path):
    build = pytest.importorskip("hatchling.build")
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "src", checkout / "src", ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, checkout)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        wheel = build.build_wheel(str(tmp_path / "dist"))
    assert wheel.endswith(".whl")
    assert "-py3-none-" in wheel
    assert "any" not in wheel
    zipfile.ZipFile(tmp_path / "dist" / wheel).extract("assay/tabular/_kernel.so", tmp_path)
    library = ctypes.CDLL(str(tmp_path / "assay/tabular/_kernel.so"))
    assert library.assay_grow
    assert library.assay_encode
