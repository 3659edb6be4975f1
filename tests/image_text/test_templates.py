import numpy as np
import pytest

from assay.image_text.templates import TEMPLATES, class_embeddings, normalised, prompts


def encode(texts):
    """Letters counted, times a length that differs from text to text."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return np.array([[(1 + len(t) % 3) * t.count(c) + 0.1 for c in letters] for t in texts])


def by_loops(names, templates):
    found = []
    for name in names:
        total = np.zeros(26)
        for template in templates:
            x = encode([template.replace("{}", name)])[0]
            total += x / np.sqrt((x**2).sum())
        total /= len(templates)
        found.append(total / np.sqrt((total**2).sum()))
    return np.array(found)


def test_class_embeddings_are_those_of_loops():
    names = ["cat", "red heart", "zebra"]
    assert np.abs(class_embeddings(encode, names) - by_loops(names, TEMPLATES)).max() < 1e-12


def test_the_order_of_templates_and_copies_of_all_do_not_matter():
    names = ["cat", "dog"]
    one = class_embeddings(encode, names, TEMPLATES)
    assert np.allclose(class_embeddings(encode, names, TEMPLATES[::-1]), one, atol=1e-14)
    assert np.allclose(class_embeddings(encode, names, TEMPLATES * 3), one, atol=1e-14)


def test_one_template_is_no_ensemble():
    found = class_embeddings(encode, ["cat", "dog"], ["a {}"])
    assert np.allclose(found, normalised(encode(["a cat", "a dog"])), atol=1e-14)


def test_many_prompts_are_encoded_in_parts():
    sizes = []

    def counted(texts):
        sizes.append(len(texts))
        return encode(texts)

    class_embeddings(counted, [f"name {i}" for i in range(500)], TEMPLATES)
    assert max(sizes) <= 1024
    assert sum(sizes) == 500 * len(TEMPLATES)


@pytest.mark.parametrize("template", ["no place", "{} and {}"])
def test_a_template_has_one_place(template):
    with pytest.raises(ValueError, match=r"exactly one \{\} in a template"):
        prompts(["cat"], [template])
    with pytest.raises(ValueError, match="got 0 and 1"):
        prompts([], ["{}"])
