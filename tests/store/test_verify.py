"""Every kind of damage to a benchmark directory is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

import shiftbench as sb
from shiftbench.errors import IntegrityError
from shiftbench.store.location import Location
from shiftbench.store.manifest import FileEntry, Manifest, read_manifest, sealed
from shiftbench.store.verify import verify
from shiftbench.store.write import size_and_hash
from tests.stopping import slow_builder

IMAGES = "data/images/train-{:05d}-of-00013.parquet"
MEMBERSHIP = "data/membership/train-00000-of-00001.parquet"
BALANCE = "data/balance/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    sb.build(slow_builder(), out)
    return out


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "copy")


def check(folder: Path, *, content: bool = True) -> Manifest:
    return verify(Location(str(folder)), content=content)


def reseal(folder: Path, *changed: str, **more: object) -> None:
    """Make the manifest agree with files that were changed, as a forger would."""
    location = Location(str(folder))
    manifest = read_manifest(location)
    files = dict(manifest.files)
    for name in changed:
        size, sha256 = size_and_hash(location, name)
        files[name] = FileEntry(size, files[name].rows, sha256)
    data = sealed(msgspec.structs.replace(manifest, files=files, **more))
    (folder / "shift.json").write_bytes(data)


def test_what_was_built_is_right(built: Path) -> None:
    assert check(built).digest == sb.open(built).digest
    sb.open(built).verify(content=False)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


def turn_into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("content", [True, False], ids=["content", "files"])
@pytest.mark.parametrize("damage", [flip, cut, empty, delete, turn_into_a_folder])
@pytest.mark.parametrize(
    "name", ["README.md", IMAGES.format(0), IMAGES.format(12), MEMBERSHIP, BALANCE, "shift.json"]
)
def test_damage_is_found_and_named(
    folder: Path, name: str, damage: Callable[[Path], None], content: bool
) -> None:
    damage(folder / name)
    with pytest.raises(IntegrityError, match=name):
        check(folder, content=content)


def test_every_file_is_looked_at(folder: Path) -> None:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        before = path.read_bytes()
        flip(path)
        with pytest.raises(IntegrityError, match=path.name):
            check(folder, content=False)
        path.write_bytes(before)
    check(folder)


@pytest.mark.parametrize("name", ["extra.txt", "data/images/train-00013.parquet", "data/new/x"])
def test_a_file_too_many_is_named(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match=f"{name} is not part of the benchmark"):
        check(folder)


@pytest.mark.parametrize("name", [".gitattributes", ".cache/huggingface/x", "data/.DS_Store"])
def test_what_other_tools_leave_under_hidden_names_does_not_matter(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"")
    check(folder)


def swap(folder: Path, one: str, other: str) -> None:
    aside = folder / "aside"
    (folder / one).rename(aside)
    (folder / other).rename(folder / one)
    aside.rename(folder / other)


def test_swapped_files_are_found(folder: Path) -> None:
    swap(folder, IMAGES.format(3), IMAGES.format(4))
    with pytest.raises(IntegrityError, match="train-00003-of-00013"):
        check(folder, content=False)


def test_swapped_files_are_found_where_the_manifest_was_forged_too(folder: Path) -> None:
    swap(folder, IMAGES.format(3), IMAGES.format(4))
    reseal(folder, IMAGES.format(3), IMAGES.format(4))
    check(folder, content=False)
    with pytest.raises(IntegrityError, match="data/images: split 'train'"):
        check(folder)


@pytest.mark.parametrize("name", [IMAGES.format(5), MEMBERSHIP, BALANCE])
def test_another_writer_changes_the_file_and_not_the_digest(folder: Path, name: str) -> None:
    path = folder / name
    table = pq.read_table(path)
    pq.write_table(
        table, path, compression="gzip", row_group_size=3, use_dictionary=False, version="1.0",
    )  # fmt: skip
    assert pq.read_table(path).equals(table)
    with pytest.raises(IntegrityError, match=path.name):
        check(folder)
    before = read_manifest(Location(str(folder))).digest
    reseal(folder, name)
    assert check(folder).digest == before


def change_first_row(column: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        table = pq.read_table(path)
        rows = table.to_pylist()
        other = next(r[column] for r in rows if r[column] != rows[0][column])
        rows[0] = {**rows[0], column: other}
        pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)

    return change


def drop_first_row(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


def turn_rows(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.take(list(range(len(table)))[::-1]), path)


def rename_class(path: Path) -> None:
    table = pq.read_table(path)
    info = table.schema.metadata[b"huggingface"].replace(b'"dog"', b'"dot"')
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((IMAGES.format(2), change_first_row(c)) for c in ("example_id", "image", "subset")),
        (IMAGES.format(2), drop_first_row),
        (IMAGES.format(2), turn_rows),
        (IMAGES.format(12), rename_class),
        (MEMBERSHIP, change_first_row("subset")),
        (MEMBERSHIP, drop_first_row),
        (BALANCE, lambda path: pq.write_table(pq.read_table(path), path)),
    ],
    ids=[
        "id", "image", "subset", "row-gone", "order", "class", "membership", "member-gone", "same",
    ],
)  # fmt: skip
def test_the_digest_is_that_of_the_content(
    folder: Path, name: str, change: Callable[[Path], None]
) -> None:
    change(folder / name)
    reseal(folder, name)
    check(folder, content=False)
    if name == BALANCE:
        check(folder)
        return
    with pytest.raises(IntegrityError, match=str(Path(name).parent)):
        check(folder)


def test_a_forged_digest_is_found(folder: Path) -> None:
    reseal(folder, digest="0" * 64)
    with pytest.raises(IntegrityError, match="digest"):
        check(folder, content=False)


def test_a_manifest_that_states_other_digests_is_found(folder: Path) -> None:
    manifest = json.loads((folder / "shift.json").read_bytes())
    manifest["configs"]["images"]["splits"]["train"]["digest"] = "0" * 64
    data = sealed(msgspec.convert(manifest, Manifest))
    (folder / "shift.json").write_bytes(data)
    with pytest.raises(IntegrityError, match="data/images"):
        check(folder)


def test_it_is_right_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "elsewhere ü")
    assert check(moved).digest
    sb.open(f"file://{moved}").verify()
