"""What holds for every registered space, found by reflection: a new one needs a batch here."""

from __future__ import annotations

import io
import pickle
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from scipy.sparse import csr_array, issparse

import shiftbench.schema as features
from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.registry import SPACES
from shiftbench.spaces import Column, Pixels, Spectrum, Tabular, Text, embed
from shiftbench.spaces.space import parse_space, space_name

CHOICES = {
    "pixels": ("pixels", "pixels:size=4,channels=grey"),
    "spectrum": ("spectrum", "spectrum:bands=8,spacing=0.5,row_spacing=pitch"),
    "tabular": ("tabular", "tabular:exclude=pitch", "tabular:only=age+city,max_levels=2"),
    "text": ("text", "text:dim=3,analyzer=char_wb,ngrams=2+3"),
    "column": ("column:embedding", "column:age"),
    "torchvision": (),  # has weights, and tests, of its own
}
FIXED = ("column",)


def picture(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    shape = (12 + seed, 20) if seed % 2 else (300, 12 + seed, 3)
    out = io.BytesIO()
    Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(out, "PNG")
    return out.getvalue()


def batch(n: int = 7, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    words = np.array(["red", "green", "blue", "cat", "dog", "sat"])
    schema = features.arrow_schema(
        {
            "example_id": features.Value("string"),
            "image": features.Image(),
            "label": features.ClassLabel(("cat", "dog")),
            "text": features.Value("string"),
            "age": features.Value("float64"),
            "city": features.Value("string"),
            "tags": features.ListOf(features.Value("string")),
            "pitch": features.Value("float32"),
            "embedding": features.ListOf(features.Value("float32")),
        }
    )
    return pa.table(
        {
            "example_id": [f"{seed}-{i}" for i in range(n)],
            "image": [{"bytes": picture(seed * 100 + i), "path": None} for i in range(n)],
            "label": [i % 2 for i in range(n)],
            "text": [" ".join(random.choice(words, 5)) for _ in range(n)],
            "age": [None if i == 3 else float(random.normal()) for i in range(n)],
            "city": [["Oslo", "Rome", "Bonn", None][i % 4] for i in range(n)],
            "tags": [None if i == 2 else list(random.choice(words, 2)) for i in range(n)],
            "pitch": random.uniform(0.2, 0.5, n).astype(np.float32),
            "embedding": random.normal(size=(n, 3)).astype(np.float32).tolist(),
        },
        schema=schema,
    )


def without_nulls(chosen: str, table: pa.Table) -> pa.Table:
    return table if chosen != "column:age" else table.filter(table["age"].is_valid())


def dense(raw):
    if isinstance(raw, pa.Table):
        return raw.to_pylist()
    return (raw.toarray() if issparse(raw) else raw).tolist()


EVERY = [text for texts in CHOICES.values() for text in texts]


def test_every_space_is_here() -> None:
    assert set(CHOICES) == set(SPACES)


@pytest.mark.parametrize("chosen", EVERY)
def test_raw_is_of_each_row_alone(chosen: str) -> None:
    space, table = parse_space(chosen), without_nulls(chosen, batch())
    table = table.select(list(space.columns(table.schema)))
    whole = space.raw(table)
    assert (whole.num_rows if isinstance(whole, pa.Table) else whole.shape[0]) == len(table)
    assert isinstance(whole, np.ndarray | csr_array | pa.Table)
    single = [dense(space.raw(table.slice(i, 1)))[0] for i in range(len(table))]
    assert dense(whole) == single
    order = [3, 0, 5, 1]
    assert dense(space.raw(table.take(order))) == [single[i] for i in order]
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert dense(space.raw(chunked)) == single
    none = space.raw(table.slice(0, 0))
    assert (none.num_rows if isinstance(none, pa.Table) else none.shape[0]) == 0


@pytest.mark.parametrize("chosen", EVERY)
def test_fit_is_one_map_whatever_the_order(chosen: str) -> None:
    space, table = parse_space(chosen), without_nulls(chosen, batch())
    table = table.select(list(space.columns(table.schema)))
    raw = space.raw(table)
    fitted = space.fit(raw)
    made = fitted.transform(raw)
    assert made.dtype == np.float64
    assert made.shape == (len(table), len(fitted.names))
    assert len(set(fitted.names)) == len(fitted.names)
    assert np.isfinite(made).all()
    assert space.fit(raw).fingerprint == fitted.fingerprint
    again = space.fit(space.raw(table.take(np.random.default_rng(0).permutation(len(table)))))
    assert again.fingerprint == fitted.fingerprint
    other = without_nulls(chosen, batch(9, seed=1)).select(table.column_names)
    different = space.fit(space.raw(other)).fingerprint
    assert (different == fitted.fingerprint) == (space.name in FIXED)
    part = space.raw(table.slice(1, 3))
    np.testing.assert_allclose(fitted.transform(part), made[1:4], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chosen", EVERY)
def test_names_and_pickles(chosen: str) -> None:
    space = parse_space(chosen)
    assert parse_space(space_name(space)) == space
    assert space_name(parse_space(space_name(space))) == space_name(space)
    assert pickle.loads(pickle.dumps(space)) == space
    table = without_nulls(chosen, batch())
    raw = space.raw(table)
    fitted = space.fit(raw)
    copy = pickle.loads(pickle.dumps(fitted))
    assert copy.fingerprint == fitted.fingerprint
    assert (copy.transform(raw) == fitted.transform(raw)).all()


@pytest.mark.parametrize("chosen", EVERY)
def test_no_column_that_fits_is_said_with_what_there_is(chosen: str) -> None:
    with pytest.raises(ConfigurationError, match="example_id"):
        parse_space(chosen).columns(pa.schema([("example_id", pa.string())]))


@pytest.mark.parametrize("name", [n for n, texts in CHOICES.items() if texts])
def test_options_are_documented(name: str) -> None:
    space = parse_space(CHOICES[name][0])
    said = type(space).__doc__
    assert said is not None
    names = [field.name for field in fields(type(space))]
    assert all(f"\n    {option} : " in said for option in names)


@pytest.mark.parametrize("space", [Pixels(), Spectrum()])
@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"bytes": b"GIF is what this is not", "path": None}, "row 1: not an image"),
        ({"bytes": picture(0)[:200], "path": None}, "row 1: the image cannot be decoded"),
        ({"bytes": None, "path": "a.png"}, "row 1: the image is absent"),
        (None, "row 1: the image is absent"),
    ],
)
def test_unreadable_images_are_named_by_row(space, cell, said: str) -> None:
    good = {"bytes": picture(1), "path": None}
    with pytest.raises(ContentError, match=said):
        space.raw(pa.table({"image": [good, cell, good]}))


