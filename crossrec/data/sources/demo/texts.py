"""Titles and texts of the products, which name category, material and occasion and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.data.sources.demo.vocabulary import CATEGORIES, MATERIALS, OCCASIONS


def write_title_and_text(
    category: int, material: int, occasion: int, rng: np.random.Generator
) -> tuple[str, str]:
    """Return a title (which names the category only) and a description of three to six sentences.

    Args:
        category: level of ``vocabulary.CATEGORIES``.
        material: level of ``vocabulary.MATERIALS``.
        occasion: level of ``vocabulary.OCCASIONS``.
    """
    kind, substance = CATEGORIES[category], MATERIALS[material]
    words: dict[str, object] = {name: _pick(values, rng) for name, values in NUMBERS.items()}
    words |= {
        "name": str(_pick(NAME_STARTS, rng)) + str(_pick(NAME_ENDS, rng)),
        "brand": _pick(BRANDS, rng),
        "noun": _pick(kind.nouns, rng),
        "material": substance,
        "virtue": _pick(VIRTUES[substance], rng),
        "occasion": _pick(list(OCCASIONS.values())[occasion], rng),
    }
    middle = [_pick(MATERIAL_SENTENCES, rng), _pick(OCCASION_SENTENCES, rng)]
    n_features = int(rng.integers(0, 3))
    features = FEATURES[kind.name]
    middle += [features[i] for i in rng.permutation(len(features))[:n_features]]
    parts = [_pick(OPENERS, rng), *(middle[i] for i in rng.permutation(len(middle)))]
    if rng.random() < 0.5:
        parts.append(_pick(CLOSERS, rng))
    title = str(_pick(TITLES, rng)).format_map({**words, "noun": str(words["noun"]).title()})
    return title, " ".join(_sentence(str(part).format_map(words)) for part in parts)


def _sentence(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[0].upper() + text[1:]


def _pick(values: Sequence[object], rng: np.random.Generator) -> object:
    return values[int(rng.integers(len(values)))]


NAME_STARTS = (
    *("Mar", "Hal", "Nor", "El", "Ber", "Tam", "Wes", "Ash", "Bran", "Col", "Dar", "Fen", "Gar", "Hol"),
    *("Ker", "Lin", "Mil", "Os", "Pel", "Ren", "Sel", "Thorn", "Ul", "Ver", "Win", "Yar", "Al", "Cas"),
)

NAME_ENDS = (
    *("low", "den", "wick", "ford", "by", "ton", "mere", "ley", "stad", "vik", "dale", "sund", "worth"),
    *("ora", "ika", "ello", "une", "holm"),
)

BRANDS = (
    *("Halder & Sons", "Nordhem", "Atelier Voss", "Kind Goods", "Marrow", "Ostwind", "Casa Lume"),
    *("Early Tools Co.", "Fjell", "Tuesday Supply", "Brook & Bale", "Maison Arlet"),
)

TITLES = (
    "{name} {noun}",
    "The {name} {noun}",
    "{brand} {name} {noun}",
    "{name} {noun} by {brand}",
    "{noun} {name}",
    "{brand} {noun} {name}",
)

OPENERS = (
    "Meet the {name}, a {noun} that earns its place from the first day.",
    "The {name} is our most asked-for {noun} this year.",
    "A {noun} should be simple and good, and the {name} is both.",
    "{brand} has made this {noun} in small batches for more than twenty years.",
    "This {noun} from {brand} does one thing and does it well.",
    "Drawn by {brand} in its own workshop, this {noun} looks better the longer you own it.",
    "Some things need no long story: here is a really good {noun}.",
    "With the {name}, {brand} returns to the classic {noun}.",
    "Looking for a {noun} that lasts? The {name} comes with a five-year promise.",
    "Our customers keep coming back for the {name}, a {noun} with character.",
    "We tried a lot of them before we settled on this {noun}.",
    "The {name} {noun} is new in our range and already a favourite of the staff.",
)

MATERIAL_SENTENCES = (
    "It is made of {material} that {virtue}.",
    "The {material} {virtue}.",
    "We chose {material} because it {virtue}.",
    "Fine {material} all through: it {virtue}.",
    "You will notice the {material} at once; it {virtue}.",
    "{brand} works with {material} that {virtue}.",
    "What sets it apart is the {material}, which {virtue}.",
    "Carefully sourced {material} {virtue}.",
)

VIRTUES = {
    "bamboo": ("grows back quickly and weighs next to nothing", "stays fresh and is kind to the planet"),
    "brass": ("gains a warm patina over the years", "feels solid and takes a fine polish"),
    "canvas": ("is woven densely enough to shrug off rain", "is rugged and softens with use"),
    "ceramic": ("is fired twice and glazed by hand", "keeps its finish for decades"),
    "cotton": ("is soft, breathes well and washes easily", "feels familiar from the first touch"),
    "denim": ("fades in its own way and only gets better", "is tough, heavy and broken in"),
    "glass": ("is mouth-blown and clear", "is heat-proof and leaves no taste behind"),
    "leather": ("ages beautifully and moulds itself to you", "is vegetable-tanned and supple"),
    "linen": ("stays cool on the warmest days", "creases in the nicest way and dries fast"),
    "nylon": ("is feather-light and sheds water", "is ripstop, thin and hard to tear"),
    "oak": ("shows its grain and is oiled by hand", "comes from managed forests and is built to last"),
    "silk": ("glides over the skin and shimmers softly", "is smooth, light and quietly luxurious"),
    "steel": ("never rusts and survives every knock", "is brushed, double-walled and nearly unbreakable"),
    "velvet": ("is deep, plush and lovely to stroke", "catches the light with every movement"),
    "wool": ("keeps you warm and never scratches", "is springy, cosy and naturally clean"),
}

OCCASION_SENTENCES = (
    "Just right for {occasion}.",
    "Made with {occasion} in mind.",
    "Nothing suits {occasion} better.",
    "Many buy it for {occasion} and end up using it every day.",
    "Think of {occasion}: that is where it shines.",
    "With {occasion} on your calendar, look no further.",
    "A faithful companion for {occasion}.",
    "We had {occasion} in mind when we designed it.",
    "Perfect for {occasion}, and good for much else.",
)

FEATURES = {
    "dress": (
        "The waist sits high and the skirt moves freely.",
        "Two hidden side pockets hold a phone and keys.",
        "It closes with a covered zip at the back.",
        "The cut flatters and never pinches.",
    ),
    "t-shirt": (
        "The shoulders are taped so that it keeps its shape.",
        "A relaxed cut leaves room to move.",
        "The collar lies flat wash after wash.",
        "Side seams are turned forward by a finger's width.",
    ),
    "sneaker": (
        "The cushioned sole takes the sting out of long pavements.",
        "Laces are waxed so that they stay tied.",
        "A removable insole supports the arch.",
        "The tread grips on wet floors.",
    ),
    "sock": (
        "The toe seam is hand-linked and flat.",
        "A ribbed cuff stays up without squeezing.",
        "Heel and toe are reinforced.",
        "They come out of the wash the size they went in.",
    ),
    "handbag": (
        "Inside are a zipped pocket and a key loop.",
        "The strap can be set to three lengths.",
        "It closes with a magnet and stands up by itself.",
        "There is room for a book, a purse and an umbrella.",
    ),
    "backpack": (
        "A padded sleeve takes a laptop of up to {size} inches.",
        "It holds {litres} litres and still looks slim.",
        "Wide straps spread the load over both shoulders.",
        "A hidden pocket lies flat against the back.",
    ),
    "bottle": (
        "It holds {millilitres} ml and fits most cup holders.",
        "The lid seals tight even upside down.",
        "Drinks stay cold for {hours} hours.",
        "A wide neck makes it easy to clean and to fill with ice.",
    ),
    "coffee maker": (
        "It brews {cups} cups in under five minutes.",
        "The spout pours without a drip.",
        "All parts come apart for rinsing.",
        "The handle stays cool while the coffee gets hot.",
    ),
    "mug": (
        "It holds {millilitres} ml, enough for a slow morning.",
        "The handle takes three fingers.",
        "It goes into the dishwasher and the microwave.",
        "The rim is thin and pleasant to drink from.",
    ),
    "chair": (
        "The seat is {height} cm high and gently curved.",
        "It carries up to {weight} kg and weighs little itself.",
        "Felt pads protect the floor.",
        "It arrives in one piece, ready to sit on.",
    ),
    "cushion": (
        "The cover comes off for washing.",
        "The filling springs back overnight.",
        "A concealed zip keeps the edges neat.",
        "It measures {width} cm across.",
    ),
    "lamp": (
        "The light is warm and can be dimmed in three steps.",
        "It takes an ordinary bulb, which is included.",
        "The cord is {length} metres long with a foot switch.",
        "It throws a soft circle of light over a whole table.",
    ),
}

NUMBERS = {
    "size": (13, 14, 15, 16),
    "litres": (14, 18, 20, 22, 25),
    "millilitres": (250, 300, 350, 400, 500, 750),
    "hours": (12, 18, 24),
    "cups": (2, 3, 4, 6, 8),
    "height": (43, 44, 45, 46, 47),
    "weight": (110, 120, 130, 150),
    "width": (40, 45, 50, 60),
    "length": (1.5, 1.8, 2, 2.5),
}

CLOSERS = (
    "Ships in a simple recycled box.",
    "Returns are free within thirty days.",
    "Designed to be repaired, not replaced.",
    "Sizes run true; if in doubt, ask us.",
    "A small thing that makes the day a little nicer.",
    "Comes with a card that tells who made it.",
    "Every piece differs slightly from the next.",
    "Wipe it down now and then and it will last for years.",
    "One of those buys that nobody regrets.",
    "Also a present that is sure to please.",
    "Rated highly by those who own two of them.",
    "No frills, no fuss.",
)
