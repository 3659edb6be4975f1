"""assay: which machine-learning method should I use, on my data, at my budget?"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Board", "__version__", "compare"]

if TYPE_CHECKING:
    from assay.core.board import Board
    from assay.core.comparison import compare


def __getattr__(name: str) -> Any:
    """Imports the public names when they are first used: `import assay` costs nothing."""
    if name == "compare":
        from assay.core.comparison import compare

        return compare
    if name == "Board":
        from assay.core.board import Board

        return Board
    raise AttributeError(f"module 'assay' has no attribute {name!r}")
