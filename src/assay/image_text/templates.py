"""Zero-shot classes from their names: prompts from templates, and one embedding for each class.

Reference:
    Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
        arXiv:2103.00020v1 (Section 3.1.4: prompts and their ensembles, averaged as embeddings)
    Implements: a class is the normalised mean of its prompts' normalised embeddings.
    Verified: loops, 1e-12.
"""

from collections.abc import Callable, Sequence

import numpy as np

TEMPLATES: tuple[str, ...] = (
    "{}",
    "a picture of {}",
    "an icon of {}",
    "a drawing of a {}",
    "a small {}",
    "{} symbol",
)

_TEXTS_AT_ONCE = 1024


def prompts(names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Every name in every template, name by name.

    Raises:
        ValueError: there is no name or no template, or a template has not exactly one place for a name.
    """
    if not names or not templates:
        raise ValueError(f"expected names and templates, got {len(names)} and {len(templates)}")
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"expected exactly one {{}} in a template, got {template!r}")
    return [template.replace("{}", name) for name in names for template in templates]


def class_embeddings(
    encode: Callable[[Sequence[str]], np.ndarray], names: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> np.ndarray:
    """An embedding of length 1 for each class, [classes, dim].

    Args:
        encode: texts to embeddings, which are normalised before and after the mean: otherwise a prompt with a
            long embedding would outweigh the others.
        names: of the classes.
        templates: with one `{}` each.
    """
    texts = prompts(names, templates)
    parts = [encode(texts[start : start + _TEXTS_AT_ONCE]) for start in range(0, len(texts), _TEXTS_AT_ONCE)]
    each = normalised(np.concatenate(parts)).reshape(len(names), len(templates), -1)
    return normalised(each.mean(axis=1))


def normalised(x: np.ndarray) -> np.ndarray:
    """The rows, each divided by its length; zeros stay zeros."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
