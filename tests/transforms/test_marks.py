"""Made attributes: told apart by the value, alike in all else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.transforms._marks_colours import COLOURS, LUMA, WEIGHTS, palette
from shiftbench.transforms._marks_fields import PATTERNS, TEXTURES, texture_field
from shiftbench.transforms._marks_figure import figure_of
from shiftbench.transforms.marks import KINDS, MAX_VALUES, mark_image, value_names

Pixels = NDArray[np.uint8]


def digits() -> tuple[Pixels, NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.rint(found.images * (255 / 16)).astype(np.uint8), found.target


def photograph(size: int = 48) -> Pixels:
    """A colour picture without a plain ground."""
    rng = np.random.default_rng(4)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def glyph(size: int = 32, dark: bool = False) -> Pixels:
    """A bright disc, its edge blended, on black."""
    at = np.arange(size) - (size - 1) / 2
    radius = np.hypot(at[:, None], at[None, :])
    made = np.rint(255 * np.clip(size / 4 - radius + 0.5, 0, 1)).astype(np.uint8)
    return np.asarray(255 - made if dark else made)


def marked(pixels: Pixels, kind: str, value: int, ident: str = "a", seed: int = 0) -> Pixels:
    return mark_image(pixels, kind, value, ident=ident, seed=seed, n_values=MAX_VALUES[kind])


def grey(pixels: Pixels) -> NDArray[np.float64]:
    """Luma as Pillow makes it."""
    return np.asarray(Image.fromarray(pixels).convert("L")).astype(float)


INPUTS = {
    "glyph": glyph(),
    "dark glyph": glyph(dark=True),
    "photograph": photograph(),
    "grey photograph": photograph()[..., 0].copy(),
    "tiny": glyph(8),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", INPUTS)
def test_every_value_gives_another_picture_of_the_same_kind(kind: str, name: str) -> None:
    pixels = INPUTS[name]
    before = pixels.copy()
    made = [marked(pixels, kind, v) for v in range(MAX_VALUES[kind])]
    assert all(m.dtype == np.uint8 and m.shape == (*pixels.shape[:2], 3) for m in made)
    assert len({m.tobytes() for m in made}) == len(made)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("kind", ["colour", "background"])
@pytest.mark.parametrize("name", INPUTS)
def test_colours_leave_the_grey_picture_as_it_is_for_every_value(kind: str, name: str) -> None:
    made = [grey(marked(INPUTS[name], kind, v)) for v in range(MAX_VALUES[kind])]
    assert all(np.array_equal(m, made[0]) for m in made)


def test_a_tint_keeps_the_luma_of_a_colour_picture() -> None:
    pixels = photograph()
    for value in range(MAX_VALUES["colour"]):
        assert np.abs(grey(marked(pixels, "colour", value)) - grey(pixels)).max() <= 1


def test_a_coloured_glyph_keeps_its_ground_and_its_shape() -> None:
    made = marked(glyph(), "colour", 1)
    assert np.all(made[glyph() == 0] == 0)
    assert made[16, 16].tolist() == [255, 106, 13]  # orange
    assert np.abs(grey(made) - LUMA * glyph()).max() <= 2
    dark = marked(glyph(dark=True), "colour", 1)
    assert np.all(dark[glyph(dark=True) == 255] == 255)
    assert dark[16, 16].tolist() == [255, 106, 13]


def test_a_background_leaves_the_figure() -> None:
    for dark in (False, True):
        pixels = glyph(dark=dark)
        figure, ground = glyph() == 255, glyph() == 0
        made = marked(pixels, "background", 2)
        assert np.all(made[figure] == pixels[figure][:, None])
        assert len(np.unique(made[ground], axis=0)) == 1
        assert made[0, 0].tolist() != [0, 0, 0]


def test_a_mask_says_exactly_what_is_background() -> None:
    pixels = photograph()
    mask = np.zeros(pixels.shape[:2], bool)
    mask[7:20, 11:31] = True
    made = mark_image(pixels, "background", 0, ident="a", seed=0, n_values=2, mask=mask)
    assert np.array_equal(made[mask], pixels[mask])
    assert len(np.unique(made[~mask], axis=0)) == 1


def test_of_a_photograph_the_frame_is_background() -> None:
    pixels = photograph(48)
    made = marked(pixels, "background", 0)
    assert np.array_equal(made[6:-6, 6:-6], pixels[6:-6, 6:-6])
    outer = np.ones((48, 48), bool)
    outer[6:-6, 6:-6] = False
    assert len(np.unique(made[outer], axis=0)) == 1


@pytest.mark.parametrize("size", [8, 28, 64, 224])
def test_a_marker_changes_one_corner_and_has_one_area(size: int) -> None:
    pixels = np.full((size, size + 5, 3), 90, np.uint8)
    side = 3 * max(1, round(size / 24))
    lit = []
    for value in range(MAX_VALUES["marker"]):
        made = marked(pixels, "marker", value)
        assert set(np.unique(made[:side, :side])) == {0, 255}
        lit.append(int((made[:side, :side, 0] == 255).sum()))
        made = made.copy()
        made[:side, :side] = 90
        assert np.array_equal(made, pixels)
    assert len(set(lit)) == 1


def test_marker_patterns_are_five_squares_each() -> None:
    assert {sum(row.count("#") for row in rows) for rows in PATTERNS.values()} == {5}


def test_a_texture_never_brightens_and_keeps_black() -> None:
    for pixels in (glyph(), photograph()):
        whole = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        for value in range(MAX_VALUES["texture"]):
            made = marked(pixels, "texture", value)
            assert np.all(made <= whole)
            assert np.all(made >= np.floor(whole * (0.7 / 1.3)))


def test_stripes_run_as_they_are_called() -> None:
    ahead = {"vertical": (1, 0), "horizontal": (0, 1), "rising": (-1, 1), "falling": (1, 1)}
    for name, (down, right) in ahead.items():
        field = texture_field((64, 64), TEXTURES.index(name), np.random.default_rng(0))
        along = np.roll(field, (-down, -right), (0, 1))
        assert np.allclose(field[1:-1, 1:-1], along[1:-1, 1:-1], atol=1e-4), name


@pytest.mark.parametrize("texture", range(len(TEXTURES)))
def test_textures_have_one_distribution_of_brightness(texture: int) -> None:
    fields = [
        texture_field((64, 80), texture, np.random.default_rng(seed)).ravel() for seed in range(40)
    ]
    values = np.concatenate(fields)
    # That of a sine: mean 0, mean square ½, half of it beyond ±√½.
    assert abs(values.mean()) < 0.02
    assert abs((values**2).mean() - 0.5) < 0.02
    assert abs(np.mean(np.abs(values) > np.sqrt(0.5)) - 0.5) < 0.03


def test_what_is_random_depends_on_example_and_seed_only() -> None:
    pixels = np.full((32, 32), 200, np.uint8)
    one = mark_image(pixels, "texture", 1, ident="a", seed=0, n_values=2)
    assert np.array_equal(one, mark_image(pixels, "texture", 1, ident="a", seed=0, n_values=5))
    assert not np.array_equal(one, marked(pixels, "texture", 1, ident="b"))
    assert not np.array_equal(one, marked(pixels, "texture", 1, seed=1))
    # The phase that a value meets is that of any other: vertical turned is horizontal.
    upright = marked(pixels, "texture", 0)
    assert np.array_equal(upright[0], marked(pixels, "texture", 0)[5])


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_is_as_easy_to_see_under_every_value(kind: str) -> None:
    """A classifier of the grey picture, trained on all values, is as good on each of them."""
    from sklearn.linear_model import LogisticRegression

    images, labels = digits()
    n = len(images)
    values = np.random.default_rng(0).integers(0, 4, n)
    made = np.stack(
        [
            grey(mark_image(x, kind, int(v), ident=str(i), seed=0, n_values=4)).ravel()
            for i, (x, v) in enumerate(zip(images, values, strict=True))
        ]
    )
    train = np.arange(n) % 2 == 0
    model = LogisticRegression(max_iter=1000).fit(made[train] / 255, labels[train])
    right = model.predict(made[~train] / 255) == labels[~train]
    rates = [right[values[~train] == v].mean() for v in range(4)]
    sizes = np.bincount(values[~train], minlength=4)
    p = right.mean()
    chi2 = sum(s * (r - p) ** 2 for s, r in zip(sizes, rates, strict=True)) / (p * (1 - p))
    assert p > 0.8
    assert chi2 < 16.3  # 99.9 % of χ² with 3 degrees of freedom


@pytest.mark.parametrize("kind", KINDS)
def test_the_value_can_be_learned(kind: str) -> None:
    """What is made is there: a nearest-mean rule tells two values apart."""
    images, _ = digits()
    images = images[:300]
    made = np.stack(
        [
            [
                mark_image(x, kind, v, ident=str(i), seed=0, n_values=2).ravel().astype(float)
                for v in range(2)
            ]
            for i, x in enumerate(images)
        ]
    )
    if kind == "texture":  # of random phase: compare how brightness changes along the two axes
        cubes = made.reshape(len(images), 2, 8, 8, 3)[..., 0]
        down = np.abs(np.diff(cubes, axis=2)).mean((2, 3))
        across = np.abs(np.diff(cubes, axis=3)).mean((2, 3))
        base = images.astype(float)
        own = np.abs(np.diff(base, axis=2)).mean((1, 2)) - np.abs(np.diff(base, axis=1)).mean(
            (1, 2)
        )
        score = (across - down) - own[:, None] / 1.3
        assert np.mean(score[:, 0] > score[:, 1]) > 0.85
        return
    half = len(images) // 2
    mean = made[:half].mean(0)
    rest = made[half:]
    nearest = np.linalg.norm(rest[:, :, None] - mean[None, None], axis=-1).argmin(-1)
    assert np.mean(nearest == [0, 1]) > 0.95


def test_all_digits_are_glyphs_and_noise_is_none() -> None:
    images, _ = digits()
    assert np.mean([figure_of(x).glyph for x in images]) > 0.99
    assert not any(figure_of(x).dark for x in images)
    rng = np.random.default_rng(0)
    noise = np.clip(rng.normal(128, 40, (20, 32, 32)), 0, 255).astype(np.uint8)
    assert not any(figure_of(x).glyph for x in noise)
    assert not figure_of(np.full((9, 9), 7, np.uint8)).glyph


def test_thresholds_are_those_of_otsu() -> None:
    """Against the definition: the cut with the least variance within the two sides."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        pixels = np.concatenate(
            [rng.normal(60, 20, 300), rng.normal(rng.integers(120, 220), 25, 200)]
        )
        values = np.clip(pixels, 0, 255).astype(np.uint8).reshape(20, 25)

        def within(cut: float, x: Pixels = values) -> float:
            sides = [x[x <= cut], x[x > cut]]
            return float(sum(len(s) * s.astype(float).var() for s in sides if len(s)))

        least = min(within(c) for c in range(255))
        assert within(figure_of(values).threshold * 255) == pytest.approx(least)


