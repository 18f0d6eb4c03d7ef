from __future__ import annotations

import numpy as np
import pytest
from known_shifts import NULLS, across, fewest_hits, gaussians, most_rejections

from shiftbench.distances import measure
from shiftbench.distances.characteristic import of_length_one
from shiftbench.distances.fourier import fourier_sums, frequencies_of, waves
from shiftbench.distances.samples import two_samples
from shiftbench.errors import ConfigurationError


def functions(x, frequencies):
    return np.exp(1j * (x @ frequencies)).mean(axis=0)


def test_value_by_definition_with_clusters():
    rng = np.random.default_rng(0)
    x, y, (cx, cy) = across(rng, 12)
    found = measure(
        "characteristic", x, y, clusters=(cx, cy), n_frequencies=30, normalise=False, bandwidth=2.0
    )
    frequencies = frequencies_of(30, 3, 2.0, 0)
    wx, wy = np.exp(1j * (x @ frequencies)), np.exp(1j * (y @ frequencies))

    def mean(a, ca, b, cb):
        pairs = ca[:, None] != cb[None, :]
        return np.einsum("ik,jk,ij->k", a, b.conj(), pairs).real / pairs.sum()

    each = mean(wx, cx, wx, cx) + mean(wy, cy, wy, cy) - 2 * mean(wx, cx, wy, cy)
    assert found.value == pytest.approx(each.mean(), abs=1e-12)
    assert found.parameters["frequency_se"] == pytest.approx(each.std(ddof=1) / np.sqrt(30))
    ncfd = np.abs(functions(x, frequencies) - functions(y, frequencies)).mean()
    assert found.parameters["ncfd"] == pytest.approx(ncfd)


def test_the_published_form_is_the_plug_in_modulus():
    rng = np.random.default_rng(1)
    x, y, _ = gaussians(rng, (40, 30), 4, 0.7)
    frequencies = frequencies_of(25, 4, 1.0, 5)
    found = fourier_sums(two_samples(x, y, takes="features"), frequencies, 0)
    a, b = functions(x, frequencies), functions(y, frequencies)
    phase = np.angle(a) - np.angle(b)
    published = (np.abs(a) - np.abs(b)) ** 2 + 2 * np.abs(a) * np.abs(b) * (1 - np.cos(phase))
    assert np.allclose(found.plug_in**2, published, atol=1e-14)


def test_waves_have_the_gaussian_kernel_as_mean_product():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(5, 3))
    held = waves(x, frequencies_of(200_000, 3, 1.5, 0))
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    assert np.allclose(held @ held.T, np.exp(-squared / (2 * 1.5**2)), atol=0.01)
    assert np.allclose(np.diag(held @ held.T), 1)


def test_it_is_mmd_with_random_features():
    rng = np.random.default_rng(3)
    x, y, c = across(rng, 20)
    one = measure("characteristic", x, y, clusters=c, normalise=False, n_frequencies=64)
    two = measure("mmd", x, y, clusters=c, features=64, bandwidths="single")
    assert one.value == pytest.approx(two.value, abs=1e-14)
    assert one.p_value == two.p_value


def test_memory_is_bounded_by_blocks(monkeypatch):
    from shiftbench.distances import fourier

    rng = np.random.default_rng(4)
    x, y, c = across(rng, 30)
    whole = measure("characteristic", x, y, clusters=c, n_frequencies=20, n_permutations=50)
    monkeypatch.setattr(fourier, "_CELLS", 400)
    monkeypatch.setattr(fourier, "_ROWS", 3)
    parts = measure("characteristic", x, y, clusters=c, n_frequencies=20, n_permutations=50)
    assert (whole.value, whole.low, whole.high) == pytest.approx(
        (parts.value, parts.low, parts.high), abs=1e-12
    )
    assert whole.p_value == parts.p_value


def test_rows_of_zeros_stay_and_are_counted():
    x = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 1.0]])
    found = measure("characteristic", x, 3 * x[:3] + [[0.0, 0.0]], n_permutations=9)
    assert found.parameters["zero_rows"] == 2
    assert np.allclose(of_length_one(x[1:3]), np.sqrt(0.5))
    assert np.allclose(of_length_one(np.full((1, 4), 1e200)), 0.5)
    scaled = measure("characteristic", 5 * x, x[:3], n_permutations=9)
    assert scaled.value == pytest.approx(found.value)


def test_wrong_options():
    x = np.arange(8.0)
    for n in (0, 1, True, 2.5, "many"):
        with pytest.raises(ConfigurationError, match="n_frequencies"):
            measure("characteristic", x, x, n_frequencies=n)
    with pytest.raises(ConfigurationError, match="give a bandwidth"):
        measure("characteristic", 1 + x, -x - 1)  # of length one, the source is all the same


def rejections(case, repeats, n_permutations):
    rng = np.random.default_rng(5)
    low = 0
    for seed in range(repeats):
        x, y, c = NULLS[case](rng)
        options = {"n_frequencies": 32, "normalise": x.shape[1] > 1}
        low += (
            measure(
                "characteristic",
                x,
                y,
                clusters=c,
                n_permutations=n_permutations,
                seed=seed,
                **options,
            ).p_value
            <= 0.05
        )
    return low


@pytest.mark.parametrize("case", ["50", "clusters"])
def test_type_one_error(case):
    assert rejections(case, 120, 99) <= most_rejections(120, 0.05, 2)


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(NULLS))
def test_type_one_error_closely(case):
    low = rejections(case, 600, 199)
    assert low <= most_rejections(600, 0.05, 7)
    assert low >= fewest_hits(600, 0.04, 7)


def coverage(n, width, shift, size, repeats):
    rng = np.random.default_rng(6)
    held = 0
    for seed in range(repeats):
        x, y, c = gaussians(rng, n, width, shift, size)
        found = measure(
            "characteristic",
            x,
            y,
            clusters=c if size > 1 else None,
            n_permutations=0,
            n_frequencies=50,
            normalise=False,
            bandwidth=1.5,
            seed=seed,
        )
        t = frequencies_of(50, width, 1.5, seed)
        truth = np.mean(np.exp(-(t**2).sum(axis=0)) * (2 - 2 * np.cos(shift * t[0])))
        held += found.low <= truth <= found.high
    return held


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_intervals_hold_the_truth(shift):
    assert coverage((50, 50), 2, shift, 1, 100) >= fewest_hits(100, 0.95, 3)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 3.0])
def test_intervals_hold_the_truth_closely(shift):
    for n, size in [((50, 200), 1), ((200, 200), 1), ((160, 160), 8)]:
        for width in (1, 10):
            held = coverage(n, width, shift, size, 300)
            assert held >= fewest_hits(300, 0.95, 24), (n, size, width, held)
