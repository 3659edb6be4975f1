"""Training steps of the image networks beside transformers' classes with the same weights; ratios come last.

A step is forward, cross-entropy, backward and AdamW of PyTorch, the same for both; the networks take turns in
one process, with one thread, in float32 and in bfloat16 by autocast. transformers' attention is its default,
PyTorch's fused one. The numbers are CPU seconds, median [least, largest]; the ratio is the median of those of
the turns.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy

from assay.images.resnet import ResNet
from assay.images.swin import Swin
from assay.images.vit import ViT

TARGET = 1.0
console = Console(width=110)


def cases(full: bool) -> dict[str, tuple[type, nn.Module, tuple[int, ...]]]:
    """Our class, their model with new weights, and the shape of the images, by name."""
    resnet = transformers.ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128], depths=[2, 2, 2], layer_type="basic", num_labels=10
    )
    vit = transformers.ViTConfig(
        image_size=28,
        patch_size=4,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=192,
        num_labels=10,
    )
    swin = transformers.SwinConfig(
        image_size=56,
        patch_size=4,
        embed_dim=48,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=7,
        mlp_ratio=2.0,
        num_labels=10,
        drop_path_rate=0.0,
    )
    found = {
        "ResNet 32-128, 64 px": (ResNet, transformers.ResNetForImageClassification(resnet), (32, 3, 64, 64)),
        "ViT 96 x 4, 49 patches": (ViT, transformers.ViTForImageClassification(vit), (64, 3, 28, 28)),
        "Swin 48, windows of 7": (Swin, transformers.SwinForImageClassification(swin), (32, 3, 56, 56)),
    }
    if full:
        large = transformers.ViTConfig(
            hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536
        )
        found |= {
            "ResNet-18, 224 px": (
                ResNet,
                transformers.ResNetForImageClassification(
                    transformers.ResNetConfig(
                        hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"
                    )
                ),
                (8, 3, 224, 224),
            ),
            "ViT-S/16, 224 px": (ViT, transformers.ViTForImageClassification(large), (4, 3, 224, 224)),
            "Swin-T, 224 px": (
                Swin,
                transformers.SwinForImageClassification(transformers.SwinConfig(drop_path_rate=0.0)),
                (4, 3, 224, 224),
            ),
        }
    return found


def step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, bf16: bool) -> Callable[[], float]:
    """What does one training step and returns its loss."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=True)

    def run() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = model(images)
            loss = cross_entropy(getattr(out, "logits", out).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run


def turns(steps: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each, turn by turn; the first turn is not counted."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name in sorted(steps, reverse=bool(turn % 2)):
            start = time.process_time()
            steps[name]()
            if turn:
                found[name].append(time.process_time() - start)
    return found


def main() -> None:
    """Prints the times and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--full", action="store_true", help="also networks of the published sizes")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.random.default_generator.manual_seed(0)
    times = Table(title="A training step, CPU seconds", title_justify="left")
    for heading in ("network", "batch", "dtype", "assay", "transformers"):
        times.add_column(heading, justify="left" if heading == "network" else "right")
    ratios = Table(title="assay / transformers", title_justify="left")
    for heading in ("network", "dtype", "measured", "range", "target", ""):
        ratios.add_column(heading, justify="left" if heading == "network" else "right")
    for name, (ours, theirs, shape) in cases(options.full).items():
        with tempfile.TemporaryDirectory() as folder:
            theirs.save_pretrained(folder)  # type: ignore[operator]
            model = ours.from_pretrained(Path(folder))
        images, labels = torch.randn(shape), torch.randint(0, model.config.num_classes, shape[:1])
        for bf16 in (False, True):
            pair = {
                "assay": step(model, images, labels, bf16),
                "transformers": step(theirs, images, labels, bf16),
            }
            found = turns(pair, options.repeats)
            dtype = "bf16" if bf16 else "fp32"
            cells = [
                f"{statistics.median(found[who]):.4f} [{min(found[who]):.4f}, {max(found[who]):.4f}]"
                for who in pair
            ]
            times.add_row(name, str(shape[0]), dtype, *cells)
            each = [a / b for a, b in zip(found["assay"], found["transformers"], strict=True)]
            ratio = statistics.median(each)
            verdict = "[green]met[/]" if ratio <= TARGET else "[red]missed[/]"
            quartiles = statistics.quantiles(each, n=4)
            told = f"{quartiles[0]:.2f} to {quartiles[2]:.2f}"
            ratios.add_row(name, dtype, f"{ratio:.2f}", told, f"at most {TARGET:.2f}", verdict)
    console.print(times)
    console.print(ratios)


if __name__ == "__main__":
    main()
