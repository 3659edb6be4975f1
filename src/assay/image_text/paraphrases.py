"""Questions that name no emoji: what people type into a search, and which emoji would be right.

They were written, with their answers, before any model was asked them. Most share no word with the names of
what they look for, so that a model which only knows the captions' own words finds little.
"""

from collections.abc import Sequence

import numpy as np

from assay.data.pairs import Pairs
from assay.image_text.model import Searcher

PARAPHRASES: dict[str, frozenset[str]] = {
    text: frozenset(names.split(", "))
    for text, names in {
        "something to drink": "baby bottle, glass of milk, hot beverage, teapot, teacup without handle, "
        "sake, bottle with popping cork, wine glass, cocktail glass, tropical drink, beer mug, "
        "clinking beer mugs, clinking glasses, tumbler glass, pouring liquid, bubble tea, "
        "beverage box, mate, potable water",
        "animal that lives in the sea": "spouting whale, whale, dolphin, orca, seal, fish, tropical fish, "
        "blowfish, shark, octopus, jellyfish, lobster, shrimp, squid, oyster, coral, spiral shell",
        "an angry kitten": "pouting cat",
        "it tells the time": "hourglass done, hourglass not done, watch, alarm clock, stopwatch, "
        "timer clock, mantelpiece clock, twelve o’clock, twelve-thirty, one o’clock, one-thirty, "
        "two o’clock, two-thirty, "
        "three o’clock, three-thirty, four o’clock, four-thirty, five o’clock, five-thirty, six o’clock, "
        "six-thirty, seven o’clock, seven-thirty, eight-thirty, nine-thirty, ten o’clock, ten-thirty, "
        "eleven o’clock, eleven-thirty",
        "a way to travel through the sky": "airplane, small airplane, airplane departure, airplane arrival, "
        "parachute, helicopter, rocket, flying saucer",
        "building where people pray": "church, mosque, hindu temple, synagogue, shinto shrine, kaaba, "
        "place of worship",
        "sweet dessert": "soft ice cream, shaved ice, ice cream, doughnut, cookie, birthday cake, shortcake, "
        "cupcake, pie, chocolate bar, candy, lollipop, pancakes",
        "someone who treats sick people": "health worker, man health worker",
        "worn on the head": "crown, woman’s hat, top hat, graduation cap, billed cap, military helmet, "
        "rescue worker’s helmet",
        "truck that puts out a blaze": "fire engine",
        "bad weather": "cloud with lightning and rain, cloud with rain, cloud with snow, "
        "cloud with lightning, tornado, fog, wind face, cyclone, "
        "umbrella with rain drops, sun behind rain cloud, high voltage, "
        "snowflake",
        "insect that makes sugary syrup": "honeybee, honey pot",
        "unhappy": "sad but relieved face, crying face, loudly crying face, disappointed face, pensive face, "
        "frowning face, slightly frowning face, worried face, downcast face with sweat, crying cat, "
        "person frowning, man frowning, woman frowning, anguished face, weary cat",
        "tool for cutting": "scissors, carpentry saw, axe, kitchen knife, dagger",
        "cash for shopping": "money bag, yen banknote, dollar banknote, euro banknote, coin, credit card, "
        "money with wings, heavy dollar sign",
        "instrument with strings": "guitar, violin, banjo, harp",
        "the planet that we live on": "globe showing Europe-Africa, globe showing Americas, "
        "globe showing Asia-Australia, globe with meridians, world map",
        "young bird": "hatching chick, baby chick, front-facing baby chick",
        "device for calling somebody": "mobile phone, mobile phone with arrow, telephone, telephone receiver",
        "where a king lives": "castle, Japanese castle",
        "reptile without legs": "snake",
        "played with a ball": "soccer ball, baseball, softball, basketball, volleyball, american football, "
        "rugby football, tennis, bowling, cricket game, field hockey, pool 8 ball, person bouncing ball, "
        "man bouncing ball, woman bouncing ball, person playing handball, man playing handball, "
        "woman playing handball, person playing water polo, man playing water polo, woman playing water polo",
        "shoes": "man’s shoe, running shoe, hiking boot, flat shoe, high-heeled shoe, woman’s sandal, "
        "ballet shoes, woman’s boot, thong sandal",
        "doctor's injection": "syringe",
    }.items()
}
"""What is looked for -> the English names of the emoji that are right."""


def precision(model: Searcher, gallery: Pairs, k: int = 5) -> float:
    """The mean share of right pictures among the first found, over `PARAPHRASES`.

    Where fewer than `k` pictures of the gallery are right, so many are looked at; where none is, the question
    is left out.

    Args:
        model: what searches.
        gallery: pictures whose first text is the emoji's English name.
        k: how many pictures are looked at.

    Raises:
        ValueError: the gallery has no right picture for any question.
    """
    names = [gallery.texts(i)[0] for i in range(len(gallery))]
    asked = [text for text, right in PARAPHRASES.items() if right.intersection(names)]
    if not asked:
        raise ValueError(f"{gallery.name}: expected pictures with names of emoji, got {', '.join(names[:3])}")
    scores = model.scores(gallery, asked)
    return float(
        np.mean([_share(column, names, PARAPHRASES[t], k) for t, column in zip(asked, scores.T, strict=True)])
    )


def _share(scores: np.ndarray, names: Sequence[str], right: frozenset[str], k: int) -> float:
    """The share of right names among the best-scored, at most as many as there are right ones."""
    hits = np.array([name in right for name in names])
    best = np.argsort(-scores, kind="stable")[: min(k, int(hits.sum()))]
    return float(hits[best].mean())
