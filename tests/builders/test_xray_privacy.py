"""Nothing that names a person is found in a benchmark, in what was printed, or by guessing."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import shiftbench as sb
from tests.planted import NUMBERS, Planted, picture, plant_dicom, secrets

pytest.importorskip("pydicom")


def run(*words: object, home: Path, code: int = 0) -> str:
    """What a command printed, on both streams; the key file is under `home`."""
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    environment.pop("SHIFTBENCH_KEY_FILE", None)
    done = subprocess.run(
        [sys.executable, "-m", "shiftbench.cli", *map(str, words)],
        capture_output=True, env=environment, cwd=home, check=False,
    )  # fmt: skip
    printed = (done.stdout + done.stderr).decode()
    assert done.returncode == code, printed
    return printed


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant_dicom(tmp_path_factory.mktemp("planted"))


BUILD = ("build", "xray", "--patch-size", "48", "--patches", "3", "--min-patients", "5",
         "--no-measure")  # fmt: skip


@pytest.fixture(scope="module")
def built(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("home")
    said = run(
        *BUILD, "--source", "radiographs", "--folder", planted.folder, "--manifest",
        planted.manifest, "--out", home / "out", "--n-jobs", 2, home=home,
    )  # fmt: skip
    said += run("info", home / "out", home=home) + run("verify", home / "out", home=home)
    said += run("info", home / "out", "--recipe", home=home)
    said += run("measure", home / "out", "--n-permutations", 19, home=home)
    return home, said


def texts_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file's name and bytes, and the columns of every table as text.

    Parquet compresses its text, in which a search of the bytes alone would find nothing.
    """
    for path in sorted(folder.rglob("*")):
        yield str(path.relative_to(folder)), str(path.relative_to(folder)).encode()
        if path.is_file():
            yield path.name, path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path.name, str(table.schema.to_string()).encode()
            for name in table.column_names:
                if name != "image":
                    yield (
                        f"{path.name} {name}",
                        "\n".join(map(str, table[name].to_pylist())).encode(),
                    )


def everything(home: Path, said: str) -> list[tuple[str, bytes]]:
    return [*texts_of(home / "out"), ("what was printed", said.encode())]


