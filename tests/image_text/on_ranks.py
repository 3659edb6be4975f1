"""Run as a program on every rank: losses and gradients of one rank's pairs, and fits, written to a file."""

import sys

import numpy as np
import torch
import torch.distributed as dist

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.catlip import CatLIP
from assay.image_text.clip import CLIP
from assay.image_text.clip_model import CLIPVisionConfig
from assay.image_text.contrast import unit
from assay.image_text.flip import FLIP
from assay.image_text.ranks import sigmoid_loss_of_ranks, softmax_loss_of_ranks
from assay.image_text.siglip import SigLIP
from assay.image_text.siglip2 import SigLIP2
from assay.image_text.siglip2_model import SigLIP2VisionConfig
from assay.image_text.towers import WordsConfig

PAIRS, SIZE, DIM = 12, 5, 4  # pairs of all ranks, numbers of an input and of a feature
GROUPS = torch.tensor([0, 1, 2, 3, 0, 4, 5, 1, 6, 7, 2, 0])
LOSSES = {
    "softmax": lambda i, t, s, b, g: softmax_loss_of_ranks(i, t, s, groups=g),
    "softmax in chunks": lambda i, t, s, b, g: softmax_loss_of_ranks(i, t, s, groups=g, chunk=2),
    "sigmoid gathered": lambda i, t, s, b, g: sigmoid_loss_of_ranks(i, t, s, b, groups=g),
    "sigmoid on a ring": lambda i, t, s, b, g: sigmoid_loss_of_ranks(
        i, t, s, b, groups=g, ring=True, chunk=3
    ),
}


SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SETTINGS = {
    "text": WordsConfig(width=16, vocab_size=300),
    "dim": 16,
    "batch_size": 8,
    "examples": 48,
    "learning_rate": 0.01,
    "adam_learning_rate": 0.003,
}
SQUARE = CLIPVisionConfig(**SIZES, image_size=16, patch_size=4, hidden_act="gelu")
FLEXIBLE = SigLIP2VisionConfig(**SIZES, num_patches=16, patch_size=4, hidden_act="gelu")
METHODS = {
    "CLIP": CLIP(**SETTINGS, image=SQUARE, size=16),
    "SigLIP on a ring": SigLIP(**SETTINGS, image=SQUARE, size=16, ring=True),
    "FLIP": FLIP(**SETTINGS, image=SQUARE, size=16, tuning=0.0),
    "CatLIP": CatLIP(
        **SETTINGS, image=SQUARE, size=16, pretraining=24, pretraining_batch_size=8, dropout=0.0
    ),
    "SigLIP2": SigLIP2(**SETTINGS, image=FLEXIBLE, max_num_patches=16),
}
"""Without batch normalisation and dropout, of which every rank has its own."""


def pairs():
    """Noise in ten colours, each with several texts of which one is drawn in every step."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (10, 1, 1, 3))
    pictures = [
        np.clip(c + rng.integers(-40, 41, (12 + i, 20 - i, 3)), 0, 255) for i, c in enumerate(colours)
    ]
    texts = [[f"{word} {i}" for word in ("number", "picture", "colour")] for i in range(10)]
    return Pairs.of([picture.astype(np.uint8) for picture in pictures], texts)


def fitted(rank=0, world=1, seed=5):
    """{method: the losses of its steps, and its similarities of all pictures and texts after them}."""
    data, found = pairs(), {}
    for name, method in METHODS.items():
        model = method.fit(data, run=Run(seed=seed, rank=rank, world=world))
        scores = model.scores(data, [data.texts(i)[0] for i in range(10)])
        found[name] = np.concatenate([[v for _, v in model.history.curve("loss")], scores.ravel()])
    return found


def parameters():
    """Two towers (matrices), scale and bias, the same everywhere."""
    rng = torch.Generator().manual_seed(1)
    towers = [torch.randn(SIZE, DIM, generator=rng, dtype=torch.float64) for _ in range(2)]
    scalars = [torch.tensor(0.7, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64)]
    return [p.requires_grad_() for p in (*towers, *scalars)]


def inputs():
    """Images and texts of all ranks."""
    rng = torch.Generator().manual_seed(2)
    return [torch.randn(PAIRS, SIZE, generator=rng, dtype=torch.float64) for _ in range(2)]


def measured(rank=0, world=1):
    """{loss, and whether groups are given: its value and gradients, averaged over ranks}."""
    found = {}
    mine = slice(rank * PAIRS // world, (rank + 1) * PAIRS // world)
    for name, loss in LOSSES.items():
        for groups in (None, GROUPS[mine]):
            image_tower, text_tower, scale, bias = leaves = parameters()
            images, texts = (x[mine] for x in inputs())
            value = loss(unit(images @ image_tower), unit(texts @ text_tower), scale, bias, groups)
            value.backward()
            numbers = [value.detach().reshape(1)]
            numbers += [torch.zeros(1) if p.grad is None else p.grad.flatten() for p in leaves]
            vector = torch.cat([x.double() for x in numbers])
            if world > 1:
                dist.all_reduce(vector)
                vector /= world
            found[f"{name}, {'groups' if groups is not None else 'no groups'}"] = vector.numpy()
    return found


def main(rank, world, rendezvous, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world)
    found = measured(rank, world)
    if world == 2:
        found |= {f"fit of {name}": x for name, x in fitted(rank, world).items()}
    try:
        few = torch.zeros(2 + rank, DIM, dtype=torch.float64)
        softmax_loss_of_ranks(few, few, torch.zeros(()))
        refusal = "none"
    except ValueError as error:
        refusal = str(error)
    if rank == 0:
        np.savez(out, refusal=np.array(refusal), **found)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
