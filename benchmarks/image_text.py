"""Training steps of CLIP and SigLIP beside transformers and open_clip, and the memory of the losses.

A step is forward, loss, backward and optimizer at equal shapes and from equal weights; transformers' models
compute their loss themselves, open_clip's is ClipLoss, and both are stepped by torch.optim.AdamW as it is by
default. All work in float32 with one thread, in turns, and their first losses must agree. Texts have 6 to 20
of the 77 tokens that fit, as captions do. The numbers are CPU seconds, median [least, largest]; ratios with
a target come last. A peer that is not installed is left out, which is said.

The memory of a loss is the high-water mark of a process of its own over what was resident before it, forward
and backward; beside it stands the size of one full matrix of similarities.

    python benchmarks/image_text.py
    python benchmarks/image_text.py --only step
    python benchmarks/image_text.py --full             the full matrix at the largest batch too (13 GB)
"""

import argparse
import gc
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from assay.image_text.clip_model import CLIPConfig, CLIPModel, CLIPVisionConfig
from assay.image_text.contrast import sigmoid_loss, softmax_loss, unit
from assay.image_text.open_clip import to_open_clip
from assay.image_text.siglip_model import SigLIPConfig, SigLIPModel, SigLIPVisionConfig
from assay.image_text.siglip_towers import SigLIPTextConfig
from assay.image_text.text_transformer import TextConfig
from assay.train.optimizers import adamw

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from torchvision_operators import declared

TARGET = 0.85
PEERS = ("transformers", "open_clip")
DIM, CHUNK = 512, 256
CLIP_LENGTH, SIGLIP_LENGTH = 77, 64
BATCHES = (8_192, 32_768)
MATRICES = 3  # The most that the losses hold of a full matrix at the same time.
console = Console(width=110)
operators = declared()  # Kept as long as open_clip is used.
Step = Callable[[], float]

_TEXT = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 3, "num_attention_heads": 3}
_VISION = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3}
_TOKENS = {"vocab_size": 4000, "bos_token_id": 1, "eos_token_id": 3999}
_SHAPES: dict[str, dict[str, Any]] = {
    "64 px, 64 patches, batch 32": {"image_size": 64, "patch_size": 8, "batch": 32},
    "32 px, 16 patches, batch 64": {"image_size": 32, "patch_size": 8, "batch": 64},
}


def clip_steps(shape: dict[str, Any], folder: Path) -> dict[str, Step]:
    """A training step of CLIP here and in every peer that is installed, from equal weights."""
    size = {"image_size": shape["image_size"], "patch_size": shape["patch_size"]}
    text = TextConfig(**_TEXT, **_TOKENS, max_position_embeddings=CLIP_LENGTH)
    config = CLIPConfig(
        text_config=text, vision_config=CLIPVisionConfig(**_VISION, **size), projection_dim=192
    )
    ours = CLIPModel(config).train()
    images, tokens = inputs(shape, CLIP_LENGTH)

    def loss() -> torch.Tensor:
        return softmax_loss(unit(ours.encode_image(images)), unit(ours.encode_text(tokens)), ours.logit_scale)

    found = {"assay": stepped(loss, adamw(ours, 1e-4))}
    if importlib.util.find_spec("transformers"):
        from transformers import CLIPModel as Reference

        found["transformers"] = reference(Reference, ours, images, tokens, folder)
    if importlib.util.find_spec("open_clip"):
        found["open_clip"] = open_clip_step(ours, images, tokens)
    return found


