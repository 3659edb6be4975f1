"""Build hook: compile the C kernel of the tabular wing into the wheel, or in place if it is editable."""

import importlib.util
import subprocess
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/assay/tabular")


class KernelBuildHook(BuildHookInterface):
    """Adds the compiled library and the platform's tag to a wheel; without a compiler it is pure Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say in ``build_data`` what the wheel holds."""
        kernel = _load_kernel_module(Path(self.root) / FOLDER / "kernel.py")
        try:
            kernel.compile_kernel()
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or error
            self.app.display_warning(
                f"assay is built without its compiled kernel and will run its slower NumPy twin: {reason}"
            )
            return
        build_data["artifacts"].append(str(FOLDER / kernel.LIBRARY.name))
        build_data["pure_python"] = False
        # The library uses no Python API, so it serves every Python 3 of this platform.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def _load_kernel_module(path: Path) -> ModuleType:
    """The module at ``path``, without the package around it, whose dependencies are not installed yet."""
    spec = importlib.util.spec_from_file_location("assay_kernel", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
