"""What a test shows beside its numbers: which classes are confused, and the most confident mistakes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from assay.data.labelled import LabelledImages
from assay.images.metrics import confusion

_KEPT = 10
_FILE = "findings.safetensors"


@dataclass(frozen=True, eq=False)
class Findings:
    """Of one test.

    Args:
        confusion: how many images of each class (row) were taken for each class (column).
        pictures: of the mistakes with the greatest probability, greatest first.
        labels: their classes.
        guesses: what they were taken for.
        confidence: how probable that seemed, in [0, 1].
    """

    confusion: Int[np.ndarray, "classes classes"]
    pictures: UInt8[np.ndarray, "mistakes height width *channels"]
    labels: Int[np.ndarray, " mistakes"]
    guesses: Int[np.ndarray, " mistakes"]
    confidence: Float[np.ndarray, " mistakes"]

    @classmethod
    def of(cls, log_probs: Float[np.ndarray, "images classes"], test: LabelledImages) -> "Findings":
        """The findings of these outputs on this test part."""
        guesses, best = log_probs.argmax(1), log_probs.max(1)
        wrong = np.flatnonzero(guesses != test.labels)
        worst = wrong[np.argsort(-best[wrong], kind="stable")][:_KEPT]
        return cls(
            confusion(log_probs, test.labels),
            np.ascontiguousarray(test.images[worst]),
            test.labels[worst],
            guesses[worst],
            np.exp(best[worst]),
        )

    def save(self, folder: Path) -> None:
        """Writes findings.safetensors."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, folder / _FILE)

    @classmethod
    def load(cls, folder: Path) -> "Findings | None":
        """What `save` wrote; None if nothing was."""
        from safetensors.numpy import load_file

        return cls(**load_file(folder / _FILE)) if (folder / _FILE).exists() else None
