"""The floors of the house, what starting up may cost, and what may not be in a tracked file."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from shiftbench import registry

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = ("datasets", "pandas", "scipy", "sklearn", "torch", "networkx", "altair", "dask")
SMALL = 1_000_000


def layers() -> list[list[str]]:
    contract = PYPROJECT["tool"]["importlinter"]["contracts"][0]
    return [re.findall(r"[\w.]+", line) for line in contract["layers"]]


def test_no_import_runs_upward() -> None:
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command as c; c()"
    result = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_module_has_a_floor() -> None:
    known = {name.removeprefix("shiftbench.") for floor in layers() for name in floor}
    there = {
        path.stem
        for path in (ROOT / "shiftbench").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} <= known, (
        "name it in pyproject.toml, [tool.importlinter]"
    )


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, however deep inside it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def library_files() -> list[str]:
    return sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "shiftbench").rglob("*.py"))


@pytest.mark.parametrize("path", library_files())
def test_mapped_folders_are_not_imported_from_below(path: str) -> None:
    # import-linter knows builders/ by the folder's name, so it cannot see these two names.
    floors = layers()
    builders = next(i for i, floor in enumerate(floors) if "builders" in floor)
    above = {name for floor in floors[: builders + 1] for name in floor}
    module = path.removesuffix(".py").replace("/", ".")
    if any(module == name or module.startswith(name + ".") for name in above):
        return
    assert not [i for i in imports(ROOT / path) if i.startswith("shiftbench.builders")]


@pytest.mark.parametrize("folder", ["shiftbench", "builders", "metadata"])
def test_mapped_folders_are_imported_by_their_installed_names(folder: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imports(path)
        if name.partition(".")[0] in ("builders", "metadata")
    }
    assert not wrong, "import shiftbench.builders and shiftbench.metadata"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_imported_package_is_a_declared_dependency() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    listed = project["dependencies"] + [r for e in extras if e != "dev" for r in extras[e]]
    declared = {normal(re.split(r"[^A-Za-z0-9._-]", r)[0]) for r in listed}
    distributions = packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("shiftbench", "builders", "metadata")
        for path in (ROOT / folder).rglob("*.py")
        for name in {i.partition(".")[0] for i in imports(path)} - sys.stdlib_module_names
        if name in distributions
        and not {normal(d) for d in distributions[name]} & (declared | {"shiftbench"})
    }
    assert not missing, "name it in pyproject.toml, with a lower bound"


def loaded_by(statement: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after a statement."""
    probe = (
        f"import sys\ntry:\n    {statement}\nexcept SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print('loaded:', *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "statement",
    [
        "import shiftbench",
        "from shiftbench.cli import main; sys.argv[1:] = ['--help']; main()",
        "from shiftbench.cli import main; sys.argv[1:] = ['--version']; main()",
    ],
    ids=["import", "help", "version"],
)
def test_starting_up_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) == set()


@cache
def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


# Written with brackets so that this file does not match itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:[w]ork|[r]oot|[h]ome|[U]sers)/\w|\b[C-Z]:\\\\?\w",
    "the address of a package index": (
        r"[i]ndex-url|[f]ind-links|[p]ythonhosted\.org|[h]ttps?://\S+/simple\b"
        r"|[p]ackage-index|[f]ile:///opt"
    ),
}
LOCKS = re.compile(
    r"(?:.*[.-])?lock(?:\.(?:json|toml|ya?ml|txt))?|requirements[\w-]*\.txt|constraints[\w-]*\.txt"
)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" in data[:SMALL]:
            continue
        lines = data[:SMALL].decode("utf-8", "replace").splitlines()
        found += [f"{name}:{i}: {line}" for i, line in enumerate(lines, 1) if pattern.search(line)]
    assert not found


def test_no_lock_file_is_tracked() -> None:
    assert not [name for name in tracked() if LOCKS.fullmatch(Path(name).name.lower())]


def test_the_checks_on_tracked_files_find_what_they_look_for() -> None:
    home, index = "/".join(["", "home", "ada", "x"]), "--" + "-".join(["extra", "index", "url"])
    assert re.search(FORBIDDEN["a path of one machine"], f"open('{home}')")
    assert not re.search(FORBIDDEN["a path of one machine"], "https://example.org/home/ada")
    assert re.search(FORBIDDEN["the address of a package index"], index)
    assert all(map(LOCKS.fullmatch, ["uv.lock", "package-lock.json", "requirements-dev.txt"]))
    assert not any(map(LOCKS.fullmatch, ["block.py", "clock.md", "deadlock.txt"]))


def builder_folders() -> list[str]:
    there = (p.parent.name for p in (ROOT / "builders").glob("*/__init__.py"))
    return sorted(name for name in there if name != "shared")  # what several of them import


@pytest.mark.parametrize("name", builder_folders())
@pytest.mark.parametrize("file", ["builder.py", "card.md"])
def test_builder_folder_is_complete(name: str, file: str) -> None:
    assert (ROOT / "builders" / name / file).is_file()


def test_every_builder_folder_is_registered() -> None:
    modules = {target.split(":")[0].split(".")[2] for target in registry.BUILDERS.values()}
    assert modules == set(builder_folders())


REGISTRIES = {
    f"{table}/{name}": target
    for table, entries in sorted(vars(registry).items())
    if table.isupper() and isinstance(entries, dict)
    for name, target in entries.items()
}


@pytest.mark.parametrize("entry", REGISTRIES)
def test_registry_entry_loads(entry: str) -> None:
    loaded = registry.load(REGISTRIES[entry])
    assert callable(getattr(loaded, "compute", loaded))  # a distance is a record with its function
    assert loaded.__doc__
