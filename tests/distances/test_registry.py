"""Every registered distance, found by reflection: what all of them promise."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest

import shiftbench as sb
from shiftbench.distances.measured import distance_named, measure, options_of
from shiftbench.distances.shift import TAKES, Distance, Shift
from shiftbench.errors import ConfigurationError
from shiftbench.registry import DISTANCES
from shiftbench.schema import SHIFTS

NAMES = sorted(DISTANCES)
FEATURES = [n for n in NAMES if distance_named(n).takes == "features"]
N = 60


def data(seed: int = 0, shift: float = 0.8, m: int = N, n: int = N, d: int = 3) -> dict[str, Any]:
    """Two samples with labels, losses, ids and clusters of two."""
    rng = np.random.default_rng(seed)
    sides = []
    for side, rows, mean in (("a", m, 0.0), ("b", n, shift)):
        x = rng.normal(size=(rows, d)) + mean
        y = (rng.random(rows) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
        sides.append(
            {
                "x": x,
                "y": np.array(["no", "yes"])[y],
                "losses": (rng.random(rows) < 0.3).astype(float),
                "ids": [f"{side}{i}" for i in range(rows)],
                "clusters": [f"{side}{i // 2}" for i in range(rows)],
            }
        )
    return {k: (sides[0][k], sides[1][k]) for k in sides[0]}


def call(name: str, given: dict[str, Any], **more: Any) -> Shift:
    takes = distance_named(name).takes
    pair = given["y"] if takes == "labels" else given["x"]
    extra: dict[str, Any] = {"n_permutations": 99, "seed": 3, **more}
    if takes == "features and labels":
        extra.setdefault("labels", given["y"])
    if takes == "features and losses":
        extra.setdefault("losses", given["losses"])
    return measure(name, *pair, **extra)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_it_is_well_formed(name: str) -> None:
    found = distance_named(name)
    assert isinstance(found, Distance)
    assert found.name == name
    assert found.takes in TAKES
    assert found.kind in SHIFTS
    assert found.bounds[0] <= found.same <= found.bounds[1]
    assert found.summary
    assert not found.summary.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_complete_and_can_be_stored(name: str) -> None:
    given = data()
    found = call(name, given, clusters=given["clusters"], ids=given["ids"])
    assert (found.distance, found.kind, found.seed) == (name, distance_named(name).kind, 3)
    assert (found.n_source, found.n_target) == (N, N)
    assert (found.n_clusters_source, found.n_clusters_target) == (N // 2, N // 2)
    assert found.method
    assert found.level == 0.95
    json.dumps(found.parameters, allow_nan=False)
    for part in found.parts.values():
        json.dumps(part.parameters, allow_nan=False)
    if not math.isnan(found.value) and not math.isnan(found.low):
        assert found.low <= found.high
    if found.p_value is not None:
        assert 0 < found.p_value <= 1
    pickle.loads(pickle.dumps(found))


@pytest.mark.parametrize("name", NAMES)
def test_neither_order_nor_names_of_the_examples_matter(name: str) -> None:
    given = data()
    rng = np.random.default_rng(1)
    orders = [rng.permutation(N), rng.permutation(N)]
    turned = {
        k: tuple(
            v[o] if isinstance(v, np.ndarray) else [v[i] for i in o]
            for v, o in zip(pair, orders, strict=True)
        )
        for k, pair in given.items()
    }
    turned["clusters"] = tuple([f"other {c}" for c in side] for side in turned["clusters"])
    a = call(name, given, clusters=given["clusters"])
    b = call(name, turned, clusters=turned["clusters"])
    np.testing.assert_allclose(
        [a.value, a.low, a.high], [b.value, b.low, b.high], rtol=1e-9, atol=1e-12
    )
    assert a.p_value == b.p_value


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_result(name: str) -> None:
    assert repr(call(name, data())) == repr(call(name, data()))


@pytest.mark.parametrize("name", NAMES)
def test_a_symmetric_distance_has_one_value(name: str) -> None:
    if not distance_named(name).symmetric:
        pytest.skip("it is not symmetric, and says so")
    given = data()
    options = {"bandwidth": 1.5} if "bandwidth" in options_of(distance_named(name)) else {}
    there = call(name, given, n_permutations=0, **options)
    back = call(name, {k: v[::-1] for k, v in given.items()}, n_permutations=0, **options)
    if name == "c2st":  # folds are drawn anew: near, not equal
        assert abs(there.value - back.value) < 0.1
    else:
        assert there.value == pytest.approx(back.value, rel=1e-6, abs=0.02)


@pytest.mark.parametrize("name", [n for n in NAMES if distance_named(n).tested])
def test_permutations_may_be_none(name: str) -> None:
    found = call(name, data(), n_permutations=0)
    assert not math.isnan(found.value)
    if name != "gcm":  # whose test needs none
        assert found.p_value is None


@pytest.mark.parametrize("name", NAMES)
def test_shared_examples_are_left_out_and_there_is_no_p_value(name: str) -> None:
    given = data()
    both = {k: list(v) for k, v in given.items()}
    for k, (a, b) in given.items():
        joined = np.concatenate([b[:10], a]) if isinstance(a, np.ndarray) else [*b[:10], *a]
        both[k] = (joined, b)
    found = call(name, both, ids=both["ids"])
    apart = call(name, {k: (a, b[10:]) for k, (a, b) in given.items()})
    assert found.p_value is None
    assert found.parameters["shared_examples"] == 10
    assert (found.n_source, found.n_target) == (N, N - 10)
    assert found.value == pytest.approx(apart.value)


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_told(name: str) -> None:
    given = data()
    with pytest.raises(ConfigurationError, match=f"{name} has no option 'bandwith'"):
        call(name, given, bandwith=3)
    with pytest.raises(ConfigurationError, match="level is 2"):
        call(name, given, level=2)
    with pytest.raises(ConfigurationError, match="n_permutations is -1"):
        call(name, given, n_permutations=-1)
    with pytest.raises(ConfigurationError, match=r"at least \d+ are needed"):
        call(name, {k: (a[:1], b) for k, (a, b) in given.items()})
    if distance_named(name).takes == "labels":
        with pytest.raises(ConfigurationError, match="row 1 of the target is missing"):
            measure(name, ["a", "b"], ["a", None])
        return
    broken = data()
    broken["x"][1][4, 2] = np.nan
    with pytest.raises(ConfigurationError, match=r"target has 1 values .* row 4, column 2"):
        call(name, broken)
    with pytest.raises(ConfigurationError, match="3 features and the target 2"):
        call(name, {**given, "x": (given["x"][0], given["x"][1][:, :2])})
    with pytest.raises(ConfigurationError, match=r"60 examples and 59 clusters"):
        call(name, given, clusters=(given["clusters"][0][:-1], given["clusters"][1]))


@pytest.mark.parametrize(
    "name", [n for n in NAMES if distance_named(n).takes.startswith("features and")]
)
def test_what_a_conditional_distance_needs_is_asked_for(name: str) -> None:
    given = data()
    what = distance_named(name).takes.removeprefix("features and ")
    with pytest.raises(ConfigurationError, match=f"this distance compares {what} given features"):
        measure(name, *given["x"])


def test_an_unknown_name_lists_all() -> None:
    with pytest.raises(ConfigurationError, match="no distance is called 'mdm'") as told:
        sb.distances.measure("mdm", [0.0, 1.0], [0.0, 1.0])
    assert all(name in str(told.value) for name in NAMES)


@pytest.mark.parametrize("name", FEATURES)
def test_constant_features_give_a_value(name: str) -> None:
    given = data()
    for x in given["x"]:
        x[:, 1] = 7.0
    found = call(name, given)
    assert not math.isnan(found.value)
    same = {k: (np.full_like(a, 2.0), np.full_like(b, 2.0)) for k, (a, b) in given.items()
            if k == "x"}  # fmt: skip
    nothing = call(name, {**given, **same})
    assert nothing.value == pytest.approx(distance_named(name).same, abs=1e-9)
    assert nothing.p_value in (None, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_one_cluster_on_a_side_gives_no_interval_and_no_p_value(name: str) -> None:
    given = data()
    clusters = (["only one"] * N, given["clusters"][1])
    said = ""
    try:
        found = call(name, given, clusters=clusters)
    except ConfigurationError as error:
        said = str(error)
    if said:
        assert "the source is of 1 cluster" in said
        return
    assert (found.n_clusters_source, found.p_value) == (1, None)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert "cluster" in found.method


@pytest.mark.parametrize("name", [n for n in NAMES if distance_named(n).tested])
def test_more_permutations_than_there_are_go_through_all(name: str) -> None:
    if distance_named(name).takes != "features":
        pytest.skip("small samples are refused, or labels")
    given = data(m=4, n=4, shift=9.0)
    if distance_named(name).fewest > 4:
        pytest.skip("it needs more examples")
    found = call(name, given, n_permutations=10_000)
    assert found.p_value is not None
    smallest = 1 / math.comb(8, 4)
    assert found.p_value >= smallest - 1e-12
    # A p-value is a count of the 70 arrangements.
    assert found.p_value * 70 == pytest.approx(round(found.p_value * 70), abs=1e-9)
