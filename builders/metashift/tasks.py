"""What a MetaShift task is: which contexts are trained on, and which are tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shiftbench.errors import ConfigurationError

__all__ = ["DomainGeneralization", "SubpopulationShift", "Unions", "split_name", "subject_of"]

Unions = Mapping[str, tuple[str, ...]]
"""Named unions of contexts of one class: ``{"cat(sofa)": ("cup", "sofa", "chair")}``."""


def split_name(name: str) -> tuple[str, str]:
    """The class and the context of a subset's name.

    The context is what the last bracket holds, with the brackets in it; where they do not match,
    it begins at the first one.

    Examples
    --------
    >>> split_name("cat(sofa)")
    ('cat', 'sofa')
    >>> split_name("crane (bird)(water)"), split_name("cat(ski (pole))")
    (('crane (bird)', 'water'), ('cat', 'ski (pole)'))
    """
    if not isinstance(name, str) or "(" not in name or not name.endswith(")"):
        raise ConfigurationError(
            f"{name!r} is no subset name; write class(context), as in 'cat(sofa)'"
        )
    open_brackets = 0
    for at in range(len(name) - 1, -1, -1):
        open_brackets += (name[at] == ")") - (name[at] == "(")
        if not open_brackets:
            break
    else:
        at = name.index("(")
    subject, context = name[:at].strip(), name[at + 1 : -1].strip()
    if not subject:
        raise ConfigurationError(f"{name!r} names no class; write class(context), as in 'cat(bed)'")
    return subject, context


def subject_of(name: str) -> str:
    """The class of a subset's name.

    Examples
    --------
    >>> subject_of("cat(sofa)")
    'cat'
    """
    return split_name(name)[0]


def check_unions(what: str, unions: Unions) -> None:
    """Refuse unions that are none.

    Raises
    ------
    ConfigurationError
        Not a mapping from subset names to lists of contexts.
    """
    if not isinstance(unions, Mapping) or not unions:
        raise ConfigurationError(
            f"{what} is {unions!r}; give named unions of contexts, as in "
            "{'cat(home)': ['sofa', 'bed']}"
        )
    for name, contexts in unions.items():
        subject_of(name)
        if isinstance(contexts, str) or not contexts or not all(map(_is_text, contexts)):
            raise ConfigurationError(
                f"{what} has {contexts!r} as the contexts of {name!r}; give a list "
                f"of names, as in {[contexts] if isinstance(contexts, str) else ['sofa']!r}"
            )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def check_one_meaning(task: str, sets: Iterable[Unions], known: Unions) -> Unions:
    """The unions of some sets together with those known before.

    Raises
    ------
    ConfigurationError
        A name stands for two different unions: a distance to it would mean neither.
    """
    met = {name: tuple(contexts) for name, contexts in known.items()}
    for unions in sets:
        for name, contexts in unions.items():
            if set(met.setdefault(name, tuple(contexts))) != set(contexts):
                raise ConfigurationError(
                    f"task {task!r}: the name {name!r} stands for the contexts {list(contexts)} "
                    f"and, elsewhere, for {list(met[name])}; name the two apart"
                )
    return met


@dataclass(frozen=True)
class DomainGeneralization:
    """Train on some contexts of each class, test on others.

    Images that hold two of the classes are left out. An image of a set in `test` is never trained
    on; a set in `further_test` or `ood_validation` gives up the images that are trained on or
    stand in an earlier set. So no two splits share an image, or a cluster.

    Parameters
    ----------
    name : str
        Of the task; its slug is the config.
    train : mapping
        Unions of contexts, ``{"cat(sofa)": ["cup", "sofa"], "dog(bed)": ["bed"]}``; the class is
        read off the name.
    test : mapping
        OOD test sets, ``{"shelf": {"cat(shelf)": ["shelf"], "dog(shelf)": ["shelf", "desk"]}}``.
    further_test : mapping
        More OOD test sets, that do not take images from training.
    ood_validation : mapping
        Unions of contexts that no test set has, for choosing hyper-parameters; {} = none.
    validation, id_test : float
        Shares of the training contexts' clusters that are held out, for each class.
    fit : bool
        Go on where some of the named contexts hold no image, and record which.
    """

    name: str
    train: Unions
    test: Mapping[str, Unions]
    further_test: Mapping[str, Unions] = field(default_factory=dict)
    ood_validation: Unions = field(default_factory=dict)
    validation: float = 0.1
    id_test: float = 0.1
    fit: bool = False

    def __post_init__(self) -> None:
        if not self.train or not self.test:
            raise ConfigurationError(
                f"task {self.name!r} needs contexts in `train` and at least one set in `test`"
            )
        if not (self.validation >= 0 <= self.id_test and self.validation + self.id_test < 1):
            raise ConfigurationError(
                f"task {self.name!r} holds out {self.validation} and {self.id_test} of the "
                "training contexts; allowed: shares of 0 or more that leave some to train on"
            )
        both = sorted(set(self.test) & set(self.further_test))
        if both:
            raise ConfigurationError(
                f"task {self.name!r} has {both} in `test` and in `further_test`; name them apart"
            )
        taken = sorted({"train", "ood_validation"} & {*self.test, *self.further_test})
        if taken:
            raise ConfigurationError(
                f"task {self.name!r} has a test set called {taken[0]!r}, which is another split; "
                "give it another name"
            )
        for where, unions in {"train": self.train, **self.test_sets}.items():
            check_unions(f"task {self.name!r}: {where}", unions)
        check_one_meaning(self.name, [self.train, *self.test_sets.values()], {})
        for where, unions in self.test_sets.items():
            strange = sorted({subject_of(u) for u in unions} - set(self.classes))
            if strange:
                raise ConfigurationError(
                    f"task {self.name!r} tests {strange} in {where!r} but trains on "
                    f"{list(self.classes)} only"
                )

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes in the order in which `train` first names them: the order of the labels."""
        return tuple(dict.fromkeys(subject_of(name) for name in self.train))

    @property
    def test_sets(self) -> dict[str, Unions]:
        """All OOD sets by name; the validation set is named ood_validation."""
        validation = {"ood_validation": self.ood_validation} if self.ood_validation else {}
        return {**self.test, **self.further_test, **validation}


