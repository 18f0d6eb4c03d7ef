"""What gets into a wheel, whether it works once installed, and the bounds of the dependencies."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {
    "shiftbench": "shiftbench",
    "builders": "shiftbench/builders",
    "metadata": "shiftbench/metadata",
}
NO_BYTECODE = shutil.ignore_patterns("__pycache__", "*.egg-info")


def package_folders() -> list[str]:
    return sorted(
        p.parent.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for p in (ROOT / folder).rglob("__init__.py")
    )


def installed_path(path: str) -> str:
    top, _, rest = path.partition("/")
    return f"{FOLDERS[top]}/{rest}".rstrip("/")


def test_packages_listed_are_those_in_the_folders() -> None:
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(installed_path(p).replace("/", ".") for p in package_folders())


def test_every_folder_with_code_is_a_package() -> None:
    with_code = {p.parent for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")}
    assert {p.relative_to(ROOT).as_posix() for p in with_code} == set(package_folders())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from a copy of the sources: a build in place would reuse an older build's."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed; it comes with the extra dev")
    needed = PYPROJECT["build-system"]["requires"][0].partition(">=")[2]
    found = importlib.metadata.version("setuptools")
    if int(found.split(".")[0]) < int(needed):
        pytest.skip(f"setuptools {found} is too old to build with; {needed} or later does")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=NO_BYTECODE)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--no-cache-dir", "--wheel-dir", str(out), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=source)
    assert result.returncode == 0, result.stderr
    (made,) = out.glob("*.whl")
    return made


def test_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packed = {n for n in names if ".dist-info/" not in n}
    there = {
        installed_path(p.relative_to(ROOT).as_posix())
        for folder in FOLDERS
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and not p.name.startswith(".")
    }
    assert packed == there
    assert "shiftbench/py.typed" in packed
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)


def test_wheel_describes_itself(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    described = archive.read(name).decode()
    assert "\nLicense-Expression: Apache-2.0\n" in described
    assert "\nRequires-Python: >=3.11\n" in described
    for extra in PYPROJECT["project"]["optional-dependencies"]:
        assert f"\nProvides-Extra: {extra}\n" in described


PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from importlib.resources import files
import shiftbench, shiftbench.builders, shiftbench.metadata
from shiftbench import registry
print(json.dumps({
    "from": [m.__file__ for m in (shiftbench, shiftbench.builders, shiftbench.metadata)],
    "builders": [registry.load(t).__module__ for t in registry.BUILDERS.values()],
    "metadata": {f.name: len(f.read_bytes()) for f in files("shiftbench.metadata").iterdir()
                 if f.name.endswith((".json", ".toml"))},
}))
"""


def test_installed_wheel_works_away_from_the_sources(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "a place with spaces"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-compile", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", PROBE, str(target)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert all(Path(name).is_relative_to(target) for name in seen["from"])
    assert all(name.startswith("shiftbench.builders.") for name in seen["builders"])
    there = {
        p.name: p.stat().st_size
        for p in (ROOT / "metadata").iterdir()
        if p.suffix in (".json", ".toml")
    }
    assert seen["metadata"] == there


@pytest.fixture(scope="module")
def environment() -> Iterator[ModuleType]:
    name = "shiftbench_environment"
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / "environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where a dataclass looks its own module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def test_lower_bounds_are_read_from_requirements(environment: ModuleType) -> None:
    read = environment.lower_bounds(["numpy>=2.0.0", "datasets[vision] >= 4.0.0, <9"])
    assert read == {"numpy": "2.0.0", "datasets": "4.0.0"}


@pytest.mark.parametrize("requirement", ["numpy", "numpy<3", "numpy~=2.0", "numpy>=2.0rc1"])
def test_a_requirement_without_a_lower_bound_is_refused(
    environment: ModuleType, requirement: str
) -> None:
    with pytest.raises(ValueError, match="no lower bound"):
        environment.lower_bounds([requirement])


def test_every_dependency_has_a_lower_bound_and_is_installed(environment: ModuleType) -> None:
    bounds = environment.core_bounds()
    assert len(bounds) == len(PYPROJECT["project"]["dependencies"])
    for name, bound in bounds.items():
        have = importlib.metadata.version(name)
        assert as_numbers(have) >= as_numbers(bound), f"{name} {have} is older than {bound}"
        if os.environ.get("SHIFTBENCH_MINIMUM"):
            assert as_numbers(have) == as_numbers(bound), f"{name} is {have}, not the bound {bound}"


def as_numbers(version: str) -> list[int]:
    return [int(part) for part in version.split("+")[0].split(".") if part.isdigit()]


def test_extras_have_lower_bounds(environment: ModuleType) -> None:
    for extra, requirements in PYPROJECT["project"]["optional-dependencies"].items():
        if extra != "all":
            assert len(environment.lower_bounds(requirements)) == len(requirements)


@pytest.mark.skipif("CI" not in os.environ, reason="elsewhere one may do without the extras")
@pytest.mark.skipif("SHIFTBENCH_MINIMUM" in os.environ, reason="installed without extras")
def test_extras_are_installed_so_that_no_test_of_theirs_is_skipped(environment: ModuleType) -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    for extra in sorted(set(extras) - {"all"}):
        for name in environment.lower_bounds(extras[extra]):
            importlib.metadata.version(name)


def test_all_names_every_extra_but_dev() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    (named,) = extras["all"]
    assert sorted(named.removeprefix("shiftbench[").removesuffix("]").split(",")) == sorted(
        set(extras) - {"all", "dev"}
    )


def test_extras_are_expanded(environment: ModuleType) -> None:
    assert {"dask", "report"} <= environment.with_parts(["all"])
    assert environment.with_parts(["report"]) == {"report"}


@pytest.mark.parametrize(
    ("change", "met"),
    [
        ({}, True),
        ({"extras": ["all", "dev"]}, True),
        ({"extras": ["dev"]}, False),
        ({"whole": False}, False),
        ({"root": "elsewhere"}, False),
        ({"python": "3.12.0"}, False),
        ({"pyproject": "changed"}, False),
        ({"minimum": True}, False),
        ({"tools": ["pytest"]}, False),
    ],
)
def test_an_environment_is_kept_while_it_has_what_is_wanted(
    environment: ModuleType, change: dict[str, object], met: bool
) -> None:
    wanted = environment.State("here", "3.11.0", "hash", False, [], ["report"])
    made = dataclasses.replace(wanted, **{"whole": True, **change})
    assert wanted.met_by(made) is met
    assert not wanted.met_by(wanted)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"root": "here", "color": "red"}'])
def test_a_broken_record_counts_as_an_install_cut_short(
    environment: ModuleType, tmp_path: Path, text: str
) -> None:
    assert environment.recorded(tmp_path) is None
    (tmp_path / environment.RECORD).write_text(text, encoding="utf-8")
    assert not environment.recorded(tmp_path).whole
