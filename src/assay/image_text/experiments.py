"""The experiments of the wing's claims: small fits on the emoji, tested on a vendor held out for choosing.

Most of them use a locked image tower whose features are computed once per seed, so that a training takes
seconds. R@1 is that of finding an image's English name among all names.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.core.run import Run, Scale
from assay.data.emoji import emoji_pairs, emoji_split
from assay.data.pairs import Pairs
from assay.image_text.catlip import CatLIP
from assay.image_text.clip import CLIP
from assay.image_text.contract import Question, retrieval
from assay.image_text.contrast import (
    BIAS_OF_SIGMOID,
    LOG_SCALE_OF_SIGMOID,
    LOG_SCALE_OF_SOFTMAX,
    sigmoid_loss,
)
from assay.image_text.dfn import chosen, pair_scores
from assay.image_text.dual_encoder import DualEncoder
from assay.image_text.flip import FLIP
from assay.image_text.lit import LiT
from assay.image_text.metrics import ranks, recall
from assay.image_text.model import ImageTextModel
from assay.image_text.paraphrases import precision
from assay.image_text.pictures import as_input
from assay.image_text.probe import linear_probe
from assay.image_text.templates import TEMPLATES
from assay.image_text.towers import PretrainedConfig
from assay.train.seeding import seeded

_TINY = {"dim": 32, "size": 32}
Measured = dict[str, float]


class Bench:
    """Data, run and locked features of one seed.

    Args:
        seed: of every draw.
        scale: "smoke" for a few pairs and steps.
    """

    def __init__(self, seed: int, scale: Scale) -> None:
        self.run, self.smoke = Run(seed=seed, scale=scale), scale == "smoke"
        pairs = emoji_pairs(scale)
        parts = emoji_split(pairs)
        self.train = pairs.take(parts["train_without_validation"])
        self.shown = pairs.take(parts["validation"])
        self.question: Question = retrieval("", self.shown, pairs, "en", labels=True)
        self._states: Tensor | None = None

    def count(self, examples: int) -> int:
        """So many examples, or few at smoke scale."""
        return 128 if self.smoke else examples

    def recall(self, model: ImageTextModel, k: int = 1) -> float:
        """R@k of the held-out vendor's images among all names."""
        scores = model.scores(self.question.images, self.question.texts)
        return recall(ranks(scores, self.question.image_groups, self.question.text_groups), k)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Settings, small at smoke scale; no arm augments, and all texts' towers are means of words."""
        plain = {"augment": False, "text": "words", "length": 24, "tags": 0.0}
        return ({**_TINY, "batch_size": 16} if self.smoke else {}) | plain | changes

    def lit(self, **changes: Any) -> LiT:
        """LiT on pictures of 64 pixels, as they are kept, and the last map of the image tower alone."""
        small = {"size": 64, "image": PretrainedConfig(earlier=())}
        return LiT(**{**small, **self.settings(**changes), "examples": self.count(changes["examples"])})

    def locked(
        self,
        method: LiT,
        rows: NDArray[np.int64] | None = None,
        texts: Pairs | None = None,
        *,
        log_scale: float = LOG_SCALE_OF_SOFTMAX,
        bias: float | None = None,
    ) -> ImageTextModel:
        """A text tower tuned for the locked image tower, whose features are computed once.

        Args:
            method: LiT with its settings.
            rows: which of the training pairs; all if not given.
            texts: pairs with other texts in place of these rows' own.
            log_scale: of the logits at the start.
            bias: of the logits at the start; with one, the loss is the sigmoid loss.
        """
        pairs = self.train if rows is None else self.train.take(rows)
        with seeded(self.run):
            module, tokenizer = method.towers(
                texts or pairs,
                self.run,
                log_scale=log_scale,
                bias=bias,
                standardise=True,
                dropout=method.dropout,
            )
            states = self.states(method, module)
            if rows is not None:
                states = states[:, torch.from_numpy(rows)]

            def sigmoid(images: Tensor, said: Tensor, groups: Tensor) -> Tensor:
                assert module.logit_bias is not None
                return sigmoid_loss(images, said, module.logit_scale, module.logit_bias, groups=groups)

            loss = sigmoid if bias is not None else None
            history, _ = method.tune(module, tokenizer, texts or pairs, self.run, loss, states)
        return method.fitted(module, tokenizer, pairs, history, [])

    def states(self, method: LiT, module: DualEncoder) -> Tensor:
        """The locked tower's features of all training pairs."""
        if self._states is None:
            module.lock()
            self._states = method.states(module, self.train, self.run, views=1)
        return self._states


