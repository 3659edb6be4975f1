"""Tensors that are divided among ranks (DTensors), and the same ones whole."""

from torch import Tensor


def is_divided(tensor: Tensor | None) -> bool:
    """Whether a tensor is divided among ranks."""
    return hasattr(tensor, "placements")  # Without the import of DTensor, which is slow.


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, whether it is divided or not; every rank must ask."""
    return tensor.full_tensor() if is_divided(tensor) else tensor  # pyright: ignore


def divided_as(like: Tensor | None, tensor: Tensor) -> Tensor:
    """`tensor`, the same on every rank, divided as `like` is; as it is if `like` is not."""
    if like is None or not is_divided(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)  # pyright: ignore
