"""Tables of pixels as a source: what they hold, and what is refused."""

from __future__ import annotations

import gzip
import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.sources import PixelTable, pixel_table


def lines_of(images, labels, *, header=True, first=False, names=("p", "y"), separator=","):
    n, size = len(images), images[0].size
    rows = [list(map(str, i.ravel())) for i in images]
    head = [f"{names[0]}{k}" for k in range(size)]
    for row, label in zip([head, *rows], [names[1], *labels], strict=True):
        row.insert(0 if first else len(row), str(label))
    assert len(rows) == n
    return "\n".join(separator.join(r) for r in ([head] if header else []) + rows) + "\n"


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def random_images(n, height, width, seed=0, channels=1):
    shape = (n, height, width) if channels == 1 else (n, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@given(
    st.integers(1, 8), st.integers(1, 4), st.integers(3, 5), st.sampled_from([1, 3]),
    st.booleans(), st.booleans(), st.booleans(), st.sampled_from(",;\t"), st.integers(0, 99),
)  # fmt: skip
def test_what_is_read_is_what_was_written(
    n, height, width, channels, header, first, zipped, separator, seed
):
    import tempfile
    from pathlib import Path

    images = random_images(n, height, width, seed, channels)
    images[0, 0, 0] = images[0, 0, 1]  # so that the first row is told from names
    labels = [f"c{i % 3}" if header else i % 3 for i in range(n)]
    text = lines_of(images, labels, header=header, first=first, separator=separator).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_bytes(gzip.compress(text) if zipped else text)
        source = PixelTable(
            str(path), width=width, height=height, channels=channels, separator=separator,
            label_column="first" if first else "",
        )  # fmt: skip
        found = source.scan().examples
        assert found["label"].to_pylist() == list(map(str, labels))
        read = source.reader()
        for row in np.random.default_rng(seed).permutation(n).tolist():
            assert (decoded(read(found["locator"][row].as_py())["image"]) == images[row]).all()


def test_a_large_table_is_read_without_holding_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_table, "_BLOCK", 200)
    monkeypatch.setattr(pixel_table, "_HELD", 40)
    images = random_images(60, 2, 3)
    path = tmp_path / "table.csv"
    path.write_text(lines_of(images, range(60)))
    source = PixelTable(str(path), width=3, height=2)
    assert len(source.scan().examples) == 60
    read = source.reader()
    for row in [0, 1, 30, 59, 2, 58]:
        assert (decoded(read(str(row))["image"]) == images[row]).all()
        assert len(read._kept) == 1 or sum(p.size for p in read._kept.values()) <= 40


def test_rows_that_cannot_be_used_are_recorded_and_the_others_keep_their_place(tmp_path):
    images = random_images(7, 2, 2)
    lines = lines_of(images, list("aabbaba")).splitlines()
    lines[2] = "1,2,,4,a"
    lines[3] = "1,2,256,4,b"
    lines[4] = "1,2,3.5,4,b"
    lines[5] = "1,2,3,4,"
    path = tmp_path / "table.csv"
    path.write_text("\n".join([*lines[:7], "1,2,3", *lines[7:]]))
    source = PixelTable(str(path), width=2, height=2)
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == [
        "image-000000", "image-000005", "image-000006",
    ]  # fmt: skip
    reasons = dict(zip(*(c.to_pylist() for c in found.rejected.columns), strict=True))
    assert reasons["table.csv: row 1"] == "pixel 2 is missing"
    assert reasons["table.csv: row 2"].startswith("pixel 2 is 256; allowed: whole numbers")
    assert reasons["table.csv: row 3"].startswith("pixel 2 is 3.5")
    assert reasons["table.csv: row 4"] == "the row has no label"
    assert "table.csv: a row of 3 columns where there are 5" in reasons
    read = source.reader()
    for row, locator in zip((0, 5, 6), found.examples["locator"].to_pylist(), strict=True):
        assert (decoded(read(locator)["image"]) == images[row]).all()


def test_a_row_of_numbers_that_all_differ_is_one_of_names(tmp_path):
    images = random_images(3, 2, 2)
    path = tmp_path / "table.csv"
    path.write_text("0,1,2,3,4\n" + lines_of(images, [1, 0, 1], header=False))
    assert PixelTable(str(path), width=2, height=2).scan().examples["label"].to_pylist() == [
        "1", "0", "1",
    ]  # fmt: skip