def test_the_benchmark_is_there(built: tuple[Path, str]) -> None:
    home, _ = built
    bench = sb.open(home / "out")
    assert [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    rejected = bench.table("rejected").to_pylist()
    assert len(rejected) >= 2  # the broken file and the text file
    row = bench.load(bench.configs[0], split="train")[0]
    assert row["age"] in (81, 90)
    assert row["kvp"] == 110.0


def test_no_identifier_is_found_by_a_search_of_all_bytes(built: tuple[Path, str]) -> None:
    home, said = built
    for where, content in everything(home, said):
        for secret in secrets():
            for encoded in (secret.encode(), secret.encode("utf-16-le"), secret.lower().encode()):
                assert encoded not in content, f"{secret!r} in {where}"


def test_the_search_would_find_what_is_there(built: tuple[Path, str]) -> None:
    home, said = built
    found = [where for where, content in everything(home, said) if b"No Finding" in content]
    assert found
    assert any(b"Panel 3" in content for _, content in everything(home, said))


def test_no_pseudonym_is_the_hash_of_a_number(built: tuple[Path, str], planted: Planted) -> None:
    """Whoever knows how it is made, and every number there may be, but not the key, finds none."""
    home, said = built
    key = (home / "config" / "shiftbench" / "pseudonyms.key").read_text().strip()
    told = re.findall(rb"[0-9a-f]{16,64}", b"\n".join(c for _, c in everything(home, said)))
    hexes = {h.decode() for h in told}
    names = [str(p.relative_to(planted.folder)) for p in planted.folder.rglob("*.dcm")]
    guesses = [*NUMBERS, *names, *(Path(n).name for n in names), *(n.lstrip("0") for n in NUMBERS)]
    for guess in guesses:
        for prefix in ("", "patient", "patient\x1f", "radiograph\x1f", "p", "r", "sub-"):
            text = f"{prefix}{guess}".encode()
            for algorithm in ("md5", "sha1", "sha256", "sha512", "blake2b"):
                digest = hashlib.new(algorithm, text).hexdigest()
                assert not any(digest.startswith(h[:16]) for h in hexes if len(h) <= 64)
    # With the key the pseudonyms are there, so the search above looks for the right thing.
    import hmac

    ours = hmac.new(bytes.fromhex(key), b"patient\x1f" + NUMBERS[0].encode(), "sha256").hexdigest()
    assert any(ours[:20] in content.decode("latin-1") for _, content in everything(home, said))


def test_the_key_is_made_once_told_and_never_inside(built: tuple[Path, str]) -> None:
    home, said = built
    file = home / "config" / "shiftbench" / "pseudonyms.key"
    key = file.read_text().strip()
    assert said.count("made the key file") == 1
    assert str(file) in said
    assert oct(file.stat().st_mode)[-3:] == "600"
    for where, content in everything(home, ""):
        assert key.encode() not in content, where
        assert bytes.fromhex(key) not in content, where


def test_another_key_other_pseudonyms_and_another_digest(
    built: tuple[Path, str], planted: Planted, tmp_path: Path
) -> None:
    run(
        *BUILD, "--source", "radiographs", "--folder", planted.folder, "--manifest",
        planted.manifest, "--key-file", tmp_path / "other.key", "--out", tmp_path / "out",
        home=tmp_path,
    )  # fmt: skip
    one, other = sb.open(built[0] / "out"), sb.open(tmp_path / "out")
    assert one.digest != other.digest
    assert one.manifest.sources[0]["fingerprint"] != other.manifest.sources[0]["fingerprint"]


def test_a_key_file_inside_the_output_is_refused(planted: Planted, tmp_path: Path) -> None:
    said = run(
        *BUILD, "--source", "radiographs", "--folder", planted.folder, "--manifest",
        planted.manifest, "--key-file", tmp_path / "out" / "my.key", "--out", tmp_path / "out",
        home=tmp_path, code=1,
    )  # fmt: skip
    assert "key file" in said
    assert not (tmp_path / "out").exists()


def test_the_default_key_file_inside_the_output_is_refused_too(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sb.sources.Radiographs(str(planted.folder), str(planted.manifest))
    monkeypatch.setenv("SHIFTBENCH_KEY_FILE", str(tmp_path / "out" / "my.key"))
    with pytest.raises(sb.errors.ConfigurationError, match="key file would lie inside"):
        sb.build(sb.builders.XrayPatches(source), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["all_corrupt", "no_patient", "one_device", "twice", "key"])
def test_errors_name_nobody(planted: Planted, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "ordner_Zwickelhuber"
    folder.mkdir()
    manifest = tmp_path / "liste.csv"
    rows = []
    for n in range(12):
        from PIL import Image

        path = folder / f"{NUMBERS[n]}_Notburga.png"
        Image.fromarray(picture(n)).save(path)
        if fault == "all_corrupt":
            path.write_bytes(path.read_bytes()[:600])
        rows.append({"image": path.name, "patient": NUMBERS[n], "device": "A" if n % 2 else "B"})
    if fault == "one_device":
        rows = [{**r, "device": "A"} for r in rows]
    if fault == "no_patient":
        rows = [{k: v for k, v in r.items() if k != "patient"} for r in rows]
    if fault == "twice":
        rows = [*rows, *rows]
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    key = tmp_path / "k.key"
    if fault == "key":
        key.write_text("no key")
    said = run(
        *BUILD, "--source", "radiographs", "--folder", folder, "--manifest", manifest,
        "--device-column", "device", "--key-file", key, "--out", tmp_path / "out",
        home=tmp_path, code=1,
    )  # fmt: skip
    assert said.count("shiftbench: ") >= 1
    assert "Traceback" not in said
    told = said.replace(str(folder), "").replace(str(manifest), "")
    for secret in [s for s in secrets() if s != "Zwickelhuber"]:
        assert secret not in told, said


def test_the_stage_of_a_build_that_failed_holds_no_name_in_the_clear(
    planted: Planted, tmp_path: Path
) -> None:
    """What is left after an error is for going on, on the same machine; it names nobody either."""
    run(
        *BUILD, "--source", "radiographs", "--folder", planted.folder, "--manifest",
        planted.manifest, "--key-file", tmp_path / "k.key", "--max-pixels", 100,
        "--out", tmp_path / "out", home=tmp_path, code=1,
    )  # fmt: skip
    for folder in tmp_path.glob("out.partial-*"):
        for where, content in texts_of(folder):
            for secret in secrets():
                assert secret.encode() not in content, f"{secret!r} in {where}"


def test_the_manifest_of_the_benchmark_redacts_where_the_data_lie(built: tuple[Path, str]) -> None:
    home, _ = built
    source = json.loads((home / "out" / "shift.json").read_text("utf-8"))["recipe"]["source"]
    assert source["folder"] == "<your folder>"
    assert source["manifest"] == "<your manifest>"
