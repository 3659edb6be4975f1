"""Attention: the same function of queries, keys and values, in less memory and time."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.attention.entry import attention, packed_attention

__all__ = ["attention", "packed_attention"]


def __getattr__(name: str) -> Any:
    """The public functions, imported when asked for: listing the task must not import torch."""
    if name in __all__:
        from assay.attention import entry

        return getattr(entry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