def test_the_palette_has_one_luma_and_stays_apart_for_the_colour_blind() -> None:
    colours = palette().astype(float)
    assert np.allclose(colours @ WEIGHTS, LUMA, atol=1e-6)
    assert colours.min() >= -1e-6
    assert colours.max() <= 1 + 1e-6
    # Machado, Oliveira & Fernandes 2009, full severity; CIE76 differences.
    blind = {
        "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]],
        "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
        "none": np.eye(3),
    }
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for matrix in blind.values():
        four = _lab(np.clip(linear[:4] @ np.array(matrix).T, 0, 1))
        assert _least_distance(four) > 29
    assert _least_distance(_lab(np.clip(linear, 0, 1))) > 30


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = np.array(
        [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1, 1.0888])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.column_stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _least_distance(points: NDArray[np.float64]) -> float:
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(apart[~np.eye(len(points), dtype=bool)].min())


@given(
    st.tuples(st.integers(8, 20), st.integers(8, 20), st.sampled_from([(), (3,)])).flatmap(
        lambda s: arrays(np.uint8, (s[0], s[1], *s[2]))
    ),
    st.sampled_from(KINDS),
    st.integers(0, 5),
)
def test_any_picture_takes_any_value(pixels: Pixels, kind: str, value: int) -> None:
    made = marked(pixels, kind, value)
    assert made.shape == (*pixels.shape[:2], 3)
    assert np.array_equal(made, marked(pixels, kind, value))
    if kind in ("colour", "background"):
        assert np.array_equal(grey(made), grey(marked(pixels, kind, 0)))


