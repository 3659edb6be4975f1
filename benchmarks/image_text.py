"""Training steps of CLIP and SigLIP beside transformers, and the memory of the losses; targets come last.

A step is forward, loss, backward and optimizer at equal shapes and from equal weights, which go from one to
the other through files; transformers' models compute their loss themselves and are stepped by
torch.optim.AdamW as it is by default. Both work in float32 with one thread, in turns. Texts have 6 to 20 of
the 77 tokens that fit, as captions do. The numbers are CPU seconds, median [least, largest].

The memory of a loss is the high-water mark of a process of its own over what was resident before it, forward
and backward; beside it stands the size of one full matrix of similarities, of which automatic differentiation
keeps several.

    python benchmarks/image_text.py
    python benchmarks/image_text.py --only step
    python benchmarks/image_text.py --full             the full matrix at the largest batch too (13 GB)
"""

import argparse
import gc
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

from assay.image_text.clip_model import CLIPModel
from assay.image_text.contrast import sigmoid_loss, softmax_loss, unit
from assay.image_text.siglip_model import SigLIPModel
from assay.train.optimizers import adamw

TARGET = 0.85
DIM, CHUNK = 512, 256
CLIP_LENGTH, SIGLIP_LENGTH = 77, 64
BATCHES = (8_192, 32_768)
console = Console(width=110)
Step = Callable[[], float]

_TEXT = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 3, "num_attention_heads": 3}
_VISION = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 3}
_TOKENS = {"vocab_size": 4000, "bos_token_id": 1, "eos_token_id": 3999}
_SHAPES: dict[str, dict[str, Any]] = {
    "64 px, 64 patches, batch 32": {"image_size": 64, "patch_size": 8, "batch": 32},
    "32 px, 16 patches, batch 64": {"image_size": 32, "patch_size": 8, "batch": 64},
}


def clip_steps(shape: dict[str, Any], folder: Path) -> tuple[Step, Step]:
    """A training step of CLIP here and in transformers."""
    import transformers

    size = {"image_size": shape["image_size"], "patch_size": shape["patch_size"]}
    config = transformers.CLIPConfig(
        text_config={**_TEXT, **_TOKENS, "max_position_embeddings": CLIP_LENGTH},
        vision_config={**_VISION, **size},
        projection_dim=192,
    )
    theirs = transformers.CLIPModel(config).train()
    theirs.save_pretrained(folder)
    ours = CLIPModel.from_pretrained(folder).train()
    images, tokens = inputs(shape, CLIP_LENGTH)

    def loss() -> torch.Tensor:
        return softmax_loss(unit(ours.encode_image(images)), unit(ours.encode_text(tokens)), ours.logit_scale)

    def reference() -> torch.Tensor:
        return theirs(input_ids=tokens, pixel_values=images, return_loss=True).loss

    return stepped(loss, adamw(ours, 1e-4)), stepped(reference, torch.optim.AdamW(theirs.parameters(), 1e-4))


def siglip_steps(shape: dict[str, Any], folder: Path) -> tuple[Step, Step]:
    """A training step of SigLIP here and in transformers."""
    import transformers

    size = {"image_size": shape["image_size"], "patch_size": shape["patch_size"]}
    config = transformers.SiglipConfig(
        text_config={**_TEXT, **_TOKENS, "projection_size": 192, "max_position_embeddings": SIGLIP_LENGTH},
        vision_config={**_VISION, **size},
    )
    theirs = transformers.SiglipModel(config).train()
    theirs.save_pretrained(folder)
    ours = SigLIPModel.from_pretrained(folder).train()
    images, tokens = inputs(shape, SIGLIP_LENGTH)

    def loss() -> torch.Tensor:
        shown, said = unit(ours.encode_image(images)), unit(ours.encode_text(tokens))
        return sigmoid_loss(shown, said, ours.logit_scale, ours.logit_bias)

    def reference() -> torch.Tensor:
        return theirs(input_ids=tokens, pixel_values=images, return_loss=True).loss

    return stepped(loss, adamw(ours, 1e-4)), stepped(reference, torch.optim.AdamW(theirs.parameters(), 1e-4))


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
    sheet = Table(title="A training step", title_justify="left")
    for heading in ("model", "assay, CPU s", "transformers, CPU s", "ratio"):
        sheet.add_column(heading, justify="left" if heading == "model" else "right")
    ratios = []
    for kind, make in (("CLIP", clip_steps), ("SigLIP", siglip_steps)):
        for name, shape in _SHAPES.items():
            with tempfile.TemporaryDirectory() as folder:
                ours, theirs = make(shape, Path(folder))
            first = ours(), theirs()
            if abs(first[0] - first[1]) > 1e-3 * abs(first[1]):
                raise AssertionError(f"{kind}: the losses differ, {first[0]} and {first[1]}")
            ours(), theirs()
            found: tuple[list[float], list[float]] = ([], [])
            for turn in range(repeats):
                for place in (0, 1) if turn % 2 else (1, 0):
                    gc.collect()
                    start = time.process_time()
                    (ours, theirs)[place]()
                    found[place].append(time.process_time() - start)
            ratio = statistics.median(found[0]) / statistics.median(found[1])
            ratios.append((f"{kind}, {name}: step / transformers'", ratio))
            sheet.add_row(f"{kind}, {name}", spread(found[0]), spread(found[1]), f"{ratio:.2f}")
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