def siglip_steps(shape: dict[str, Any], folder: Path) -> dict[str, Step]:
    """A training step of SigLIP here and in transformers; open_clip has its image tower from timm."""
    size = {"image_size": shape["image_size"], "patch_size": shape["patch_size"]}
    text = SigLIPTextConfig(**_TEXT, **_TOKENS, projection_size=192, max_position_embeddings=SIGLIP_LENGTH)
    ours = SigLIPModel(
        SigLIPConfig(text_config=text, vision_config=SigLIPVisionConfig(**_VISION, **size))
    ).train()
    images, tokens = inputs(shape, SIGLIP_LENGTH)

    def loss() -> torch.Tensor:
        shown, said = unit(ours.encode_image(images)), unit(ours.encode_text(tokens))
        return sigmoid_loss(shown, said, ours.logit_scale, ours.logit_bias)

    found = {"assay": stepped(loss, adamw(ours, 1e-4))}
    if importlib.util.find_spec("transformers"):
        from transformers import SiglipModel

        found["transformers"] = reference(SiglipModel, ours, images, tokens, folder)
    return found


def reference(kind: Any, ours: Any, images: torch.Tensor, tokens: torch.Tensor, folder: Path) -> Step:
    """A step of transformers' class with the weights of `ours`, which go there through files."""
    ours.save_pretrained(folder)
    theirs = kind.from_pretrained(folder).train()

    def loss() -> torch.Tensor:
        return theirs(input_ids=tokens, pixel_values=images, return_loss=True).loss

    return stepped(loss, torch.optim.AdamW(theirs.parameters(), 1e-4))


def open_clip_step(ours: CLIPModel, images: torch.Tensor, tokens: torch.Tensor) -> Step:
    """A step of open_clip's CLIP and its loss, with the weights of `ours`."""
    from open_clip.loss import ClipLoss
    from open_clip.model import CLIP

    text, vision = ours.config.text_config, ours.config.vision_config
    theirs = CLIP(
        ours.config.projection_dim,
        vision_cfg={
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
        },  # type: ignore[arg-type]
        text_cfg={
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
        },  # type: ignore[arg-type]
        quick_gelu=True,
    ).train()
    theirs.load_state_dict(to_open_clip(ours))
    criterion = ClipLoss()

    def loss() -> torch.Tensor:
        shown, said, scale = theirs(images, tokens)
        return criterion(shown, said, scale)

    return stepped(loss, torch.optim.AdamW(theirs.parameters(), 1e-4))