def test_png_gives_the_marked_pixels_back() -> None:
    made = marked(glyph(), "colour", 3)
    out = io.BytesIO()
    Image.fromarray(made).save(out, "PNG")
    assert np.array_equal(np.asarray(Image.open(out)), made)


@pytest.mark.slow
def test_the_largest_pictures() -> None:
    pixels = np.zeros((4000, 4000), np.uint8)
    pixels[1000:3000, 1000:3000] = 220
    for kind in KINDS:
        assert marked(pixels, kind, 1).shape == (4000, 4000, 3)


def test_names_of_fewer_values_are_the_head_of_those_of_more() -> None:
    for kind in KINDS:
        names = value_names(kind, MAX_VALUES[kind])
        assert len(set(names)) == len(names)
        for n in range(2, len(names) + 1):
            assert value_names(kind, n) == names[:n]
    assert value_names("colour", 8) == COLOURS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "color"}, "no attribute is called 'color'; did you mean 'colour'"),
        ({"n_values": 9}, r"9 values of 'colour' are asked for; allowed: 2 to 8"),
        ({"n_values": 1}, r"1 values of 'colour' are asked for; allowed: 2 to 8"),
        ({"value": 2}, r"value 2 of 'colour' is asked for; allowed: 0 to 1 \(blue, orange\)"),
        ({"value": -1}, "value -1 of 'colour'"),
        ({"value": True}, "value True of 'colour'"),
        ({"mask": np.ones((3, 3), bool)}, r"mask has the shape \(3, 3\)"),
    ],
)
def test_bad_options(change: dict[str, object], said: str) -> None:
    options = {"kind": "colour", "value": 0, "n_values": 2, **change}
    kind, value = options.pop("kind"), options.pop("value")
    with pytest.raises(ConfigurationError, match=said):
        mark_image(glyph(), kind, value, ident="a", seed=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((7, 30), np.uint8),
        np.zeros((30, 30), np.uint16),
        np.zeros((30, 30, 4), np.uint8),
        np.zeros(30, np.uint8),
    ],
)
def test_pictures_that_cannot_be_marked(pixels: Pixels) -> None:
    with pytest.raises(ContentError):
        marked(pixels, "marker", 0)