@dataclass(frozen=True)
class SubpopulationShift:
    """Two classes and a context that goes with them in training but not in the test.

    Every class has a majority and a minority group. Training holds `train_per_class` images a
    class, of which `n_minority` are of the minority group; the validation and test splits hold
    equally many of each group. Counts are exact. Images that hold two of the classes are left
    out. The test and validation images do not depend on `n_minority`, and a smaller `n_minority`
    takes a part of the images that a larger one takes.

    Parameters
    ----------
    name : str
        Of the task; its slug is the config.
    majority, minority : mapping
        One union of contexts a class, ``{"cat(indoor)": ["sofa"], "dog(outdoor)": ["grass"]}``.
    n_minority : int
        Minority images a class in training.
    train_per_class, validation_per_group, test_per_group : int
        Exact numbers of images.
    overlap : str
        What an image is that has contexts of both groups: "minority", as in the published
        protocol, or "drop".
    fit : bool
        Where the source holds too few images, make every count smaller by one factor, as little
        as needed; otherwise that is an error.
    """

    name: str
    majority: Unions
    minority: Unions
    n_minority: int = 100
    train_per_class: int = 850
    validation_per_group: int = 25
    test_per_group: int = 144
    overlap: str = "minority"
    fit: bool = False

    def __post_init__(self) -> None:
        check_unions(f"task {self.name!r}: majority", self.majority)
        check_unions(f"task {self.name!r}: minority", self.minority)
        both = sorted(set(self.majority) & set(self.minority))
        if both:
            raise ConfigurationError(
                f"task {self.name!r} has {both} in majority and in minority; name them apart"
            )
        major, minor = ([subject_of(n) for n in u] for u in (self.majority, self.minority))
        if sorted(major) != sorted(minor) or len(set(major)) != len(major) or len(major) < 2:
            raise ConfigurationError(
                f"task {self.name!r} needs one majority and one minority union for each of two or "
                f"more classes; it has {major} and {minor}"
            )
        if self.train_per_class < 1 or not 0 <= self.n_minority <= self.train_per_class:
            raise ConfigurationError(
                f"task {self.name!r}: train_per_class is {self.train_per_class} and n_minority "
                f"{self.n_minority}; allowed: 1 and above, and 0 to train_per_class"
            )
        if self.test_per_group < 1 or self.validation_per_group < 0:
            raise ConfigurationError(
                f"task {self.name!r}: test_per_group must be at least 1 and validation_per_group "
                f"at least 0; they are {self.test_per_group} and {self.validation_per_group}"
            )
        if self.overlap not in ("drop", "minority"):
            raise ConfigurationError(
                f"task {self.name!r}: overlap is {self.overlap!r}; allowed: 'minority', 'drop'"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes in the order in which `majority` names them: the order of the labels."""
        return tuple(subject_of(name) for name in self.majority)
