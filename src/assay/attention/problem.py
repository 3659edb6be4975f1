"""The shape that attention is wanted for, with the numbers it is tried on.

A shape is written batch x heads x length x dim, such as 4x16x4096x64, or named after a model.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from assay.data.table import ContractError

if TYPE_CHECKING:
    import torch

    from assay.attention.pattern import Pattern

Dtype = Literal["fp16", "bf16", "fp32", "fp64"]
_TORCH = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "fp64": "float64"}

SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"batch": 1, "heads": 12, "length": 1024, "dim": 64, "causal": True},
    "bert-base": {"batch": 8, "heads": 12, "length": 512, "dim": 64},
    "vit-l16": {"batch": 8, "heads": 16, "length": 197, "dim": 64},
    "llama-3-8b": {"batch": 1, "heads": 32, "length": 4096, "dim": 128, "kv_heads": 8, "causal": True},
}
"""One layer of well-known models at the length they were trained for (of Llama 3, half of it)."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is to be computed.

    Args:
        batch, heads, length, dim: of q; at least 1.
        kv_heads: heads of k and v, a divisor of heads; None for as many.
        keys: length of k and v; None for that of q.
        causal: a query does not see later keys; the last query is aligned with the last key.
        left: how many earlier keys a query sees beside its own; -1 for all.
        dtype: of the operands.
        gradients: whether the backward pass belongs to it.
        device: "cpu" or "cuda".
        seed: of the numbers.
    """

    batch: int
    heads: int
    length: int
    dim: int
    kv_heads: int | None = None
    keys: int | None = None
    causal: bool = False
    left: int = -1
    dtype: Dtype = "fp32"
    gradients: bool = False
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "heads", "length", "dim", "kv_heads", "keys"):
            value = getattr(self, name)
            optional = name in ("kv_heads", "keys") and value is None
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ContractError(f"{name} must be a whole number from 1 up, got {value!r}")
        if self.heads % self.num_kv_heads:
            raise ContractError(f"kv_heads must divide the {self.heads} heads, got {self.kv_heads}")
        if isinstance(self.left, bool) or not isinstance(self.left, int) or self.left < -1:
            raise ContractError(f"left must be a number of keys, or -1 for all, got {self.left!r}")
        if self.dtype not in _TORCH:
            raise ContractError(f"dtype must be one of {', '.join(_TORCH)}, got {self.dtype!r}")
        for name in ("causal", "gradients"):
            if not isinstance(getattr(self, name), bool):
                raise ContractError(f"{name} must be true or false, got {getattr(self, name)!r}")

    @property
    def num_kv_heads(self) -> int:
        """Heads of k and v."""
        return self.kv_heads or self.heads

    @property
    def num_keys(self) -> int:
        """Length of k and v."""
        return self.keys or self.length

    @property
    def name(self) -> str:
        """The shape and what is special about it."""
        shape = f"{self.batch}x{self.heads}x{self.length}x{self.dim}"
        kv = f"{self.kv_heads} kv heads" if self.num_kv_heads != self.heads else ""
        keys = f"{self.keys} keys" if self.num_keys != self.length else ""
        window = f"{self.left} to the left" if self.left >= 0 else ""
        causal = "causal" if self.causal else ""
        gradients = "with gradients" if self.gradients else ""
        dtype = "" if self.dtype == "fp32" else self.dtype
        device = "" if self.device == "cpu" else self.device
        return " ".join(word for word in (shape, kv, keys, causal, window, dtype, gradients, device) if word)

    @property
    def flops(self) -> float:
        """Floating-point operations, by the definition in `assay.attention.flops`."""
        from assay.attention.flops import forward_flops, training_flops

        count = training_flops if self.gradients else forward_flops
        return count(self.batch, self.heads, self.length, self.num_keys, self.dim, causal=self.causal)

    def fingerprint(self) -> str:
        """SHA-256 of everything but the seed."""
        return hashlib.sha256(json.dumps(asdict(self) | {"seed": 0}, sort_keys=True).encode()).hexdigest()

    def describe(self) -> Mapping[str, Any]:
        """All settings, the operations, and the memory of one matrix of scores."""
        size = 8 if self.dtype == "fp64" else 4
        scores = self.batch * self.heads * self.length * self.num_keys * size
        shown = {name: value for name, value in asdict(self).items() if name != "seed"}
        return shown | {"GFLOP": self.flops / 1e9, "scores, bytes": scores}

    def pattern(self) -> "Pattern":
        """Scale and window."""
        from assay.attention.pattern import Pattern

        return Pattern(scale=1 / math.sqrt(self.dim), window=(self.left, 0 if self.causal else -1))

    def operands(self) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        """q, k, v and the gradient of the output: independent normal numbers, fixed by the seed."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        q_shape = (self.batch, self.heads, self.length, self.dim)
        k_shape = (self.batch, self.num_kv_heads, self.num_keys, self.dim)
        dtype = getattr(torch, _TORCH[self.dtype])

        def drawn(shape: tuple[int, ...]) -> "torch.Tensor":
            return torch.randn(shape, generator=generator, dtype=torch.float32).to(self.device, dtype)

        return drawn(q_shape), drawn(k_shape), drawn(k_shape), drawn(q_shape)


def parse_shape(text: str) -> dict[str, Any]:
    """The settings of a named shape, or of one written as 4x16x4096x64.

    Raises:
        ContractError: it is neither.
    """
    if text in SHAPES:
        return dict(SHAPES[text])
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)x(\d+)", text.strip().lower())
    if match is None:
        raise ContractError(
            f"expected a shape batch x heads x length x dim such as 4x16x4096x64, or one of "
            f"{', '.join(SHAPES)}; got {text!r}"
        )
    return dict(zip(("batch", "heads", "length", "dim"), map(int, match.groups()), strict=True))
