"""Simulated tables: rows follow the model, and the stated truth is what large samples show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError
from shiftbench.schema import Source
from shiftbench.sources import SimulatedTables
from shiftbench.sources._table_truth import CellModel
from shiftbench.sources.simulated_tables import simulated_truth

# δ, γ, ω, β, σ, U kept: no rest, no first coefficient, many features, U out and in.
CELLS = [
    (0.0, 0.0, 0.0, (1.0, 0.5), 1.0, False),
    (1.0, 2.0, 0.0, (1.0, 0.5), 1.0, False),
    (1.0, 0.0, 1.5, (1.0, 0.5), 1.0, False),
    (0.7, -1.0, 2.0, (0.5, 1.0, -2.0, 0.3), 0.7, False),
    (0.7, -1.0, 2.0, (0.5, 1.0, -2.0, 0.3), 0.7, True),
    (1.0, 2.0, 1.5, (1.5,), 1.0, False),
    (1.0, 2.0, 0.0, (0.0,), 1.0, False),
    (-0.5, 3.0, 0.0, (1.5,), 2.0, True),
]


@pytest.mark.parametrize("cell", CELLS)
def test_the_truth_is_that_of_a_large_simulation(cell) -> None:
    delta, gamma, omitted, beta, sigma, keep = cell
    truth = simulated_truth(delta, gamma, omitted, beta=beta, sigma=sigma, keep_omitted=keep)
    assert truth["error"] < 1e-7
    model = CellModel(*cell)
    n = 400_000
    rng = np.random.default_rng(0)
    found = {}
    for group, name in enumerate(("source", "target")):
        # The definition, one random number after the other, without the class's own formulas.
        u = rng.standard_normal(n)
        x = delta * group + sigma * rng.standard_normal((n, len(beta)))
        x[:, 0] += omitted * u
        yes = rng.random(n) < 1 / (
            1 + np.exp(-(x @ np.array(beta) + gamma * group * x[:, 0] + omitted * u))
        )
        rest = x[:, 1:] @ np.array(beta[1:]) + (omitted * u if keep else 0)
        p = [model.probability(x[:, 0], rest, concept) for concept in (0, 1)]
        # P(y|x) itself: calibrated wherever it is cut.
        for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 1.0)):
            inside = (p[group] >= low) & (p[group] < high)
            if inside.sum() > 1000:
                off = (yes[inside] - p[group][inside]).mean()
                assert abs(off) < 5 * 0.5 / math.sqrt(inside.sum())
        found[f"rate_{name}"] = yes.mean()
        found[f"disagreement_{name}"] = np.abs(p[1] - p[0]).mean()
        found[f"bayes_{name}"] = ((p[group] >= 0.5) == yes).mean()
        if group:
            found["transferred"] = ((p[0] >= 0.5) == yes).mean()
            on_target = np.maximum(p[0], 1 - p[0]).mean()
    found["loss_x"] = found["bayes_source"] - on_target
    found["loss_y_given_x"] = on_target - found["transferred"]
    for key, value in found.items():
        assert truth[key] == pytest.approx(value, abs=5 * 0.5 * math.sqrt(2 / n)), key


def thousandths(low: int, high: int) -> st.SearchStrategy[float]:
    """A rule that all but ties everywhere has edges that no quadrature finds; `error` says so."""
    return st.integers(low * 1000, high * 1000).map(lambda k: k / 1000)


@given(
    thousandths(-2, 2),
    thousandths(-3, 3),
    thousandths(-2, 2),
    st.lists(thousandths(-2, 2), min_size=1, max_size=3),
    st.floats(0.3, 2),
    st.booleans(),
)
@settings(max_examples=40)
def test_what_the_truth_must_fulfil(delta, gamma, omitted, beta, sigma, keep) -> None:
    truth = simulated_truth(delta, gamma, omitted, beta=beta, sigma=sigma, keep_omitted=keep)
    tiny = 1e-6
    assert truth["error"] < tiny
    assert truth["loss"] == pytest.approx(truth["loss_x"] + truth["loss_y_given_x"], abs=1e-12)
    # No rule is better on the target than the target's own.
    assert truth["transferred"] <= truth["bayes_target"] + tiny
    assert truth["bayes_target"] - truth["transferred"] <= 2 * truth["disagreement_target"] + tiny
    for name in ("source", "target"):
        assert 0 <= truth[f"disagreement_{name}"] <= 1
        rate = truth[f"rate_{name}"]
        assert max(rate, 1 - rate) - tiny <= truth[f"bayes_{name}"] <= 1 + tiny
    # Pinsker's inequality.
    assert truth["total_variation"] <= math.sqrt(truth["kl"] / 2) + tiny


def test_an_error_that_stays_large_is_told() -> None:
    truth = simulated_truth(0.0, 1.0, 1.192092896e-07, beta=(0.0,))
    finest = simulated_truth(0.0, 1.0, 0.0, beta=(0.0,))
    assert 1e-6 < truth["error"] < 1e-3
    for key in ("rate_source", "rate_target", "disagreement_target", "bayes_target"):
        assert abs(truth[key] - finest[key]) <= 2 * truth["error"], key


def test_each_knob_moves_its_own_part_and_more_of_it_more() -> None:
    covariate = [simulated_truth(d, 0.0) for d in (0.0, 0.5, 1.0, 2.0)]
    assert [t["disagreement_target"] for t in covariate] == [0.0] * 4
    assert np.all(np.diff([t["kl"] for t in covariate]) > 0)
    concept = [simulated_truth(0.5, g) for g in (0.0, 0.5, 1.0, 2.0)]
    assert len({t["kl"] for t in concept}) == 1
    assert np.all(np.diff([t["disagreement_target"] for t in concept]) > 0)
    # Under a shift of P(x), what is left out changes P(y|x); kept, it does not.
    hidden = [simulated_truth(1.0, 0.0, w) for w in (0.0, 0.5, 1.0)]
    assert np.all(np.diff([t["disagreement_target"] for t in hidden]) > 0.01)
    kept = simulated_truth(1.0, 0.0, 1.0, keep_omitted=True)
    assert kept["disagreement_target"] == 0.0


def test_closed_forms() -> None:
    truth = simulated_truth(1.0, 0.0, beta=(1.0, 1.0, 1.0), sigma=2.0)
    assert truth["smd"] == truth["smd_first"] == 0.5
    assert truth["mahalanobis"] == pytest.approx(math.sqrt(3) / 2)
    assert truth["kl"] == pytest.approx(3 / 8)
    assert truth["wasserstein2"] == pytest.approx(math.sqrt(3))
    # Φ(x) = (1 + erf(x / √2)) / 2
    half = truth["mahalanobis"] / 2
    assert truth["total_variation"] == pytest.approx(math.erf(half / math.sqrt(2)))


def test_rows_follow_the_model() -> None:
    source = SimulatedTables(delta=(0.8,), gamma=(1.5,), omitted=(0.5,), n=200_000, p=0.3)
    assert isinstance(source, Source)
    found = source.scan()
    table = found.examples
    ids = table["example_id"].to_pylist()
    assert ids == sorted(set(ids))
    assert table["cluster_id"].to_pylist() == ids
    target = np.array(table["group"].to_pylist()) == "target"
    x = np.stack([table[c].to_numpy() for c in found.columns], axis=1)
    yes = np.array(table["label"].to_pylist()) == "1"
    truth = found.notes["truth"]["delta=0.8 gamma=1.5 omitted=0.5"]
    assert target.mean() == pytest.approx(0.3, abs=0.006)
    moved = x[target].mean(axis=0) - x[~target].mean(axis=0)
    assert moved == pytest.approx([0.8, 0.8], abs=0.03)
    sd = x[~target].std(axis=0)
    assert sd == pytest.approx([math.hypot(1, 0.5), 1.0], abs=0.02)
    assert 0.8 / sd[0] == pytest.approx(truth["smd_first"], abs=0.02)
    for rows, name in ((~target, "source"), (target, "target")):
        assert yes[rows].mean() == pytest.approx(truth[f"rate_{name}"], abs=0.01)


def test_a_cell_depends_on_no_other() -> None:
    few = SimulatedTables(delta=(0.0, 1.0), gamma=(0.5,), n=20).scan().examples
    many = SimulatedTables(delta=(-1, 0.5, 1.0, 0.0), gamma=(0.5, 2), n=20).scan().examples
    kept = set(few["example_id"].to_pylist())
    assert [r for r in many.to_pylist() if r["example_id"] in kept] == few.to_pylist()
    ids = many["example_id"].to_pylist()
    assert ids == sorted(ids)
    other = SimulatedTables(delta=(0.0, 1.0), gamma=(0.5,), n=20, seed=1).scan()
    assert other.examples["x1"].to_pylist() != few["x1"].to_pylist()


def test_the_fingerprint_heeds_every_option() -> None:
    made = [
        SimulatedTables(n=10),
        SimulatedTables(n=12),
        SimulatedTables(n=10, p=0.4),
        SimulatedTables(n=10, sigma=2),
        SimulatedTables(n=10, seed=1),
        SimulatedTables(n=10, keep_omitted=True),
    ]
    assert len({s.scan().fingerprint for s in made}) == len(made)
    assert made[-1].scan().columns == ("x1", "x2", "u")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delta": ()}, "delta is empty"),
        ({"delta": (0.0, -0.0)}, "a number twice"),
        ({"gamma": (math.inf,)}, "not finite"),
        ({"sigma": 0.0}, "above 0"),
        ({"beta": ()}, "beta is empty"),
        ({"p": 1.0}, "p between 0 and 1"),
        ({"n": 1}, "n of 2 and above"),
        ({"n": 10**8}, "rows in all"),
    ],
)
def test_options_that_cannot_be_are_told(options, said) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SimulatedTables(**options)


def test_a_group_without_rows_is_told() -> None:
    with pytest.raises(ConfigurationError, match="all are of one group"):
        SimulatedTables(n=3, p=0.0001).scan()
    with pytest.raises(ConfigurationError, match="source of images"):
        SimulatedTables().reader()
