"""Drifts: their curves against the definitions, and how closely a stream follows them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.mixture.drifts import Drift, doses_at, from_target
from shiftbench.errors import ConfigurationError

N = 200


def literal(drift: Drift, i: int) -> float:
    u = (i + 0.5) / N
    if drift.kind == "recurring":
        return drift.peak * (u / drift.period % 1 >= 0.5)
    total, sign = 0.0, 1
    for p in drift.change_points:
        if drift.kind == "sudden":
            total += sign * (u >= p)
        elif drift.ramp == "sigmoid":
            total += sign / (1 + math.exp(-4 * (u - p) / drift.width))
        else:
            start = p - drift.width / 2
            total += sign * min(max((u - start) / drift.width, 0), 1)
        sign = -sign
    return drift.peak * min(max(total, 0), 1)


@pytest.mark.parametrize(
    "drift",
    [
        Drift("sudden"),
        Drift("sudden", change_points=(0.25, 0.5, 0.9), peak=0.7),
        Drift("gradual", width=0.2),
        Drift("gradual", width=0.2, ramp="linear"),
        Drift("gradual", change_points=(0.3, 0.7), width=0.1, ramp="linear", peak=0.4),
        Drift("recurring", period=0.2),
        Drift("recurring", period=1.0, peak=0.25),
    ],
)
def test_curves_are_as_defined(drift: Drift) -> None:
    np.testing.assert_allclose(doses_at(drift, N), [literal(drift, i) for i in range(N)])


def test_a_narrow_gradual_drift_is_sudden() -> None:
    for ramp in ("linear", "sigmoid"):
        narrow = doses_at(Drift("gradual", width=1e-6, ramp=ramp), N)
        np.testing.assert_allclose(narrow, doses_at(Drift("sudden"), N), atol=1e-9)


def test_slopes_at_the_change_point_are_alike() -> None:
    n = 100_000
    found = [doses_at(Drift("gradual", width=0.3, ramp=r), n) for r in ("linear", "sigmoid")]
    slopes = [(f[n // 2] - f[n // 2 - 1]) * n for f in found]
    np.testing.assert_allclose(slopes, 1 / 0.3, rtol=1e-3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_the_count_so_far_follows_the_doses(doses: list[float]) -> None:
    made = from_target(np.array(doses))
    off = np.cumsum(made) - np.cumsum(doses)
    assert np.abs(off).max() <= 0.5 + 1e-6


def test_no_peak_is_no_drift() -> None:
    for kind in ("sudden", "gradual", "recurring"):
        assert not from_target(doses_at(Drift(kind, peak=0.0), N)).any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"change_points": ()}, "change_points"),
        ({"change_points": (0.5, 0.4)}, "rising"),
        ({"change_points": (0.0,)}, "between 0 and 1"),
        ({"width": 0.0}, "above 0"),
        ({"period": 1.5}, "up to 1"),
        ({"peak": -0.1}, "0 to 1"),
        ({"peak": float("nan")}, "0 to 1"),
    ],
)
def test_bad_input(options: dict, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Drift("gradual", **options)
