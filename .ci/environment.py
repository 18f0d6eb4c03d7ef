"""Make or bring up to date one of the project's own virtual environments.

    python3 .ci/environment.py .venv --extras all,dev
    python3 .ci/environment.py .venv-minimum --minimum --tools pytest,hypothesis

Needs the standard library only. A record inside the environment says what it was made from, so a
second call with nothing changed returns at once. One call at a time works on a checkout: another
one waits.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older interpreter has to be told
    sys.exit(f"shiftbench needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}")

import argparse
import contextlib
import fcntl
import hashlib
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
RECORD = "shiftbench-environment.json"

_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extra>\[[^]]*\])?>=(?P<version>[0-9][0-9.]*)")


def lower_bounds(requirements: Sequence[str]) -> dict[str, str]:
    """The oldest version that each requirement allows, by name.

    Raises
    ------
    ValueError
        A requirement is not of the form ``name>=version``, so it has no single oldest version.
    """
    bounds: dict[str, str] = {}
    for requirement in requirements:
        match = _BOUND.fullmatch(requirement.split(",")[0].replace(" ", ""))
        if match is None:
            raise ValueError(f"{requirement!r} in pyproject.toml has no lower bound name>=version")
        bounds[match["name"]] = match["version"]
    return bounds


def project() -> dict[str, object]:
    """The ``[project]`` table of pyproject.toml."""
    table: dict[str, object] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return table


def core_bounds() -> dict[str, str]:
    """The oldest version that pyproject.toml allows of each core dependency, by name."""
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    return lower_bounds(dependencies)


def with_parts(extras: Sequence[str]) -> set[str]:
    """Some extras and those that they are made of, as ``all`` is."""
    known = project()["optional-dependencies"]
    assert isinstance(known, dict)
    found: set[str] = set()
    pending = list(extras)
    while pending:
        extra = pending.pop()
        found.add(extra)
        for requirement in known[extra]:
            parts = re.fullmatch(r"shiftbench\[(.*)\]", requirement)
            pending += set(parts[1].split(",")) - found if parts else ()
    return found


def tool_requirements(names: Sequence[str]) -> list[str]:
    """The requirements of the extra ``dev`` with these names."""
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    known = {re.split(r"[^A-Za-z0-9._-]", r)[0]: r for r in extras["dev"]}
    return [known[name] for name in names]


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the checkout: an install also writes next to the sources, whichever the environment."""
    with PYPROJECT.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another install into this checkout …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str | Path], remedy: str) -> None:
    """Run one command, or stop with what failed and what to do."""
    result = subprocess.run([str(c) for c in command], cwd=ROOT, check=False)
    if result.returncode:
        sys.exit(f"failed ({result.returncode}): {' '.join(map(str, command))}\n{remedy}")


def works(python: Path) -> bool:
    """Whether the environment's interpreter starts and has pip."""
    if not python.exists():
        return False
    return subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0


@dataclass(frozen=True)
class State:
    """What an environment is made from; kept inside it as a record."""

    root: str
    python: str
    pyproject: str
    minimum: bool
    tools: list[str]
    extras: list[str]
    whole: bool = False

    def same_place(self, made: State) -> bool:
        """Whether that environment has this interpreter and has not been moved."""
        return (self.root, self.python) == (made.root, made.python)

    def met_by(self, made: State) -> bool:
        """Whether that environment has all that this one is to have."""
        return (
            made.whole
            and self.same_place(made)
            and (self.pyproject, self.minimum, self.tools)
            == (made.pyproject, made.minimum, made.tools)
            and with_parts(self.extras) <= with_parts(made.extras)
        )


def recorded(directory: Path) -> State | None:
    """The record inside an environment; none where there is no environment or it has none."""
    path = directory / RECORD
    if not path.exists():
        return None
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):  # cut short, or of another version of this file
        return State("", "", "", False, [], [])


def create(directory: Path) -> None:
    """Make an empty environment in place of what is there."""
    print(f"making {directory.name} with Python {sys.version.split()[0]}", flush=True)
    run(
        [sys.executable, "-m", "venv", "--clear", directory],
        "the module venv is needed (on Debian and Ubuntu: apt install python3-venv), "
        "or another interpreter: make PYTHON=/path/to/python3",
    )


def install(directory: Path, wanted: State) -> None:
    """Install this project, and what it is to be installed with, into an environment."""
    itself = f".[{','.join(wanted.extras)}]" if wanted.extras else "."
    pins = [f"{n}=={v}" for n, v in core_bounds().items()] if wanted.minimum else []
    print(f"installing {' '.join([itself, *wanted.tools])} into {directory.name}", flush=True)
    pip: list[str | Path] = [
        directory / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
    ]
    what = ["--editable", itself, *pins, *tool_requirements(wanted.tools)]
    run(
        [*pip, "--disable-pip-version-check", *what],
        "see pip's message above; the network or the package index may be out of reach",
    )


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--extras", default="", help="of the project, separated by commas")
    parser.add_argument("--minimum", action="store_true", help="core dependencies at lower bounds")
    parser.add_argument("--tools", default="", help="names from the extra dev, without the rest")
    arguments = parser.parse_args()
    directory = ROOT / arguments.directory
    with locked():
        wanted = State(
            root=str(ROOT),
            python=sys.version.split()[0],
            pyproject=hashlib.sha256(PYPROJECT.read_bytes()).hexdigest(),
            minimum=arguments.minimum,
            tools=sorted(filter(None, arguments.tools.split(","))),
            extras=sorted(filter(None, arguments.extras.split(","))),
        )
        made = recorded(directory)
        working = works(directory / "bin" / "python")
        if made and working and wanted.met_by(made):
            return
        # An environment without a record was made by hand and is added to. One whose record says
        # that an install was cut short may hold half a package, and is made again.
        if not working or (made and not (made.whole and wanted.same_place(made))):
            create(directory)
        record = directory / RECORD
        record.write_text(json.dumps(asdict(wanted)), encoding="utf-8")
        install(directory, wanted)
        record.write_text(json.dumps(asdict(replace(wanted, whole=True))), encoding="utf-8")


if __name__ == "__main__":
    main()