def batch_sizes(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@1 of both losses at three batch sizes with equal examples, and how far sigmoid is ahead."""
    bench = Bench(seed, scale)
    found: Measured = {}
    for size, examples in ((16, 24_000), (64, 40_000), (512, 60_000)):
        method = bench.lit(examples=examples, batch_size=size, learning_rate=0.02 * (size / 256) ** 0.5)
        softmax = bench.recall(bench.locked(method))
        sigmoid = bench.recall(bench.locked(method, log_scale=LOG_SCALE_OF_SIGMOID, bias=BIAS_OF_SIGMOID))
        found |= {f"softmax {size}": softmax, f"sigmoid {size}": sigmoid, f"gap {size}": sigmoid - softmax}
    return found


def bias_at_the_start(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@1 of the sigmoid loss after a short training from a bias of -10 and of 0."""
    bench = Bench(seed, scale)
    method = bench.lit(examples=20_000, batch_size=256)
    return {
        f"bias {bias:g}": bench.recall(bench.locked(method, log_scale=LOG_SCALE_OF_SIGMOID, bias=bias))
        for bias in (-10.0, 0.0)
    }


def masking(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@5 with half of the patches and with all, in equal CPU time: examples by the measured cost of each."""
    bench = Bench(seed, scale)

    def trained(mask: float, examples: float) -> tuple[float, float]:
        changes = {"mask": mask, "examples": max(1, round(examples))}
        method = FLIP(**bench.settings(**changes, size=16 if bench.smoke else None))
        began = time.process_time()
        model = method.fit(bench.train, run=bench.run)
        return bench.recall(model, 5), time.process_time() - began

    unit = 24 if bench.smoke else 1_200
    costs = {}
    for mask in (0.0, 0.5):  # Of examples alone: what every fit costs before the first is in both.
        costs[mask] = max(trained(mask, 1.5 * unit)[1] - trained(mask, 0.5 * unit)[1], 1e-3) / unit
    ratio = costs[0.5] / costs[0.0]
    return {
        "unmasked": trained(0.0, 10 * unit)[0],
        "masked": trained(0.5, 10 * unit / max(ratio, 0.1))[0],
        "cost ratio": ratio,
    }


def locking(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@5 with the pretrained tower locked and trained, at equal examples, and how much faster one is.

    A tower that is trained on has a thirtieth of the rates of what starts from scratch: 1e-4 for AdamW, as is
    usual for fine-tuning, and 7e-4 for Muon; its running statistics stay.
    """
    bench = Bench(seed, scale)
    found: Measured = {}
    seconds = {}
    for name, locked in (("locked", True), ("unlocked", False)):
        method = bench.lit(
            examples=6_000, batch_size=128, locked=locked, adam_learning_rate=0.003, image_rate=1 / 30
        )
        bench.locked(replace(method, examples=1))  # Features that are kept are no part of a step.
        began = time.process_time()
        model = bench.locked(method)
        seconds[name] = time.process_time() - began
        found[name] = bench.recall(model, 5)
    return found | {"speed-up": seconds["unlocked"] / seconds["locked"]}


def nouns(seed: int, scale: Scale) -> Mapping[str, float]:
    """Probe accuracy of image towers trained by CLIP and by CatLIP on equal examples, and CatLIP's speed."""
    bench = Bench(seed, scale)
    examples = bench.count(12_000)
    settings = bench.settings(text="transformer")
    began = time.process_time()
    clip = CLIP(**bench.settings(text="transformer", examples=examples)).fit(bench.train, run=bench.run)
    middle = time.process_time()
    own: dict[str, Any] = {"pretraining": examples, "pretraining_batch_size": 128}
    catlip = CatLIP(**settings | own)
    with seeded(bench.run):
        known = catlip.pretrain(bench.train, bench.run)
    end = time.process_time()

    def features(tower: Any) -> NDArray[np.float32]:
        processor = catlip.processor
        x = as_input(bench.shown.images(size=catlip.side), processor.mean, processor.std)
        with torch.inference_mode():
            return torch.cat([tower.train(False).embed(part) for part in x.split(256)]).numpy()

    names, labels = np.unique(bench.shown.column("emoji_group").astype(str), return_inverse=True)
    order = bench.run.rng("probe").permutation(len(labels))
    half = len(order) // 2

    def probed(tower: Any) -> float:
        x = features(tower)
        x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)
        probe = linear_probe(x[order[:half]], labels[order[:half]], penalty=10.0 * len(names))
        return probe.accuracy(x[order[half:]], labels[order[half:]])

    return {
        "clip": probed(clip.module.vision_model),
        "catlip": probed(known.tower),
        "throughput ratio": (middle - began) / (end - middle),
    }


def filtering(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@1 after training on a noisy pool, on random halves and on halves that two filters chose from it.

    Half of the pool's texts are those of other pairs. The clean filter learns from few clean pairs, the noisy
    one from all of the pool.
    """
    bench = Bench(seed, scale)
    rng = bench.run.rng("noise")
    order = rng.permutation(len(bench.train))
    few = np.sort(order[: len(order) // 5])
    rest = np.sort(order[len(order) // 5 :])
    wrong = rng.random(len(rest)) < 0.5
    said = rest.copy()
    said[wrong] = np.roll(rest[wrong], 1 + int(rng.integers(max(int(wrong.sum()) - 1, 1))))
    noisy = _with_texts_of(bench.train.take(rest), bench.train.take(said))

    def model(rows: NDArray[np.int64], texts: Pairs | None = None, examples: int = 30_000) -> ImageTextModel:
        return bench.locked(bench.lit(examples=examples, batch_size=256), rows, texts)

    clean_filter, noisy_filter = model(few), model(rest, noisy)
    found: Measured = {
        "clean filter's own": bench.recall(clean_filter),
        "raw": bench.recall(noisy_filter),
    }
    keys = [f"{i:08d}" for i in rest.tolist()]
    kept = {
        "random half": np.sort(rng.permutation(len(rest))[: len(rest) // 2]),
        "clean filter": chosen(pair_scores(clean_filter, noisy), 0.5, keys),
        "noisy filter": chosen(pair_scores(noisy_filter, noisy), 0.5, keys),
    }
    for name, rows in kept.items():
        found[name] = bench.recall(model(rest[rows], noisy.take(rows)))
        found[f"clean share, {name}"] = float((~wrong[rows]).mean())
    return found


def prompting(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@1 with the names in single templates (their mean, and the bare name) and in all of them at once."""
    bench = Bench(seed, scale)
    question = bench.question
    model = bench.locked(bench.lit(examples=40_000))

    def found(templates: tuple[str, ...]) -> float:
        scores = model.zero_shot(question.images, question.texts, templates)
        return recall(ranks(scores, question.image_groups, question.text_groups), 1)

    single = [found((template,)) for template in TEMPLATES]
    return {"ensemble": found(TEMPLATES), "bare name": single[0], "single templates": float(np.mean(single))}


def paraphrasing(seed: int, scale: Scale) -> Mapping[str, float]:
    """How many of the first pictures found are right, and R@1, with and without a pretrained text tower.

    What is looked for shares few words with the names (see `paraphrases`); the vendor was not trained on.
    """
    bench = Bench(seed, scale)
    found: Measured = {}
    for text in ("words", "sentences"):
        model = bench.locked(bench.lit(examples=60_000, batch_size=512, text=text, length=32, tags=0.3))
        found |= {text: precision(model, bench.shown), f"R@1, {text}": bench.recall(model)}
    return found


def pretrained(seed: int, scale: Scale) -> Mapping[str, float]:
    """R@1 at equal examples with a locked pretrained image tower and with one from scratch."""
    bench = Bench(seed, scale)
    examples = 16_000
    scratch = CLIP(**bench.settings(examples=bench.count(examples))).fit(bench.train, run=bench.run)
    return {
        "pretrained": bench.recall(bench.locked(bench.lit(examples=examples, batch_size=128))),
        "scratch": bench.recall(scratch),
    }


def _with_texts_of(pairs: Pairs, others: Pairs) -> Pairs:
    """The pairs' images with the texts and groups of `others`, row by row."""
    table = pairs.table.take(pairs.rows)
    for name in others.table.column_names:
        if name.startswith("texts_") or name == "group":
            place = table.column_names.index(name)
            table = table.set_column(place, name, others.table.column(name).take(others.rows))
    return Pairs(table, pairs.name)
