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


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--extras", default="", help="of the project, separated by commas")
    parser.add_argument("--minimum", action="store_true", help="core dependencies at lower bounds")
    parser.add_argument("--tools", default="", help="names from the extra dev, without the rest")
    arguments = parser.parse_args()
    directory = ROOT / arguments.directory
    extras = sorted(filter(None, arguments.extras.split(",")))
    tools = list(filter(None, arguments.tools.split(",")))

    python = directory / "bin" / "python"
    place = {"root": str(ROOT), "python": sys.version.split()[0]}
    wanted = {
        "pyproject": hashlib.sha256(PYPROJECT.read_bytes()).hexdigest(),
        "minimum": arguments.minimum,
        "tools": tools,
    }
    with locked():
        record = directory / RECORD
        made = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        stays = not made or all(made.get(k) == v for k, v in place.items())
        usable = stays and works(python)
        if (
            usable
            and all(made.get(k) == v for k, v in wanted.items())
            and set(extras) <= set(made["extras"])
        ):
            return
        record.unlink(missing_ok=True)
        if not usable:
            print(f"making {arguments.directory} with Python {place['python']}", flush=True)
            run(
                [sys.executable, "-m", "venv", "--clear", directory],
                "the module venv is needed (on Debian and Ubuntu: apt install python3-venv), "
                "or another interpreter: make PYTHON=/path/to/python3",
            )
        itself = f".[{','.join(extras)}]" if extras else "."
        pins = (
            [f"{name}=={bound}" for name, bound in core_bounds().items()]
            if arguments.minimum
            else []
        )
        print(f"installing {' '.join([itself, *tools])} into {arguments.directory}", flush=True)
        options = ("--quiet", "--no-input", "--disable-pip-version-check", "--editable")
        run(
            [python, "-m", "pip", "install", *options, itself, *pins, *tool_requirements(tools)],
            "see pip's message above; the network or the package index may be out of reach",
        )
        record.write_text(json.dumps(place | wanted | {"extras": extras}), encoding="utf-8")


if __name__ == "__main__":
    main()
