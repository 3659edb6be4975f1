"""Words of captions as classes: which words count is a function, since no dictionary is shipped."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

Extract = Callable[[str], Iterable[str]]
"""A caption -> the classes it names."""

_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by for from has have in into is it its more no not of off on or over that the "
        "their them there these this those through to up was were with without",
    )
)
_PLURAL = re.compile(r"(?<=[^\Waeious])s$|(?<=[^\Ws]e)s$")


def content_words(caption: str) -> list[str]:
    """The words of a caption that may name something: in lower case, singular by a rule of thumb, once each.

    A caption in a script without spaces is one word for each stretch without punctuation.
    """
    words = (word for word in re.findall(r"[^\W\d_]+", caption.lower()) if word not in _COMMON)
    return list(dict.fromkeys(_PLURAL.sub("", word) if len(word) > 3 else word for word in words))


def vocabulary(captions: Sequence[Sequence[str]], extract: Extract, limit: int) -> list[str]:
    """The most frequent classes of all pairs' captions, at most `limit`; ties by the alphabet.

    Args:
        captions: of each pair; a class counts once for each pair.
        extract: see `Extract`.
        limit: 24,320 in the paper.
    """
    counts = Counter(name for texts in captions for name in set(_named(texts, extract)))
    return sorted(counts, key=lambda name: (-counts[name], name))[:limit]


def targets(captions: Sequence[Sequence[str]], extract: Extract, names: Sequence[str]) -> np.ndarray:
    """Which classes each pair's captions name, bool [pairs, classes]; a pair may have none."""
    number = {name: i for i, name in enumerate(names)}
    found = np.zeros((len(captions), len(names)), bool)
    for row, texts in zip(found, captions, strict=True):
        row[[number[name] for name in _named(texts, extract) if name in number]] = True
    return found


def _named(texts: Sequence[str], extract: Extract) -> list[str]:
    return [name for text in texts for name in extract(text)]
