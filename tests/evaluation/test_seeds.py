"""Spread by its name, and variance components against textbook formulas and simulation."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import chi2, sem, t

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._mean_squares import combined
from shiftbench.evaluation.seeds import SPREADS, spread, variance_components

RUNS = [0.80, 0.82, 0.87]


def test_the_same_three_runs_as_the_field_prints_them():
    # WILDS ± 0.036, OpenOOD ± 0.029, DomainBed ± 0.017.
    assert f"{spread(RUNS, 'std').value:.3f}" == "0.036"
    assert f"{spread(RUNS, 'std_population').value:.3f}" == "0.029"
    assert f"{spread(RUNS, 'sem_population').value:.3f}" == "0.017"
    assert spread(RUNS, "sem").value == pytest.approx(sem(RUNS))
    low, _ = t.interval(0.95, 2, np.mean(RUNS), sem(RUNS))
    assert spread(RUNS, "ci95").value == pytest.approx(np.mean(RUNS) - low)
    assert spread(RUNS).parameters["mean"] == pytest.approx(0.83)
    assert spread(RUNS).n == 3


def test_interval_of_a_std_is_that_of_chi_squared():
    found = spread(RUNS, level=0.9)
    squares = 2 * np.var(RUNS, ddof=1)
    assert found.low == pytest.approx(math.sqrt(squares / chi2.ppf(0.95, 2)))
    assert found.high == pytest.approx(math.sqrt(squares / chi2.ppf(0.05, 2)))


@pytest.mark.parametrize("kind", SPREADS)
def test_one_run_has_no_spread(kind):
    found = spread([0.5], kind)
    assert math.isnan(found.value)
    assert found.method == "cannot tell: one run"


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [([1, math.nan], "std", "not finite"), ([1, 2], "±", "std_population"), ([], "std", "one")],
)
def test_spread_refuses(values, kind, words):
    with pytest.raises(ConfigurationError, match=words):
        spread(values, kind)


def grid(*sizes):
    return [v.ravel() for v in np.meshgrid(*map(np.arange, sizes), indexing="ij")]


def test_crossed_balanced_is_the_textbook():
    rng = np.random.default_rng(0)
    a, b, r = 4, 5, 3
    data, init, _ = grid(a, b, r)
    y = rng.normal(size=len(data)) + data + 0.5 * rng.normal(size=b)[init]
    cube = y.reshape(a, b, r)
    ms_a = b * r * cube.mean((1, 2)).var(ddof=1)
    ms_b = a * r * cube.mean((0, 2)).var(ddof=1)
    cells = cube.mean(2)
    cross = cells - cells.mean(1, keepdims=True) - cells.mean(0) + cells.mean()
    ms_ab = r * (cross**2).sum() / ((a - 1) * (b - 1))
    ms_e = cube.var(axis=2, ddof=1).mean()
    found = variance_components(y, {"data": data, "init": init})
    raw = {name: c.parameters.get("raw") for name, c in found.components.items()}
    assert raw == pytest.approx(
        {
            "data": (ms_a - ms_ab) / (b * r),
            "init": (ms_b - ms_ab) / (a * r),
            "data × init": (ms_ab - ms_e) / r,
            "residual": ms_e,
        }
    )
    assert found.balanced
    assert found.total == pytest.approx(sum(c.value for c in found.components.values()))


def test_nested_balanced_is_the_textbook_however_the_labels_are():
    rng = np.random.default_rng(1)
    data, init, _ = grid(4, 3, 2)
    y = rng.normal(size=24) + 2 * rng.normal(size=4)[data]
    cube = y.reshape(4, 3, 2)
    ms_a = 6 * cube.mean((1, 2)).var(ddof=1)
    ms_b = 2 * cube.mean(2).var(axis=1, ddof=1).mean()
    ms_e = cube.var(axis=2, ddof=1).mean()
    expected = [(ms_a - ms_b) / 6, (ms_b - ms_e) / 2, ms_e]
    repeated = variance_components(y, {"d": data, "i": init}, nested={"i": "d"})
    unique = variance_components(y, {"d": data, "i": 3 * data + init})
    for found in (repeated, unique):
        raw = [found.components[n].parameters["raw"] for n in ("d", "i", "residual")]
        assert raw == pytest.approx(expected)
        assert "d × i" not in found.components


def test_three_crossed_seeds_with_one_run_each():
    data, init, detector = grid(3, 3, 3)
    rng = np.random.default_rng(2)
    found = variance_components(rng.normal(size=27), {"d": data, "i": init, "o": detector})
    assert list(found.components) == ["d", "i", "o", "d × i", "d × o", "i × o", "residual"]
    assert all(math.isfinite(c.low) for c in found.components.values())


def test_negative_estimates_are_zero_and_said():
    # Means of the levels are equal, so that their variance falls short of the residual's share.
    found = variance_components([1, 3, 1, 3, 1, 3], {"seed": [0, 0, 1, 1, 2, 2]})
    assert found.components["seed"].value == 0
    assert found.components["seed"].low == 0
    assert found.components["seed"].parameters["raw"] == pytest.approx(-1.0)
    assert "negative" in found.components["seed"].method
    assert any("negative" in note for note in found.notes)


def test_what_is_confounded_is_said_and_not_computed():
    data = [0, 0, 1, 1, 2, 2]
    y = [1.0, 2, 4, 5, 3, 4]
    found = variance_components(
        y, {"data": data, "init": [5, 5, 6, 6, 7, 7], "run": range(6), "fixed": [1] * 6}
    )
    assert math.isnan(found.components["init"].value)
    assert "together with data" in found.components["init"].method
    assert "residual" in found.components["run"].method
    assert "one level" in found.components["fixed"].method
    assert math.isfinite(found.components["data"].value)
    assert len(found.notes) == 3
    rows = found.to_rows()
    json.dumps(rows)
    assert [r["component"] for r in rows] == ["data", "init", "run", "fixed", "residual"]


def test_no_residual_is_left_out_of_no_component():
    # Two crossed factors with a run a cell: the interaction cannot be told from the residual.
    data, init = grid(3, 4)
    found = variance_components(np.random.default_rng(3).normal(size=12), {"d": data, "i": init})
    assert "d × i" not in found.components
    assert any("one run a combination" in note for note in found.notes)


def test_order_of_runs_and_names_of_levels_do_not_matter():
    rng = np.random.default_rng(4)
    data, init, _ = grid(4, 4, 2)
    keep = rng.random(32) < 0.8
    data, init, y = data[keep], init[keep], rng.normal(size=int(keep.sum()))
    order = rng.permutation(len(y))
    a = variance_components(y, {"d": data, "i": init})
    renamed = {"i": [f"s{v}" for v in init[order]], "d": [-v if v else "x" for v in data[order]]}
    b = variance_components(y[order], renamed)
    assert not a.balanced
    for x, z in (("d", "d"), ("i", "i"), ("d × i", "i × d"), ("residual", "residual")):
        one, two = a.components[x], b.components[z]
        assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


def test_a_single_mean_square_has_the_exact_interval():
    value, low, high = combined(np.array([2.0]), np.array([3.0]), np.array([7.0]), 0.95)
    assert value == 6
    assert low == pytest.approx(7 * 6 / chi2.ppf(0.975, 7))
    assert high == pytest.approx(7 * 6 / chi2.ppf(0.025, 7))


def simulate(reps, a, b, r, sd, nested=False, drop=0.0):
    rng = np.random.default_rng(5)
    data, init, _ = grid(a, b, r)
    hits: dict[str, int] = {}
    for _ in range(reps):
        keep = rng.random(len(data)) >= drop
        first, second, cross, rest = sd
        u = rng.normal(0, second, (a, b)) if nested else np.tile(rng.normal(0, second, b), (a, 1))
        y = rng.normal(0, first, a)[data] + u[data, init] + rng.normal(0, cross, (a, b))[data, init]
        y += rng.normal(0, rest, len(data))
        found = variance_components(
            y[keep], {"d": data[keep], "i": init[keep]}, nested={"i": "d"} if nested else None
        )
        truth = dict(zip(("d", "i", "d × i", "residual"), (s**2 for s in sd), strict=True))
        for name, c in found.components.items():
            hits[name] = hits.get(name, 0) + (c.low <= truth[name] <= c.high)
    return {name: h / reps for name, h in hits.items()}


def test_coverage_short():
    assert min(simulate(200, 5, 5, 2, (1, 0.5, 0.5, 0.7)).values()) > 0.86


@pytest.mark.slow
@pytest.mark.parametrize(
    ("a", "b", "r", "sd", "nested", "drop"),
    [
        (5, 5, 3, (1, 0.5, 0.5, 0.7), False, 0.0),
        (3, 3, 3, (1, 1, 1, 1), False, 0.0),
        (5, 5, 3, (0, 0.5, 0.5, 0.7), False, 0.0),
        (5, 4, 3, (1, 0.5, 0, 0.7), True, 0.0),
        (6, 5, 3, (1, 0.5, 0.5, 0.7), False, 0.2),
        (6, 5, 3, (1, 0.5, 0, 0.7), True, 0.3),
    ],
)
def test_coverage(a, b, r, sd, nested, drop):
    found = simulate(2_000, a, b, r, sd, nested, drop)
    assert min(found.values()) > 0.92, found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"values": [1, 2], "factors": {"a": [1]}}, "2 runs"),
        ({"values": [1, math.inf], "factors": {"a": [1, 2]}}, "not finite"),
        ({"values": [1, 2], "factors": {"a": [1, 2]}, "nested": {"b": "a"}}, "the factors are a"),
    ],
)
def test_components_refuse(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        variance_components(**arguments)