def test_the_image_column_is_found_or_asked_for() -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    two = pa.schema([("photo", image), ("mask", image)])
    with pytest.raises(ConfigurationError, match="photo, mask; choose one"):
        Pixels().columns(two)
    assert Pixels(column="mask").columns(two) == ("mask",)
    assert Pixels().columns(two.append(pa.field("image", image))) == ("image",)
    with pytest.raises(ConfigurationError, match="did you mean 'photo'"):
        Pixels(column="phot").columns(two)
    sound = {"info": {"features": {"clip": {"_type": "Audio"}}}}
    audio = pa.schema([("clip", image)], {"huggingface": str(sound).replace("'", '"')})
    with pytest.raises(ConfigurationError, match="no column holds images"):
        Pixels().columns(audio)


@pytest.mark.parametrize(
    "made",
    [
        lambda: Pixels(size=0),
        lambda: Pixels(bins=1),
        lambda: Pixels(channels="cmyk"),
        lambda: Spectrum(bands=0),
        lambda: Spectrum(spacing=0.4),
        lambda: Spectrum(row_spacing="pitch"),
        lambda: Spectrum(spacing=-1.0, row_spacing="pitch"),
        lambda: Text(dim=0),
        lambda: Text(ngrams=(2, 1)),
        lambda: Text(analyzer="line"),
        lambda: Tabular(max_levels=0),
        lambda: Tabular(only=("a",), exclude=("b",)),
        lambda: parse_space("pixels:size=big"),
        lambda: parse_space("column"),
        lambda: parse_space("colour"),
    ],
)
def test_wrong_options_are_refused(made) -> None:
    with pytest.raises(ConfigurationError):
        made()


def test_an_empty_reference_is_refused() -> None:
    for space in (Pixels(), Spectrum(), Tabular(), Text()):
        with pytest.raises(ConfigurationError, match="reference"):
            space.fit(space.raw(batch().slice(0, 0)))


def test_embed_fits_on_the_first_only() -> None:
    a, b = batch(8), batch(5, seed=1)
    first, second = embed("spectrum", a, b)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(first.std(axis=0), 1)
    assert abs(second.mean(axis=0)).max() > 0.1
    assert (embed(Column("embedding"), a)[0] == np.array(a["embedding"].to_pylist())).all()
