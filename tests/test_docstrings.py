"""Every public thing has a docstring, and every example in a docstring is true.

The modules are imported under their installed names: collecting the folders builders/ and
metadata/ as doctest files would import a second copy of them.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shiftbench.errors import MissingExtraError

PACKAGES = ("shiftbench", "shiftbench.builders", "shiftbench.metadata")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_names() -> list[str]:
    """Names of all modules, found without importing more than the packages."""
    found = set(PACKAGES)
    pending = list(PACKAGES)
    while pending:
        package = importlib.import_module(pending.pop())
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            if info.name not in found:
                found.add(info.name)
                if info.ispkg:
                    pending.append(info.name)
    return sorted(found)


def imported() -> tuple[dict[str, ModuleType], dict[str, Exception]]:
    modules: dict[str, ModuleType] = {}
    failed: dict[str, Exception] = {}
    for name in module_names():
        try:
            modules[name] = importlib.import_module(name)
        except Exception as error:
            failed[name] = error
    return modules, failed


MODULES, FAILED = imported()


def public_objects() -> dict[str, Any]:
    """Functions and classes named in some module's ``__all__``, by where they were written."""
    objects: dict[str, Any] = {}
    for module in MODULES.values():
        for name in getattr(module, "__all__", ()):
            thing = vars(module).get(name)  # lazy names are met in the module that has them
            if inspect.isfunction(thing) or inspect.isclass(thing):
                objects[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return dict(sorted(objects.items()))


def examples() -> dict[str, doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {t.name: t for m in MODULES.values() for t in finder.find(m) if t.examples}
    return dict(sorted(found.items()))


PUBLIC = public_objects()
EXAMPLES = examples()


@pytest.mark.parametrize("name", module_names())
def test_module_can_be_imported(name: str) -> None:
    match FAILED.get(name):
        case MissingExtraError() as missing:
            pytest.skip(str(missing))
        case Exception() as error:
            raise error


@pytest.mark.parametrize("name", sorted(MODULES))
def test_names_in_all_exist(name: str) -> None:
    module = MODULES[name]
    assert not [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module_says_what_it_is(name: str) -> None:
    assert (MODULES[name].__doc__ or "").strip()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_object_has_a_docstring(name: str) -> None:
    thing = PUBLIC[name]
    written = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
    # A dataclass without a docstring is given its signature for one.
    assert written, f"{name} has no docstring"
    assert not written.startswith(f"{thing.__name__}("), f"{name} has no docstring of its own"


def functions_within_reach() -> list[str]:
    """Public functions with arguments, of ``shiftbench.module`` or handed on by a package.

    What a module further in exports for its neighbours needs a docstring and no example.
    """
    found: set[str] = set()
    for module in MODULES.values():
        if module.__name__.count(".") > 1 or "._" in module.__name__:
            continue
        for name in getattr(module, "__all__", ()):
            try:
                thing = getattr(module, name)
            except Exception:
                continue  # test_names_in_all_exist fails for it
            if inspect.isfunction(thing) and inspect.signature(thing).parameters:
                found.add(f"{thing.__module__}.{thing.__qualname__}")
    return sorted(found)


@pytest.mark.parametrize("name", functions_within_reach())
def test_public_function_shows_an_example(name: str) -> None:
    parsed = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]) or "")
    assert parsed, f"{name} takes arguments and shows no example (>>>) in its docstring"


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    result = runner.run(EXAMPLES[name], out=report.append)
    said = "".join(report)
    if f"{MissingExtraError.__name__}:" in said:
        pytest.skip("the example needs an optional dependency that is not installed")
    assert not result.failed, said
