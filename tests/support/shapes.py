"""Which functions have their annotations executed: those that speak of the shapes of arrays."""

import typing
from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which raises when an array is not of the annotated shape, if it annotates any.

    Others stay as they are: what a constructor is given is for itself to judge, with its own words.
    """
    annotations = getattr(function, "__annotations__", {}).values()
    return beartype(function) if any(map(_speaks_of_shapes, annotations)) else function


def _speaks_of_shapes(annotation: Any) -> bool:
    inside = typing.get_args(annotation)
    return (isinstance(annotation, type) and issubclass(annotation, AbstractArray)) or any(
        map(_speaks_of_shapes, inside)
    )
