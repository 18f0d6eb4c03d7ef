"""Which environments are trained on, validated on and held out: one design a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import unique_slugs

__all__ = ["Design", "given", "leave_one_out", "named_environments"]


@dataclass(frozen=True)
class Design:
    """The part of each environment in one config.

    Attributes
    ----------
    name, title : str
        Of the config: slug, and in words.
    train, ood_validation, held_out : tuple of str
        Environments; no one is in two of them.
    words, warnings : tuple of str
        Remarks for the card; what must be said loudly.
    """

    name: str
    title: str
    train: tuple[str, ...]
    ood_validation: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def named_environments(text: str, names: Sequence[str], what: str) -> tuple[str, ...]:
    """An environment, or several joined by ``+``.

    Raises
    ------
    ConfigurationError
        There is none such.

    Examples
    --------
    >>> named_environments("a+b", ["a", "b", "c"], "ood_validation")
    ('a', 'b')
    >>> named_environments("x + y", ["x + y", "z"], "ood_validation")
    ('x + y',)
    """
    parts = (text,) if text in names else tuple(p.strip() for p in text.split("+"))
    check_known(parts, names, what)
    return tuple(dict.fromkeys(parts))


def check_known(wanted: Sequence[str], names: Sequence[str], what: str) -> None:
    """Refuse environments that there are not, or that are too small to be used.

    Raises
    ------
    ConfigurationError
        With the near names.
    """
    for name in wanted:
        if name not in names:
            raise ConfigurationError(
                f"{what} names the environment {name!r}, which is not among those that can be "
                f"used; {near_names(name, names)}"
            )


def leave_one_out(
    units: Mapping[str, int], held_out: Sequence[str] = (), ood_validation: str = "auto"
) -> tuple[Design, ...]:
    """One design for each environment that is held out, trained on the others.

    Parameters
    ----------
    units : mapping
        Clusters of each environment.
    held_out : sequence of str
        By default each in turn.
    ood_validation : str
        Environments joined by ``+``, "none", or "auto": the one with fewest clusters, where two
        are left to train on.

    Raises
    ------
    ConfigurationError
        Fewer than two environments, an unknown one, or none left to train on.

    Examples
    --------
    >>> [(d.name, d.train, d.ood_validation)
    ...  for d in leave_one_out({"a": 5, "b": 3, "c": 9, "d": 4}, ["a", "b"])]
    [('held_out_a', ('c', 'd'), ('b',)), ('held_out_b', ('a', 'c'), ('d',))]
    """
    names = tuple(units)
    if len(names) < 2:
        raise ConfigurationError(
            f"there is one environment only, {', '.join(map(repr, names))}, and to leave one out "
            "needs two; name another column with --environment, or test by meaning with --design "
            "given and --near, --far or --held-out-classes"
        )
    check_known(held_out, names, "held_out")
    made = []
    tested = tuple(held_out or names)
    slugs = unique_slugs(f"held out {name}" for name in tested)
    for name in tested:
        others = {n: k for n, k in units.items() if n != name}
        chosen, words, warnings = _validation(others, names, ood_validation, f"{name!r} held out")
        made.append(
            Design(
                slugs[f"held out {name}"],
                f"held out: {name}",
                tuple(n for n in others if n not in chosen),
                chosen,
                (name,),
                words,
                warnings,
            )
        )
    return tuple(made)


def given(
    units: Mapping[str, int],
    train: Sequence[str] = (),
    held_out: Sequence[str] = (),
    ood_validation: str = "auto",
) -> Design:
    """One design with the environments named.

    Parameters
    ----------
    units : mapping
        Clusters of each environment.
    train, held_out : sequence of str
        By default what the others leave to train on, and nothing held out.
    ood_validation : str
        As in `leave_one_out`; "auto" takes one only where `train` leaves one.

    Raises
    ------
    ConfigurationError
        An unknown environment, one with two parts, or none left to train on.

    Examples
    --------
    >>> given({"a": 5, "b": 3, "c": 9}, held_out=["b"]).train
    ('a', 'c')
    """
    names = tuple(units)
    check_known(train, names, "train_environments")
    check_known(held_out, names, "held_out")
    _apart({"train_environments": train, "held_out": held_out})
    left = {n: units[n] for n in names if n not in held_out}
    if ood_validation not in ("auto", "none"):
        chosen = named_environments(ood_validation, names, "ood_validation")
        _apart({"train_environments": train, "held_out": held_out, "ood_validation": chosen})
    if train and ood_validation == "auto":
        left = {n: k for n, k in left.items() if n not in train}
        chosen = (min(left, key=lambda n: (left[n], n)),) if left and held_out else ()
        words: tuple[str, ...] = () if chosen else ("there is no ood_validation",)
        warnings: tuple[str, ...] = ()
    elif not held_out and ood_validation == "auto":
        chosen, words, warnings = (), (), ()
    else:
        chosen, words, warnings = _validation(left, names, ood_validation, "these held out")
    training = tuple(train) or tuple(n for n in names if n not in (*held_out, *chosen))
    if not training:
        raise ConfigurationError(
            "no environment is left to train on; hold out fewer, or name --train-environments"
        )
    unused = [n for n in names if n not in (*training, *chosen, *held_out)]
    if unused:
        words = (*words, f"not used: {', '.join(unused)}")
    title = f"trained in {', '.join(training)}"
    return Design("given", title, training, chosen, tuple(held_out), words, warnings)


def _validation(
    others: Mapping[str, int], names: Sequence[str], asked: str, when: str
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The environments of `ood_validation` among some, with remarks and warnings."""
    if asked == "none":
        return (), ("no ood_validation was asked for",), ()
    if asked == "auto":
        if len(others) < 3:
            return (), ("there is no ood_validation: too few environments for one of its own",), ()
        return (min(others, key=lambda n: (others[n], n)),), (), ()
    wanted = named_environments(asked, names, "ood_validation")
    chosen = tuple(n for n in wanted if n in others)
    if len(chosen) == len(others):
        raise ConfigurationError(
            f"with {when}, ood_validation={asked!r} leaves no environment to train on; name fewer, "
            "or 'none'"
        )
    if not chosen:
        loud = f"with {when} there is NO ood_validation, although {asked!r} was asked for"
        return (), (), (loud,)
    return chosen, (), ()


def _apart(parts: Mapping[str, Sequence[str]]) -> None:
    seen: dict[str, str] = {}
    for what, names in parts.items():
        for name in names:
            if name in seen:
                raise ConfigurationError(
                    f"the environment {name!r} is in {seen[name]} and in {what}; it can have one "
                    "part only"
                )
            seen[name] = what
