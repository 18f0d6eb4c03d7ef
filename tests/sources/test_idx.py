"""IDX files as a source: what they hold, and what is refused."""

from __future__ import annotations

import gzip
import io
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.sources import IdxImages, idx


def idx_bytes(array):
    code = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13}[array.dtype.name]
    head = struct.pack(f">4B{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(folder, images, labels, *, zipped=False):
    pack = gzip.compress if zipped else bytes
    (folder / "images").write_bytes(pack(idx_bytes(images)))
    (folder / "labels").write_bytes(pack(idx_bytes(labels)))
    return str(folder / "images"), str(folder / "labels")


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def small(n=5):
    images = np.random.default_rng(0).integers(0, 256, (n, 4, 3)).astype(np.uint8)
    return images, np.arange(n, dtype=np.uint8) % 3


@given(
    st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([None, 1, 3]),
    st.booleans(), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_what_is_read_is_what_was_written(n, height, width, channels, zipped, transpose, seed):
    import tempfile
    from pathlib import Path

    shape = (n, height, width) if channels is None else (n, height, width, channels)
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, shape).astype(np.uint8)
    labels = random.integers(0, 10, n).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        source = IdxImages(*write(Path(folder), images, labels, zipped=zipped), transpose=transpose)
        found = source.scan().examples
        read = source.reader()
        assert found["label"].to_pylist() == [str(v) for v in labels]
        for row in random.permutation(n).tolist():
            wanted = images[row][..., 0] if channels == 1 else images[row]
            wanted = wanted.swapaxes(0, 1) if transpose else wanted
            assert (decoded(read(found["locator"][row].as_py())["image"]) == wanted).all()


def test_a_large_gzip_file_is_read_without_holding_it(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "_HELD", 0)
    images, labels = small(40)
    read = IdxImages(*write(tmp_path, images, labels, zipped=True)).reader()
    for row in [0, 7, 39, 3, 38]:
        assert (decoded(read(str(row))["image"]) == images[row]).all()
    assert isinstance(read._stream, gzip.GzipFile)


def test_gzip_does_not_change_the_fingerprint_and_the_content_does(tmp_path):
    images, labels = small()
    found = []
    for name, zipped, change in (("a", False, 0), ("b", True, 0), ("c", False, 1)):
        (tmp_path / name).mkdir()
        changed = images.copy()
        changed[-1, -1, -1] ^= change
        source = IdxImages(*write(tmp_path / name, changed, labels, zipped=zipped))
        found.append(source.scan().fingerprint)
    assert found[0] == found[1] != found[2]


def test_names_and_the_smallest_label(tmp_path):
    images, labels = small()
    paths = write(tmp_path, images, labels + 1)
    named = IdxImages(*paths, names=("a", "b", "c"), first_label=1).scan()
    assert named.examples["label"].to_pylist() == ["a", "b", "c", "a", "b"]
    with pytest.raises(ConfigurationError, match=r"the label 3 has no name.*1 to 3"):
        IdxImages(*paths, names=("a", "b", "c")).scan()
    with pytest.raises(ConfigurationError, match="twice"):
        IdxImages(*paths, names=("a", "a", "c"), first_label=1).scan()


def test_labels_of_32_bits(tmp_path):
    images, labels = small()
    paths = write(tmp_path, images, labels.astype(np.int32) * 1000)
    assert set(IdxImages(*paths).scan().examples["label"].to_pylist()) == {"0", "1000", "2000"}


IMAGES, LABELS = small()
GOOD, GOOD_LABELS = idx_bytes(IMAGES), idx_bytes(LABELS)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (GOOD[:-1], GOOD_LABELS, "ends within its 5 rows"),
        (GOOD + b"x", GOOD_LABELS, "goes on after the 5 rows"),
        (GOOD[:9], GOOD_LABELS, "ends within the header"),
        (b"", GOOD_LABELS, "ends within the header"),
        (b"\x89PNG" + GOOD, GOOD_LABELS, "no IDX file: it begins with 89 50 4e 47"),
        (GOOD_LABELS, GOOD_LABELS, "images are rows × columns"),
        (GOOD, GOOD, "labels are one whole number a row"),
        (GOOD, idx_bytes(LABELS[:4]), "4 labels, and .* 5 images"),
        (GOOD, GOOD_LABELS[:-1], "ends within its 5 rows"),
        (GOOD, GOOD_LABELS + b"\0", "goes on after"),
        (idx_bytes(IMAGES.astype(np.float32)), GOOD_LABELS, "of 8 bits"),
        (idx_bytes(IMAGES[..., None].repeat(2, 3)), GOOD_LABELS, "images are rows × columns"),
        (idx_bytes(IMAGES[:0]), idx_bytes(LABELS[:0]), "there must be an image"),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), GOOD_LABELS, "at most"),
        (gzip.compress(GOOD, mtime=0)[:-9], GOOD_LABELS, "cut short or damaged|damaged at its end"),
        (gzip.compress(GOOD, mtime=0)[:-4] + b"abcd", GOOD_LABELS, "damaged"),
    ],
)
def test_files_that_are_refused(tmp_path, images, labels, message):
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(SourceError, match=message):
        IdxImages(str(tmp_path / "images"), str(tmp_path / "labels")).scan()


def test_missing_files_and_rows(tmp_path):
    images, labels = write(tmp_path, *small())
    with pytest.raises(SourceError, match="there is no such file"):
        IdxImages(str(tmp_path / "imges"), labels).scan()
    with pytest.raises(ContentError, match="is no row; allowed: 0 to 4"):
        IdxImages(images, labels).reader()("5")
    with pytest.raises(ContentError, match="cannot be read"):
        IdxImages(str(tmp_path / "gone"), labels).reader()("0")


def test_the_real_digits(shared_data):
    folder = shared_data / "digits"
    source = IdxImages(
        str(folder / "t10k-images-idx3-ubyte.gz"), str(folder / "t10k-labels-idx1-ubyte.gz")
    )
    found = source.scan().examples
    counts = Counter(found["label"].to_pylist())
    # The counts that are published for the test set of MNIST.
    assert [counts[str(d)] for d in range(10)] == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert found["label"][:5].to_pylist() == ["7", "2", "1", "0", "4"]
    data = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    stored = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    read = source.reader()
    for row in (0, 9999, 1234):
        assert (decoded(read(found["locator"][row].as_py())["image"]) == stored[row]).all()