def test_another_white_is_scaled(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,y\n0,16,x\n8,1,z\n")
    source = PixelTable(str(path), width=2, height=1, white=16)
    assert decoded(source.reader()("0")["image"]).tolist() == [[0, 255]]
    assert decoded(source.reader()("1")["image"]).tolist() == [[128, 16]]


def test_labels_clusters_and_columns_to_drop(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("id,Class,a,b,writer\n7,1,0,0,anna\n8,2,0,0,bert\n9,1,0,0,\n10,1,0,0,anna\n")
    source = PixelTable(
        str(path), width=2, height=1, cluster_column="writer", drop=("id",),
        names=("one", "two"), first_label=1,
    )  # fmt: skip
    found = source.scan()
    assert found.examples["label"].to_pylist() == ["one", "two", "one"]
    assert found.examples["cluster_id"].to_pylist() == ["anna", "bert", "anna"]
    assert found.rejected["reason"].to_pylist() == ["the row has no cluster"]


@pytest.mark.parametrize(
    ("text", "options", "kind", "message"),
    [
        ("", {}, SourceError, "first line is empty"),
        ("\n1,2\n", {}, SourceError, "first line is empty"),
        ("a,b,y\n", {}, ConfigurationError, "no row can be used"),
        ("a,b,y\n1,300,x\n", {}, ConfigurationError, "no row can be used, e.g. .*300"),
        ("a,b,y\n1,red,x\n", {}, SourceError, "not a CSV file of numbers"),
        ("a,b,c,d,y\n1,1,1,1,x\n", {}, ConfigurationError, "width and height 2 would fit"),
        ("a,b,c,y\n1,1,1,x\n", {}, ConfigurationError, "3 columns are left for pixels"),
        ("a,b,y\n1,1,x\n", {"label_column": "z"}, ConfigurationError, "no column 'z'"),
        ("a,b,y\n1,1,x\n", {"drop": ("z",)}, ConfigurationError, "no column 'z'"),
        ("1,1,1\n1,2,1\n", {"drop": ("z",)}, ConfigurationError, "no row of names"),
        ("a,b,y\n1,1,x\n", {"names": ("x",)}, ConfigurationError, "no whole numbers"),
        ("a,b,y\n1,1,5\n", {"names": ("x",)}, ConfigurationError, "the label 5 has no name"),
        ("a,y,y\n1,1,5\n", {"label_column": "y"}, ConfigurationError, "more than one column 'y'"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, options, kind, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(kind, match=message):
        PixelTable(str(path), width=2, height=1, **options).scan()


def test_files_that_are_no_tables(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(SourceError, match="not a CSV file"):
        PixelTable(str(path)).scan()
    text = lines_of(random_images(400, 5, 5), range(400)).encode()
    path.write_bytes(gzip.compress(text)[:-2000])
    with pytest.raises(SourceError, match="cut short or damaged"):
        PixelTable(str(path), width=5, height=5).scan()
    with pytest.raises(SourceError, match="no such file"):
        PixelTable(str(tmp_path / "nothing.csv")).scan()
    with pytest.raises(ContentError, match="cannot be read"):
        PixelTable(str(tmp_path / "nothing.csv")).reader()("0")


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"channels": 2}, {"white": 0.0}, {"separator": ""}]
)
def test_options_that_are_refused(options):
    with pytest.raises(ConfigurationError, match="pixel_table"):
        PixelTable("table.csv", **options)


def test_a_row_that_is_not_there(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b,y\n1,1,x\n")
    with pytest.raises(ContentError, match="does not have it"):
        PixelTable(str(path), width=2, height=1).reader()("1")


def test_the_real_fashion_images(shared_data):
    path = shared_data / "fashion" / "fashion_test.csv.gz"
    source = PixelTable(str(path))
    found = source.scan()
    stored = np.loadtxt(path, delimiter=",", skiprows=1, dtype=int)
    assert len(found.examples) == 1000
    assert not len(found.rejected)
    labels = Counter(found.examples["label"].to_pylist())
    assert labels == Counter(map(str, stored[:, -1].tolist()))
    read = source.reader()
    for row in (0, 999, 500):
        image = decoded(read(found.examples["locator"][row].as_py())["image"])
        assert (image == stored[row, :-1].reshape(28, 28)).all()
