"""The pre-norm transformer block: attention and a two-layer network, each on normalised tokens and added.

Reference:
    Dosovitskiy et al. "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale".
    ICLR 2021. arXiv:2010.11929v2
    Implements: Eq. (2) and (3).
"""

from jaxtyping import Float
from torch import Tensor, nn

from assay.nn.activation import activation
from assay.nn.attention import SelfAttention
from assay.nn.drop_path import DropPath
from assay.nn.linear import Linear


class MLP(nn.Module):
    """Two linear layers with an activation between them.

    Args:
        dim: width of input and output.
        hidden_dim: width between the layers.
        hidden_act: name of the activation.
    """

    def __init__(self, dim: int, hidden_dim: int, hidden_act: str = "gelu") -> None:
        super().__init__()
        self.fc1 = Linear(dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, dim)
        self.act = activation(hidden_act)

    def forward(self, x: Float[Tensor, " *batch dim"]) -> Float[Tensor, " *batch dim"]:
        """W2 act(W1 x)."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """z <- z + attention(LN(z)); z <- z + MLP(LN(z)).

    Args:
        dim: width of a token.
        num_heads: of the attention.
        hidden_dim: of the two-layer network.
        hidden_act: its activation.
        layer_norm_eps: added to the variance; published models differ in it, so there is no default.
        qkv_bias: of the attention.
        drop_path_rate: probability in training that a branch is left out.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        *,
        layer_norm_eps: float,
        hidden_act: str = "gelu",
        qkv_bias: bool = True,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.attention = SelfAttention(dim, num_heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=layer_norm_eps)
        self.mlp = MLP(dim, hidden_dim, hidden_act)
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, z: Float[Tensor, "batch tokens dim"], *, bias: Tensor | None = None, causal: bool = False
    ) -> Float[Tensor, "batch tokens dim"]:
        """The tokens one block further; `bias` and `causal` as in `assay.nn.attention.attend`."""
        z = z + self.drop_path(self.attention(self.norm1(z), bias=bias, causal=causal))  # Eq. (2)
        return z + self.drop_path(self.mlp(self.norm2(z)))  # Eq. (3)