def inputs(shape: dict[str, Any], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and tokens of a batch: ends fill the texts up."""
    rng = torch.Generator().manual_seed(0)
    side = shape["image_size"]
    images = torch.randn(shape["batch"], 3, side, side, generator=rng)
    tokens = torch.randint(2, 3999, (shape["batch"], length), generator=rng)
    ends = torch.randint(5, 20, (shape["batch"], 1), generator=rng)
    return images, torch.where(torch.arange(length)[None] >= ends, 3999, tokens)


def stepped(loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer) -> Step:
    """One step, which gives back its loss."""

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        return value.item()

    return step


def steps(repeats: int) -> list[tuple[str, float]]:
    """Prints the times of steps, and gives back their ratios."""
    for name in PEERS:
        if not importlib.util.find_spec(name):
            console.print(f"{name} is not installed, and is left out")
    sheet = Table(title="A training step", title_justify="left")
    for heading in ("model", "of", "CPU s", "assay / it"):
        sheet.add_column(heading, justify="left" if heading in ("model", "of") else "right")
    ratios = []
    for kind, make in (("CLIP", clip_steps), ("SigLIP", siglip_steps)):
        for name, shape in _SHAPES.items():
            with tempfile.TemporaryDirectory() as folder:
                arms = make(shape, Path(folder))
            first = {arm: step() for arm, step in arms.items()}
            for arm, value in first.items():
                if abs(first["assay"] - value) > 1e-4 * abs(value):
                    raise AssertionError(f"{kind}: the losses differ, {first['assay']}, of {arm} {value}")
                arms[arm]()
            found: dict[str, list[float]] = {arm: [] for arm in arms}
            for turn in range(repeats):
                for arm in sorted(arms, reverse=bool(turn % 2)):
                    gc.collect()
                    start = time.process_time()
                    arms[arm]()
                    found[arm].append(time.process_time() - start)
            middle = {arm: statistics.median(values) for arm, values in found.items()}
            for arm in arms:
                ratio = middle["assay"] / middle[arm]
                sheet.add_row(f"{kind}, {name}", arm, spread(found[arm]), f"{ratio:.2f}")
                if arm != "assay":
                    ratios.append((f"{kind}, {name}: step / {arm}", ratio))
    console.print(sheet)
    return ratios


def memory(*, full: bool) -> list[tuple[str, float]]:
    """Prints peak memory and time of the losses, and gives back chunked peaks over the full matrix."""
    sheet = Table(title=f"The losses alone, {DIM} features, chunks of {CHUNK}", title_justify="left")
    for heading in ("loss", "batch", "rows at a time", "peak, MB", "one full matrix, MB", "CPU s"):
        sheet.add_column(heading, justify="left" if heading == "loss" else "right")
    ratios = []
    for loss in ("softmax", "sigmoid"):
        for batch in BATCHES:
            matrix = 4 * batch**2 / 1e6
            for chunk in (CHUNK, 0):
                if chunk == 0 and batch == BATCHES[-1] and not full:
                    continue
                if chunk == 0 and 1.2 * MATRICES * matrix > available_bytes() / 1e6:
                    computed = f"({MATRICES * matrix:,.0f} needed)"
                    sheet.add_row(loss, f"{batch:,}", "all", computed, f"{matrix:,.0f}", "")
                    continue
                command = [sys.executable, __file__, "--child", loss, str(batch), str(chunk)]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                peak, seconds = float(out[0]) / 1e6, float(out[1])
                rows = str(chunk or "all")
                sheet.add_row(loss, f"{batch:,}", rows, f"{peak:,.0f}", f"{matrix:,.0f}", f"{seconds:.2f}")
                if chunk:
                    ratios.append((f"{loss}, batch {batch:,}: peak / one full matrix", peak / matrix))
    console.print(sheet)
    return ratios


def child(loss: str, batch: int, chunk: int) -> None:
    """Prints peak bytes and CPU seconds of one loss, forward and backward, in this process."""
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    images, texts = (unit(torch.randn(batch, DIM, generator=rng)).requires_grad_() for _ in range(2))
    scale, bias = torch.tensor(2.0, requires_grad=True), torch.tensor(-10.0, requires_grad=True)
    warm = sigmoid_loss(images[:8], texts[:8], scale, bias) + softmax_loss(images[:8], texts[:8], scale)
    warm.backward()
    before = reset_peak()
    start = time.process_time()
    if loss == "softmax":
        softmax_loss(images, texts, scale, chunk=chunk or None).backward()
    else:
        sigmoid_loss(images, texts, scale, bias, chunk=chunk or None).backward()
    print(peak_bytes() - before, time.process_time() - start)


def reset_peak() -> int:
    """Bytes resident now, from which the high-water mark counts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """The high-water mark of the resident memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def available_bytes() -> int:
    """Memory that can be had without pushing anything out."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=["step", "memory"])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child[0], int(asked.child[1]), int(asked.child[2]))
        return
    torch.set_num_threads(1)
    rows: list[tuple[str, float, float]] = []
    if asked.only in (None, "step"):
        rows += [(what, value, TARGET) for what, value in steps(asked.repeats)]
    if asked.only in (None, "memory"):
        rows += [(what, value, 0.5) for what, value in memory(full=asked.full)]
    sheet = Table(title="Targets", title_justify="left")
    for heading in ("what", "measured", "target", ""):
        sheet.add_column(heading, justify="left" if heading in ("what", "") else "right")
    for what, value, target in rows:
        sheet.add_row(
            what,
            f"{value:.3f}",
            f"at most {target:.2f}",
            "[green]met[/]" if value <= target else "[red]missed[/]",
        )
    console.print(sheet)


if __name__ == "__main__":
    main()
