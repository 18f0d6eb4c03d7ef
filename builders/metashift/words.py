"""Subsets in words: ``cat(sofa)`` becomes "cats with a sofa".

Small rules of English and lists of exceptions, made for the names of annotated objects. A name
with anything but letters, digits and simple punctuation passes through as it is: nothing is known
of its grammar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from shiftbench.errors import ConfigurationError
from shiftbench.schema import CONTEXT_KINDS

__all__ = ["explain", "explain_union", "plural"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '&./-]*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IRREGULAR = {
    "child": "children",
    "die": "dice",
    "foot": "feet",
    "goose": "geese",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "quiz": "quizzes",
    "tooth": "teeth",
    "woman": "women",
}
_SAME = _words("aircraft bison cattle deer fish moose salmon sheep shrimp squid trout")
_F_TO_VES = ("knife", "life", "wife", "leaf", "shelf", "loaf", "calf", "half", "wolf", "scarf")
_O_TO_OES = _words("potato tomato hero echo mango torpedo buffalo")
_MAN_TO_MANS = _words("human german roman ottoman talisman shaman caiman")
_SINGULAR_IN_S = _words(
    "bus cactus canvas christmas chassis gas hippopotamus iris lens octopus tennis walrus virus"
)
_SINGULAR_IN_MEN = _words("abdomen omen ramen specimen stamen")
_PLURAL_IN_US = _words("bayous emus gnus menus")
_PLURALS = _words("police cattle people dice broccolini spaghetti") | frozenset(_IRREGULAR.values())
_UNCOUNTABLE = _words(
    """air artwork asparagus bacon basil bedding beef beer bread broccoli butter cabbage candy
    cauliflower celery cereal champagne cheese chocolate clothing coffee coke coleslaw corn cream
    denim dirt dough dust equipment fabric fire flour foam fog foil foliage food frosting fruit fur
    furniture garbage garlic garnish glaze graffiti grass gravel gravy hair ham hay honey ice icing
    jam jelly jewelry juice ketchup land lettuce liquid litter luggage macaroni mail mayonnaise meat
    metal milk money moss mozzarella mud mulch mustard oil paint paper parsley pasta pavement pepper
    pepperoni plastic popcorn pork produce rain rice rust salt sand sauce seafood seaweed shade
    shampoo silverware smoke snow soap soda soil soup spinach steam straw sugar syrup tape tea text
    toast tofu toothpaste traffic trash underwear vegetation water wheat wine wood wool yogurt
    spaghetti"""
) | frozenset(["ice cream", "whipped cream"])
_ONE_OF_A_KIND = _words("ground moon ocean sea sky sun")

_AN_BEFORE_CONSONANT = ("hour", "honest", "heir", "suv", "x-ray", "mp3", "lcd", "led")
_A_BEFORE_VOWEL = ("uni", "urin", "uten", "use", "usb", "ukulele", "euro", "one", "ufo")
_UNI_WITH_AN = ("unin", "unim", "unid")

_WHERE = _words("indoors outdoors inside outside upstairs downstairs")
_WEATHER = _words(
    "clear clouded cloudless cloudy foggy hazy overcast rainy snowy stormy sunny windy"
) | frozenset(["partly cloudy", "partially cloudy"])
_ON = _words(
    """balcony beach bridge court dock farm highway hillside mountain path patio pavement pier
    platform porch road roof runway shore sidewalk street track walkway"""
)
_AT = _words("airport station intersection lake stadium zoo")

_PARTICLES = _words("up down away on off out in forward backward")


def _last(name: str) -> tuple[str, str]:
    """A name cut before its last word."""
    head, space, word = name.rpartition(" ")
    return head + space, word


def _is_plural(word: str) -> bool:
    if word in _PLURALS or (word.endswith("men") and word not in _SINGULAR_IN_MEN):
        return True
    return (
        word.endswith("s")
        and len(word) > 2
        and word not in _SINGULAR_IN_S
        and (word in _PLURAL_IN_US or not word.endswith(("ss", "us")))
    )


def _has_no_plural(name: str) -> bool:
    return name in _UNCOUNTABLE or _last(name)[1] in _UNCOUNTABLE


def plural(name: str) -> str:
    """The plural of a name; plurals, uncountable and odd names stay as they are.

    Examples
    --------
    >>> [plural(x) for x in ["cat", "man", "computer mouse", "books", "grass", "<b>"]]
    ['cats', 'men', 'computer mice', 'books', 'grass', '<b>']
    """
    if not _PLAIN.fullmatch(name) or not name.isascii() or _has_no_plural(name.lower()):
        return name
    head, word = _last(name)
    lower = word.lower()
    if len(word) < 2 or lower in _SAME or _is_plural(lower) or not lower[-1].isalpha():
        return name
    made = word + "s"
    if lower in _IRREGULAR:
        made = word[0] + _IRREGULAR[lower][1:]
    elif lower.endswith("man") and lower not in _MAN_TO_MANS:
        made = word[:-2] + "en"
    elif lower.endswith(_F_TO_VES):
        made = word[: -2 if lower.endswith("fe") else -1] + "ves"
    elif lower in _O_TO_OES or lower.endswith(("s", "x", "z", "ch", "sh")):
        made = word + "es"
    elif lower.endswith("y") and lower[-2:-1] not in ("a", "e", "i", "o", "u", ""):
        made = word[:-1] + "ies"
    return head + made


def _with_article(name: str) -> str:
    """ "a sofa", "an apple", "books", "water", "the sky"."""
    lower = name.lower()
    word = _last(lower)[1]
    if not _PLAIN.fullmatch(name) or _has_no_plural(lower) or (_is_plural(word)):
        return name
    if lower in _ONE_OF_A_KIND:
        return f"the {name}"
    vowel = lower.startswith(("a", "e", "i", "o", "u"))
    if lower.startswith(_A_BEFORE_VOWEL) and not lower.startswith(_UNI_WITH_AN):
        vowel = False
    return f"{'an' if vowel or lower.startswith(_AN_BEFORE_CONSONANT) else 'a'} {name}"


def _place(name: str) -> str:
    """ "outdoors", "in sunny weather", "in the kitchen", "on the beach"."""
    lower = name.lower()
    word = _last(lower)[1]
    if lower in _WHERE:
        return name
    if lower in _WEATHER:
        return f"in {name} weather"
    if lower == "display":
        return "on display"
    if word in _ON:
        return f"on the {name}"
    if word in _AT:
        return f"at the {name}"
    return f"in the {name}"


def _stands_after(attribute: str) -> bool:
    """Whether an attribute cannot stand before its noun: "off", "looking up", "brushing teeth"."""
    first, _, last = attribute.rpartition(" ")
    return last in _PARTICLES or first.endswith("ing")


def _joined(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} or {parts[-1]}"


def _check(kind: str) -> None:
    if kind not in CONTEXT_KINDS:
        raise ConfigurationError(
            f"no context is of kind {kind!r}; allowed: {', '.join(CONTEXT_KINDS)}"
        )


def _of_one_kind(subject: str, contexts: Sequence[str], kind: str) -> str:
    subjects = plural(subject)
    if kind == "object":
        if list(contexts) == [subject]:
            return f"two or more {subjects}"
        parts = [f"another {c}" if c == subject else _with_article(c) for c in contexts]
        return f"{subjects} with {_joined(parts)}"
    if kind == "general":
        return f"{subjects} {_joined([_place(c) for c in contexts])}"
    if any(_stands_after(c.lower()) for c in contexts):
        verb = "is" if _has_no_plural(subject.lower()) else "are"
        return f"{subjects} that {verb} {_joined(contexts)}"
    return f"{_joined(contexts)} {subjects}"


def explain(subject: str, context: str, kind: str) -> str:
    """What a subset shows, in words.

    Parameters
    ----------
    subject : str
        The class, as annotated: "cat".
    context : str
        The context, as annotated: "sofa".
    kind : str
        "object", "attribute" or "general".

    Returns
    -------
    str
        Plain text, not escaped.

    Raises
    ------
    ConfigurationError
        Another kind.

    Examples
    --------
    >>> explain("cat", "sofa", "object")
    'cats with a sofa'
    >>> explain("cat", "black", "attribute")
    'black cats'
    >>> explain("cat", "kitchen", "general")
    'cats in the kitchen'
    >>> explain("man", "man", "object")
    'two or more men'
    """
    _check(kind)
    return _of_one_kind(subject, [context], kind)


def explain_union(
    subject: str, contexts: Sequence[str], kind: str | Sequence[str] = "object"
) -> str:
    """What a union of subsets of one class shows, in words, in the order given.

    Parameters
    ----------
    subject : str
        The class.
    contexts : sequence of str
        At least one context; repetitions are dropped.
    kind : str or sequence of str
        The kind of all contexts, or one for each.

    Raises
    ------
    ConfigurationError
        No context, another kind, or not as many kinds as contexts.

    Examples
    --------
    >>> explain_union("cat", ["cup", "sofa", "chair"])
    'cats with a cup, a sofa or a chair'
    >>> explain_union("cat", ["sofa", "black", "outdoors"], ["object", "attribute", "general"])
    'cats with a sofa, black cats or cats outdoors'
    """
    kinds = [kind] * len(contexts) if isinstance(kind, str) else list(kind)
    if not contexts or len(kinds) != len(contexts):
        raise ConfigurationError(
            f"a union of {subject!r} needs at least one context and a kind for each; "
            f"there are {len(contexts)} contexts and {len(kinds)} kinds"
        )
    by_kind: dict[str, list[str]] = {}
    for context, its in zip(contexts, kinds, strict=True):
        _check(its)
        of_kind = by_kind.setdefault(its, [])
        if context not in of_kind:
            of_kind.append(context)
    return _joined([_of_one_kind(subject, of_kind, its) for its, of_kind in by_kind.items()])
