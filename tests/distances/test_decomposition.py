"""The decomposition of a change in loss: its identity, weights, known truths and refusals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from shiftbench.distances.decomposition import TERMS, disde
from shiftbench.distances.measured import measure
from shiftbench.distances.nuisance import crossfit_ridge
from shiftbench.distances.overlap import domain_of
from shiftbench.distances.samples import two_samples
from shiftbench.errors import ConfigurationError


def _draw(seed, m, n, delta=0.0, change=0.0, per=1):
    """Losses sin(x₁) + noise, `change` more in the target; its first mean differs by `delta`."""
    rng = np.random.default_rng(seed)

    def side(k, of):
        codes = np.arange(k) // per
        c = codes.max() + 1
        x, e = rng.normal(size=(k, 2)), rng.normal(size=k)
        if per > 1:
            x = np.sqrt(0.5) * (x + rng.normal(size=(c, 2))[codes])
            e = np.sqrt(0.5) * (e + rng.normal(size=c)[codes])
        x[:, 0] += of * delta
        return x, np.sin(x[:, 0]) + 0.5 * e + of * change, codes

    (x, a, i), (z, b, j) = side(m, 0), side(n, 1)
    return two_samples(x, z, takes="features and losses", losses=(a, b),
                       clusters=(i, j + i.max() + 1))  # fmt: skip


def _truth(delta, change):
    x = np.linspace(-9, 11, 40001)
    p, q = norm.pdf(x), norm.pdf(x - delta)
    at_p, at_q = np.average(np.sin(x), weights=p), np.average(np.sin(x), weights=q) + change
    shared = np.average(np.sin(x), weights=p * q / (p + q))
    return dict(zip(TERMS, (shared - at_p, change, at_q - shared - change, at_q - at_p),
                    strict=True))  # fmt: skip


def _run(s, seed=0, flips=99):
    return disde(s, n_permutations=flips, level=0.95, seed=seed)


def test_terms_add_up_and_the_value_is_their_middle() -> None:
    s = _draw(0, 60, 45, delta=1, change=0.5, per=3)
    found = _run(s)
    parts = found.parts
    assert tuple(parts) == TERMS
    assert sum(parts[t].value for t in TERMS[:3]) == pytest.approx(parts["total"].value)
    assert parts["total"].value == pytest.approx(s.losses[60:].mean() - s.losses[:60].mean())
    assert (found.value, found.low, found.high) == (
        parts["y_given_x"].value, parts["y_given_x"].low, parts["y_given_x"].high
    )  # fmt: skip
    json.dumps(dict(found.parameters), allow_nan=False)


def test_the_value_is_its_orthogonal_score_by_a_loop() -> None:
    s = _draw(1, 40, 30, delta=0.7)
    domain, found = domain_of(s, 0), _run(s)
    wanted = []
    for side in (s.is_source, ~s.is_source):
        mu = crossfit_ridge(domain.basis, s.losses, domain.weights, domain.fold, side).values
        over = under = 0.0
        for i in range(70):
            pi, weight = domain.probability[i], 70 / (2 * (40 if i < 40 else 30))
            xi = (i >= 40) - pi
            rest = (pi if i < 40 else 1 - pi) * (s.losses[i] - mu[i]) if side[i] else 0.0
            over, under = over + weight * (xi**2 * mu[i] + rest), under + weight * xi**2
        wanted.append(over / under)
    assert found.value == pytest.approx(wanted[1] - wanted[0])


def test_near_the_papers_weighted_means() -> None:
    s = _draw(2, 2000, 2000, delta=1, change=0.3)
    domain, found = domain_of(s, 0), _run(s, flips=0)
    pi, loss, n = domain.probability, s.losses, 2000
    source = np.average(loss[:n], weights=pi[:n])
    target = np.average(loss[n:], weights=1 - pi[n:])
    assert found.parts["x_source"].value == pytest.approx(source - loss[:n].mean(), abs=0.05)
    assert found.value == pytest.approx(target - source, abs=0.05)
    assert {t: found.parts[t].value for t in TERMS} == pytest.approx(_truth(1, 0.3), abs=0.08)
    x = s.features[:, 0]
    assert np.abs(pi - 1 / (1 + np.exp(0.5 - x))).mean() < 0.03  # calibrated


def test_swapping_the_sides_changes_the_signs() -> None:
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, 400, 2))
    a, b = rng.random(400), rng.random(400) + 0.3
    one, two = measure("disde", x, z, losses=(a, b)), measure("disde", z, x, losses=(b, a))
    assert one.value == pytest.approx(-two.value, abs=0.03)
    assert one.value > 0 > two.value
    assert one.p_value <= 0.01
    assert two.p_value <= 0.01


def test_refuses_without_overlap_but_tells_the_total() -> None:
    found = _run(_draw(4, 80, 80, delta=9))
    assert math.isnan(found.value)
    assert found.p_value is None
    assert "no overlap" in found.method
    assert math.isnan(found.parts["x_source"].value)
    total = found.parts["total"]
    assert total.low < total.value < total.high


def test_one_cluster_and_constant_losses() -> None:
    x = np.random.default_rng(5).normal(size=(60, 2))
    found = measure("disde", x[:30], x[30:], losses=(x[:30, 0], x[30:, 0]),
                    clusters=(["a"] * 30, list(range(30))))  # fmt: skip
    assert math.isnan(found.value)
    assert "one cluster" in found.method
    same = measure("disde", x[:30], x[30:], losses=(np.ones(30), np.ones(30)))
    assert same.value == pytest.approx(0, abs=1e-9)
    assert same.p_value == 1.0
    with pytest.raises(ConfigurationError, match="give losses"):
        measure("disde", x[:30], x[30:])


def test_order_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    x, z = rng.normal(size=(2, 40, 2))
    a, b = rng.random((2, 40))
    i, j = rng.permutation(40), rng.permutation(40)
    one = measure("disde", x, z, losses=(a, b))
    two = measure("disde", x[i], z[j], losses=(a[i], b[j]))
    assert (one.value, one.low, one.p_value) == (two.value, two.low, two.p_value)


def _missed(cell, runs, delta, change):
    truth = _truth(delta, change)
    found = [_run(_draw([i, 7], delta=delta, change=change, **cell), i) for i in range(runs)]
    missed = {t: sum(not f.parts[t].low <= truth[t] <= f.parts[t].high for f in found)
              for t in TERMS}  # fmt: skip
    return missed, sum(f.p_value <= 0.05 for f in found)


def _band(runs, cells, rate):
    return int(binom.ppf(0.999 ** (1 / cells), runs, rate))


def test_coverage_and_type_one_error() -> None:
    missed, rejected = _missed({"m": 50, "n": 70}, 30, 1.0, 0.0)
    assert max(missed.values()) <= _band(30, 5, 0.07)
    assert rejected <= _band(30, 5, 0.05)


CELLS = [{"m": 50, "n": 50}, {"m": 200, "n": 200}, {"m": 50, "n": 200},
         {"m": 160, "n": 160, "per": 8}]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("delta", "change"), [(0.0, 0.0), (0.3, 0.3), (1.0, 0.0), (1.5, 0.5)])
def test_coverage_and_type_one_error_slow(cell: dict, delta: float, change: float) -> None:
    missed, rejected = _missed(cell, 100, delta, change)
    assert max(missed.values()) <= _band(100, 64, 0.07)
    if not change:
        assert rejected <= _band(100, 8, 0.05)
