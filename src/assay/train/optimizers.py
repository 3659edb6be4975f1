"""AdamW that decays only what should be decayed, and Muon with AdamW for what is not a hidden matrix."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assay.train.muon import Muon, Scale

Named = tuple[str, nn.Parameter]

_POSITION = {"position", "positional", "pos"}
"""Words in the name of a table of positions."""

_OUTER = _POSITION | {"embed", "embedding", "embeddings", "embedder", "head", "classifier"}
"""Words in a parameter's name that mark the input or the output of a network."""


def adamw(
    model: nn.Module | Iterable[Named] | Iterable[nn.Parameter],
    lr: float,
    *,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    no_decay: Sequence[str] = (),
) -> torch.optim.AdamW:
    """AdamW over what is trained, without decay of what no activation is multiplied by.

    That is gains, biases and other vectors and scalars; tokens and tables that every row of a batch gets, of
    shape [1, count, width]; and tables of positions, which have the word position or pos in their name.

    Args:
        model: a module, its named parameters, or bare parameters. Frozen ones are left out.
        lr: learning rate, above 0.
        weight_decay: of all others.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the root of the latter.
        no_decay: names, or parts of names between dots, that are not decayed either.

    Source: Loshchilov, Hutter. "Decoupled Weight Decay Regularization". ICLR 2019. arXiv:1711.05101v3,
    Algorithm 2.
    """
    groups = _by_decay(_trained(model), weight_decay, no_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def muon(
    model: nn.Module,
    lr: float,
    adam_lr: float,
    *,
    momentum: float = 0.95,
    weight_decay: float = 0.0,
    adam_weight_decay: float = 0.01,
    adam_betas: tuple[float, float] = (0.9, 0.999),
    scale: Scale = "original",
    exclude: Sequence[str] = (),
) -> Muon:
    """Muon for the hidden matrices of `model`, AdamW for everything else, as one optimizer.

    Hidden matrices are trained tensors that act as a matrix with at least two rows and two columns (kernels
    count as rows by all the rest), are no embedding's table, and whose name has none of the words embed,
    position, head or classifier and their like between dots and underscores.

    Args:
        model: what is trained.
        lr: of Muon; 0.02 is its author's choice.
        adam_lr: of AdamW.
        momentum: of Muon.
        weight_decay: of the hidden matrices.
        adam_weight_decay: of what else `adamw` decays.
        adam_betas: of AdamW.
        scale: how Muon's steps depend on a matrix's shape; see `Muon`.
        exclude: names, or parts of names between dots, that go to AdamW in any case.
    """
    tables = {
        id(p)
        for m in model.modules()
        if isinstance(m, nn.Embedding | nn.EmbeddingBag)
        for p in m.parameters()
    }
    hidden: list[nn.Parameter] = []
    rest: list[Named] = []
    for name, parameter in _trained(model):
        outer = id(parameter) in tables or _named(name, exclude) or bool(_words(name) & _OUTER)
        if outer or not _is_matrix(parameter):
            rest.append((name, parameter))
        else:
            hidden.append(parameter)
    groups: list[dict[str, Any]] = [
        {**group, "lr": adam_lr, "betas": adam_betas, "muon": False}
        for group in _by_decay(rest, adam_weight_decay, ())
    ]
    if hidden:
        groups.append({"params": hidden, "lr": lr, "weight_decay": weight_decay, "muon": True})
    return Muon(groups, momentum=momentum, scale=scale)


def _trained(model: nn.Module | Iterable[Named] | Iterable[nn.Parameter]) -> list[Named]:
    """Names and parameters that have gradients.

    Raises:
        ValueError: there are none.
    """
    given = model.named_parameters() if isinstance(model, nn.Module) else model
    named = [("", item) if isinstance(item, Tensor) else item for item in given]
    found = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    if not found:
        raise ValueError("there is nothing to train: no parameter requires a gradient")
    return found


def _by_decay(named: Iterable[Named], decay: float, no_decay: Sequence[str]) -> list[dict[str, Any]]:
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in named:
        decays = _multiplies(name, parameter) and not _named(name, no_decay)
        (decayed if decays else others).append(parameter)
    groups = [{"params": decayed, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _multiplies(name: str, parameter: Tensor) -> bool:
    """Whether activations are multiplied by it; to some it is only added."""
    of_every_row = parameter.ndim == 3 and len(parameter) == 1
    return parameter.ndim >= 2 and not of_every_row and not _words(name) & _POSITION


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) > 1


def _named(name: str, chosen: Sequence[str]) -> bool:
    return any(f".{part}." in f".{name}." for part in chosen)


def _words(name: str) -> set[str]:
    return set(name.lower().replace(".", "_").split("_"))
