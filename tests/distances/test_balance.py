from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency, mannwhitneyu, ncx2

from shiftbench.distances import balance_table as module
from shiftbench.distances.balance_intervals import (
    effective_n,
    mean_difference_interval,
    v_interval,
)
from shiftbench.distances.balance_table import VERDICTS, balance, cramers_v, default_columns
from shiftbench.distances.boundary import nonnegative_interval
from shiftbench.errors import ConfigurationError
from shiftbench.schema import BALANCE, ClassLabel, Value, arrow_schema


def audit(source, target, **options):
    given = {"seed": 0, "config": "c", "source_name": "train", "target_name": "test"} | options
    return balance(source, target, **given)


def split(prefix, clusters=None, **columns):
    n = len(next(iter(columns.values())))
    ids = [f"{prefix}{i:05}" for i in range(n)]
    owner = ids if clusters is None else [f"{prefix}{c}" for c in clusters]
    return pa.table({"example_id": ids, "cluster_id": owner, **columns})


def by_column(table):
    return {(r["column"], r["statistic"]): r for r in table.to_pylist()}


SMD, V = "standardised_mean_difference", "cramers_v"

# --- against the definitions --------------------------------------------------------------------


def test_numbers_against_the_definition():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 80).round(1), rng.normal(0.4, 2, 60).round(1)
    row = by_column(audit(split("a", x=a), split("b", x=b)))["x", SMD]
    assert row["value"] == pytest.approx((b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2))
    area = mannwhitneyu(b, a).statistic / (len(a) * len(b))
    assert row["auc"] == pytest.approx(max(area, 1 - area))
    swapped = by_column(audit(split("b", x=b), split("a", x=a)))["x", SMD]
    assert swapped["value"] == pytest.approx(-row["value"])
    assert swapped["auc"] == pytest.approx(row["auc"])


def test_levels_against_scipy_and_the_correction():
    rng = np.random.default_rng(1)
    a = rng.choice(list("uvwx"), 120, p=[0.4, 0.3, 0.2, 0.1])
    b = rng.choice(list("uvwx"), 90, p=[0.2, 0.2, 0.3, 0.3])
    counts = np.array([[(x == k).sum() for k in "uvwx"] for x in (a, b)])
    n = counts.sum()
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    corrected = max(0, phi2 - 3 / (n - 1))
    rows, columns = 2 - 1 / (n - 1), 4 - 9 / (n - 1)
    row = by_column(audit(split("a", x=a), split("b", x=b)))["x", V]
    assert row["value"] == pytest.approx(np.sqrt(corrected / (min(rows, columns) - 1)))
    assert cramers_v(phi2, int(n), 4) == pytest.approx(row["value"])


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(2, 12))
def test_v_is_a_fraction(seed, n, k):
    counts = np.random.default_rng(seed).multinomial(n, np.full(2 * k, 0.5 / k)).reshape(2, k)
    counts = counts[:, counts.sum(axis=0) > 0]
    if (counts.sum(axis=1) == 0).any() or counts.shape[1] < 2:
        return
    phi2 = chi2_contingency(counts, correction=False).statistic / n
    assert 0 <= cramers_v(phi2, n, counts.shape[1]) <= 1


def test_p_value_against_all_relabelings():
    """Six against six clusters of unequal size: all 924 splits can be listed."""
    from itertools import combinations

    rng = np.random.default_rng(3)
    sizes = [1, 1, 2, 3, 5, 8, 1, 2, 2, 4, 4, 9]
    values = [rng.normal(c % 4, 1, n) for c, n in enumerate(sizes)]
    everything = list(range(12))

    def difference(chosen):
        a = np.concatenate([values[c] for c in everything if c in chosen])
        b = np.concatenate([values[c] for c in everything if c not in chosen])
        return abs(b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2)

    all_of_them = np.array([difference(set(k)) for k in combinations(everything, 6)])
    exact = (all_of_them >= difference(set(range(6))) - 1e-12).mean()
    owners = np.repeat(everything, sizes)
    x = np.concatenate(values)
    table = pa.table(
        {
            "example_id": [f"{i}" for i in range(len(x))],
            "cluster_id": [f"{c}" for c in owners],
            "x": x,
        }
    )
    first = pa.array(owners < 6)
    found = by_column(
        audit(table.filter(first), table.filter(pa.compute.invert(first)), n_permutations=20_000)
    )
    assert found["x", SMD]["p_value"] == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 20_000))


# --- invariances --------------------------------------------------------------------------------


def some(rng, prefix, n=60, mixed=False):
    owner = rng.integers(0, n // 3, n)
    names = [f"{'' if mixed and c < 4 else prefix}{c}" for c in owner]
    return pa.table(
        {
            "example_id": [f"{prefix}{i:03}" for i in range(n)],
            "cluster_id": names,
            "x": pa.array([None if v > 1.5 else v for v in rng.normal(size=n)]),
            "k": pa.array([f"k{v}" for v in rng.integers(0, 3, n)]),
            "tags": [[t for t in "abc" if rng.random() < 0.4] for _ in range(n)],
            "flag": rng.random(n) < 0.3,
        }
    )


@pytest.mark.parametrize("mixed", [False, True])
def test_row_order_changes_nothing(mixed):
    rng = np.random.default_rng(5)
    a, b = some(rng, "a", mixed=mixed), some(rng, "b", mixed=mixed)
    here = audit(a, b)
    there = audit(a.take(rng.permutation(60)), b.take(rng.permutation(60)))
    assert here.equals(there)
    assert here.schema == BALANCE
    assert not here.equals(audit(a, b, seed=1))


def test_permutations_are_shared_by_the_columns():
    rng = np.random.default_rng(6)
    a, b = some(rng, "a"), some(rng, "b")
    alone = audit(a, b, columns=["k"]).to_pylist()
    together = audit(a, b, columns=["x", "k"]).to_pylist()
    assert alone[0] in together
    twice = audit(a.append_column("y", a["x"]), b.append_column("y", b["x"]), columns=["x", "y"])
    x, y = (by_column(twice)[name, SMD] for name in "xy")
    assert x["p_value"] == y["p_value"]


def test_scale_and_shift_change_nothing():
    rng = np.random.default_rng(7)
    a, b = rng.normal(0, 1, 50), rng.normal(0.5, 1, 50)
    here = by_column(audit(split("a", x=a), split("b", x=b)))["x", SMD]
    far = by_column(audit(split("a", x=a * 1e6 + 1e9), split("b", x=b * 1e6 + 1e9)))["x", SMD]
    assert far["value"] == pytest.approx(here["value"], rel=1e-6)
    assert far["p_value"] == here["p_value"]


# --- verdicts -----------------------------------------------------------------------------------


def test_a_column_that_gives_the_split_away():
    rng = np.random.default_rng(8)
    n = 100
    a = split(
        "a", x=rng.normal(0, 1, n), k=["ward 1"] * n, same=["x"] * n, flag=rng.random(n) < 0.5
    )
    b = split(
        "b", x=rng.normal(3, 1, n), k=["ward 2"] * n, same=["x"] * n, flag=rng.random(n) < 0.5
    )
    found = by_column(audit(a, b))
    assert found["x", SMD]["verdict"] == "predicts the split"
    assert found["x", V]["verdict"] == "predicts the split"
    assert found["k", V]["verdict"] == "predicts the split"
    assert found["k", V]["auc"] == 1.0
    assert found["same", V]["verdict"] == "constant"
    assert found["flag", V]["verdict"] == "balanced"


def test_a_difference_that_does_not_predict():
    rng = np.random.default_rng(9)
    a, b = split("a", x=rng.normal(0, 1, 300)), split("b", x=rng.normal(0.5, 1, 300))
    assert by_column(audit(a, b))["x", SMD]["verdict"] == "differs"


def test_equal_means_and_another_shape():
    rng = np.random.default_rng(10)
    a, b = split("a", x=rng.normal(0, 1, 300)), split("b", x=rng.choice([-4.0, 4.0], 300))
    found = by_column(audit(a, b))
    assert found["x", SMD]["verdict"] != "predicts the split"
    assert found["x", V]["verdict"] == "predicts the split"


def test_a_tiny_difference_is_balanced_however_many_rows():
    rng = np.random.default_rng(11)
    a, b = split("a", x=rng.normal(0, 1, 20_000)), split("b", x=rng.normal(0.05, 1, 20_000))
    row = by_column(audit(a, b, n_permutations=199))["x", SMD]
    assert row["p_value"] <= 0.01
    assert row["verdict"] == "balanced"


def test_many_rows_of_few_clusters_tell_nothing():
    a = split("a", clusters=[0] * 50 + [1] * 50, x=[0.0] * 50 + [1.0] * 50)
    b = split("b", clusters=[0] * 50 + [1] * 50, x=[2.0] * 50 + [3.0] * 50)
    row = by_column(audit(a, b))["x", SMD]
    assert (row["n_source"], row["n_clusters_source"], row["n_clusters_target"]) == (100, 2, 2)
    assert row["verdict"] == "cannot tell"
    assert row["p_value"] > 0.1


def test_constants_that_differ():
    row = by_column(audit(split("a", x=[1.0] * 30), split("b", x=[2.0] * 30)))["x", SMD]
    assert row["value"] == np.inf
    assert row["verdict"] == "predicts the split"


def test_ids_do_not_look_like_a_shift():
    a = split("a", url=[f"http://a/{i}" for i in range(80)])
    b = split("b", url=[f"http://b/{i}" for i in range(80)])
    row = by_column(audit(a, b))["url", V]
    assert row["verdict"] == "cannot tell"
    assert row["value"] is row["auc"] is row["p_value"] is None


def test_rare_levels_are_pooled_and_still_compared():
    common = ["x", "y"] * 40
    a = split("a", k=common + [f"odd {i}" for i in range(60)])
    b = split("b", k=common + ["x", "y"] * 30)
    row = by_column(audit(a, b))["k", V]
    assert row["verdict"] == "differs"
    assert 0.3 < row["value"] < 0.6


# --- missing values -----------------------------------------------------------------------------


def test_missing_values_are_counted_and_compared():
    rng = np.random.default_rng(12)
    x = rng.normal(size=200)
    a = split("a", x=pa.array(x[:100]), k=pa.array(["u", None] * 50))
    b = split("b", x=pa.array([None, np.nan, np.inf] * 10 + x[170:].tolist()), k=["u", "v"] * 30)
    found = by_column(audit(a, b))
    assert (found["x", SMD]["missing_source"], found["x", SMD]["missing_target"]) == (0, 30)
    assert found["x (missing)", V]["verdict"] == "differs"
    assert found["x (missing)", V]["missing_target"] == 0
    assert found["k", V]["missing_source"] == 50
    gone = by_column(audit(a, split("b", x=pa.nulls(100, pa.float64()), k=["u"] * 100)))
    assert gone["x", SMD]["value"] is None
    assert gone["x", SMD]["verdict"] == "cannot tell"
    assert gone["x (missing)", V]["verdict"] == "predicts the split"
    nothing = by_column(audit(split("a", x=pa.nulls(9)), split("b", x=pa.nulls(9))))
    assert nothing["x", V]["verdict"] == "cannot tell"


def test_empty_splits():
    a = split("a", x=[1.0, 2.0])
    for row in [
        *audit(a, a.slice(0, 0)).to_pylist(),
        *audit(a.slice(0, 0), a.slice(0, 0)).to_pylist(),
    ]:
        assert row["verdict"] == "cannot tell"


# --- kinds of columns ---------------------------------------------------------------------------


def test_lists_are_compared_tag_by_tag():
    n = 120
    a = split("a", findings=[["Mass"] if i % 2 else [] for i in range(n)])
    b = split(
        "b", findings=[["Mass", "Edema"] if i % 2 else ["Edema", f"rare {i}"] for i in range(n)]
    )
    found = by_column(audit(a, b))
    assert found["findings: Mass", V]["verdict"] == "balanced"
    assert found["findings: Edema", V]["verdict"] == "predicts the split"
    assert found["findings: other tags", V]["verdict"] == "differs"


def test_class_labels_and_chosen_codes_are_levels():
    schema = arrow_schema(
        {
            "example_id": Value("string"),
            "cluster_id": Value("string"),
            "label": ClassLabel(("a", "b", "c")),
        }
    )
    labels = [0, 2] * 30, [1, 1] * 30
    a, b = (split(p, label=x).cast(schema) for p, x in zip("ab", labels, strict=True))
    assert json.loads(a.schema.metadata[b"huggingface"])
    assert [r["statistic"] for r in audit(a, b).to_pylist()] == [V]
    bare = [t.replace_schema_metadata(None) for t in (a, b)]
    assert len(audit(*bare)) == 2
    assert [r["statistic"] for r in audit(*bare, categorical=["label"]).to_pylist()] == [V]


def test_times_dictionaries_and_mixed_types():
    import datetime as dt

    day = dt.date(2020, 1, 1)
    a = split(
        "a",
        day=[day + dt.timedelta(i) for i in range(60)],
        site=pa.array(["x", "y"] * 30).dictionary_encode(),
        size=pa.array(range(60), pa.int32()),
    )
    b = split(
        "b",
        day=[day + dt.timedelta(i + 200) for i in range(60)],
        site=pa.array(["x", "y"] * 30),
        size=pa.array(range(60), pa.float64()),
    )
    found = by_column(audit(a, b))
    assert found["day", SMD]["verdict"] == "predicts the split"
    assert found["site", V]["verdict"] == "balanced"
    assert found["size", SMD]["value"] == 0


def test_default_columns_leave_ids_and_content_out():
    table = split("a", x=[1.0], image=[b"..."], locator=["f"], vector=[[0.1, 0.2]])
    assert default_columns(table, table, "cluster_id") == ["x"]
    assert default_columns(table, table.drop_columns("x"), "cluster_id") == []


# --- clusters -----------------------------------------------------------------------------------


def test_clusters_in_both_splits():
    rng = np.random.default_rng(13)
    owner = np.repeat(np.arange(20), 10)
    base = rng.normal(size=20)[owner]
    half = np.tile([True] * 5 + [False] * 5, 20)
    x = base + np.where(half, 0.0, 0.8) + rng.normal(0, 0.1, 200)
    table = pa.table(
        {
            "example_id": [f"{i:03}" for i in range(200)],
            "cluster_id": [f"{c}" for c in owner],
            "x": x,
        }
    )
    a, b = table.filter(pa.array(half)), table.filter(pa.array(~half))
    row = by_column(audit(a, b))["x", SMD]
    assert (row["n_clusters_source"], row["n_clusters_target"]) == (20, 20)
    # The difference inside every cluster is far above chance although the clusters differ more.
    assert row["p_value"] == 0.001
    apart = [
        t.set_column(1, "cluster_id", pa.array([f"{s}{c}" for c in t["cluster_id"].to_pylist()]))
        for s, t in (("a", a), ("b", b))
    ]
    assert by_column(audit(*apart))["x", SMD]["p_value"] > 0.001


def test_independent_rows():
    a, b = split("a", x=[0.0] * 30).drop_columns("cluster_id"), split("b", x=[1.0] * 30)
    row = audit(a, b.drop_columns("cluster_id"), cluster=None).to_pylist()[0]
    assert row["n_clusters_source"] == 30


def test_large_tables_get_fewer_permutations(monkeypatch):
    monkeypatch.setattr(module, "_WORK", 1)
    row = by_column(audit(split("a", x=[0.0, 1.0] * 30), split("b", x=[5.0, 6.0] * 30)))["x", SMD]
    assert row["p_value"] == 1 / 200


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"n_permutations": 10}, "fewer than 99"),
        ({}, {"columns": ["y"]}, "the source split has no column 'y'; it has: example_id"),
        ({}, {"cluster": "patient"}, "the source split has no column 'patient'"),
        ({"x": ["a", "b"]}, {}, "double in the source and string in the target"),
        ({"x": [b"", b""]}, {"columns": ["x"]}, "can be compared; leave it out"),
        ({"cluster_id": ["a", None]}, {}, "1 rows of the target split have no 'cluster_id'"),
    ],
)
def test_bad_input(change, options, said):
    a = split("a", x=[1.0, 2.0])
    b = pa.table({**split("b", x=[1.0, 2.0]).to_pydict(), **change})
    with pytest.raises(ConfigurationError, match=said):
        audit(a, b, **options)


# --- under no difference, p holds its level -----------------------------------------------------


def no_difference(seed, mixed):
    """Clusters of very unequal size that differ from each other, dealt to two splits by chance."""
    rng = np.random.default_rng([seed, mixed])
    n = 30
    owner = np.repeat(np.arange(n), np.minimum(1 + rng.pareto(1.0, n).astype(int), 40))
    effect = rng.normal(size=n)
    chosen = np.zeros(n, dtype=bool)
    chosen[rng.permutation(n)[:12]] = True
    side = chosen[owner]
    in_both = np.isin(owner, rng.permutation(n)[:mixed])
    side = np.where(in_both, rng.random(len(owner)) < 0.5, side)
    table = pa.table(
        {
            "example_id": [f"{i:05}" for i in range(len(owner))],
            "cluster_id": [f"{c:03}" for c in owner],
            "number": effect[owner] + rng.normal(0, 0.3, len(owner)),
            "ties": np.round(effect)[owner].astype(int),
            "level": [f"k{k}" for k in rng.integers(0, 3, n)[owner]],
            "flag": (rng.random(n) < 0.15)[owner],
        }
    )
    return table.filter(pa.array(side)), table.filter(pa.array(~side))


def rejections(repeats, mixed):
    p_values: dict[tuple[str, str], list[float]] = {}
    predicted = 0
    for seed in range(repeats):
        found = audit(*no_difference(seed, mixed), seed=seed, n_permutations=199)
        for row in found.to_pylist():
            assert row["verdict"] in VERDICTS
            predicted += row["verdict"] == "predicts the split"
            p = 1.0 if row["p_value"] is None else row["p_value"]
            p_values.setdefault((row["column"], row["statistic"]), []).append(p)
    return {key: np.array(p) for key, p in p_values.items()}, predicted


def check_levels(repeats, mixed):
    found, predicted = rejections(repeats, mixed)
    for key, p in found.items():
        for level in (0.01, 0.05, 0.1):
            # Four standard errors above the level: a true level is exceeded once in 30,000.
            allowed = level + 4 * np.sqrt(level * (1 - level) / len(p))
            assert (p <= level).mean() <= allowed, (key, level)
    assert predicted <= 0.01 * sum(map(len, found.values())) + 4 * np.sqrt(0.01 * repeats * 6)


@pytest.mark.parametrize("mixed", [0, 10])
def test_level_holds(mixed):
    check_levels(150, mixed)


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [0, 10])
def test_level_holds_closely(mixed):
    check_levels(4000, mixed)


def test_without_clusters_the_same_data_would_reject():
    """The reason for whole clusters: rows taken as independent reject far too often."""
    wrong = []
    for seed in range(60):
        a, b = no_difference(seed, 0)
        rows = audit(a, b, columns=["number"], cluster=None, n_permutations=199).to_pylist()
        wrong.append(rows[0]["p_value"] <= 0.05)
    assert np.mean(wrong) > 0.25


# --- intervals ----------------------------------------------------------------------------------


def standardised(a, b):
    return (b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2)


@pytest.mark.parametrize("mixed", [False, True])
def test_mean_difference_interval_is_the_jackknife(mixed):
    rng = np.random.default_rng(20)
    owner = np.repeat(np.arange(24), rng.integers(1, 5, 24))
    side = owner < 10
    if mixed:
        side = np.where(owner % 2 == 0, rng.random(len(owner)) < 0.5, side)
    x = rng.normal(size=len(owner)).round(1) + 0.5 * ~side
    low, high, method = mean_difference_interval(x, side, owner, 0.95)
    assert method == "clustered jackknife, t"
    left_out = np.array(
        [standardised(x[(owner != c) & side], x[(owner != c) & ~side]) for c in range(24)]
    )
    middle = standardised(x[side], x[~side])
    assert (low + high) / 2 == pytest.approx(middle)
    if not mixed:
        parts = [left_out[:10], left_out[10:]]
        variance = sum((len(p) - 1) ** 2 * p.var() / (len(p) - 1) for p in parts)
        # At most as many degrees of freedom as there are clusters, at least 1.
        assert 2.05 * np.sqrt(variance) < high - middle < 13 * np.sqrt(variance)


def test_effective_rows_of_whole_clusters():
    rng = np.random.default_rng(21)
    codes, side = rng.integers(0, 3, 60), np.arange(60) < 30
    counts = tuple(np.bincount(codes[s], minlength=3).astype(float) for s in (side, ~side))
    alone = effective_n(codes, side, np.arange(60), counts)
    assert alone == 60
    repeated = tuple(5 * c for c in counts)
    five = effective_n(
        np.repeat(codes, 5), np.repeat(side, 5), np.repeat(np.arange(60), 5), repeated
    )
    assert 50 < five < 75


def test_intervals_in_the_table():
    rng = np.random.default_rng(22)
    a = split("a", x=rng.normal(size=60), k=rng.choice(list("uv"), 60), same=["s"] * 60)
    b = split("b", x=rng.normal(1, 1, 60), k=rng.choice(list("uv"), 60), same=["s"] * 60)
    found = by_column(audit(a, b))
    x, k, same = found["x", SMD], found["k", V], found["same", V]
    assert x["low"] < x["value"] < x["high"]
    assert (k["low"], k["method"]) == (0.0, "noncentral χ²")
    assert 0 < k["high"] < 1
    assert same["low"] is same["high"] is None
    assert same["method"] == "cannot tell: one value"
    wide = by_column(audit(a, b, level=0.99))["x", SMD]
    assert wide["high"] > x["high"]
    with pytest.raises(ConfigurationError, match="level is 2"):
        audit(a, b, level=2)


@pytest.mark.parametrize(
    ("value", "noise", "scale"), [(0.0, 0.01, 0.01), (0.02, 0.01, 0.005), (0.5, 0.01, 0.002)]
)
def test_nonnegative_interval_inverts_the_distribution(value, noise, scale):
    low, high = nonnegative_interval(value, noise, scale)
    nu = noise / scale
    assert low <= value <= high
    if low > 0 and value / scale < 100:
        assert ncx2.cdf(value / scale, nu, low / scale) == pytest.approx(0.975, abs=1e-6)
    if value >= noise and value / scale < 100:
        assert ncx2.cdf(value / scale, nu, high / scale) == pytest.approx(0.025, abs=1e-6)


def shares_of(k, tilt):
    p = np.exp(tilt * np.linspace(-1.2, 1.2, k))
    return p / p.sum()


def rows_of(rng, p, n, size):
    """Levels with these shares, in clusters that have an intraclass correlation of 0.5."""
    owner = np.arange(n) // size
    own, alone = rng.choice(len(p), owner[-1] + 1, p=p)[owner], rng.choice(len(p), n, p=p)
    return np.where(rng.random(n) < (np.sqrt(0.5) if size > 1 else 0), own, alone), owner


def missed_v(repeats, k, tilt, n, size):
    p, q = shares_of(k, 0), shares_of(k, tilt)
    s = n[0] / sum(n)
    pooled = s * p + (1 - s) * q
    truth = np.sqrt(max(0.0, (s * p**2 / pooled + (1 - s) * q**2 / pooled).sum() - 1))
    truth = 0.0 if truth < 1e-9 else truth
    rng = np.random.default_rng([k, int(10 * tilt), *n, size])
    missed = 0
    for _ in range(repeats):
        (a, of_a), (b, of_b) = rows_of(rng, p, n[0], size), rows_of(rng, q, n[1], size)
        _, codes = np.unique(np.concatenate([a, b]), return_inverse=True)
        side = np.arange(sum(n)) < n[0]
        counts = tuple(
            np.bincount(codes[x], minlength=codes.max() + 1).astype(float) for x in (side, ~side)
        )
        share = [c / c.sum() for c in counts]
        both = s * share[0] + (1 - s) * share[1]
        phi2 = max(0.0, ((s * share[0] ** 2 + (1 - s) * share[1] ** 2) / both).sum() - 1)
        owners = np.concatenate([of_a, 10_000 + of_b])
        low, high, _ = v_interval(codes, side, owners, counts, phi2, 0.95)
        missed += not low <= truth <= high
    return missed


def missed_difference(repeats, d, n, size, skewed):
    rng = np.random.default_rng([int(10 * d), *n, size, skewed])

    def draw(m):
        if skewed:
            e = rng.exponential(size=m) - 1
            own = rng.exponential(size=m) - 1
        else:
            e, own = rng.normal(size=m), rng.normal(size=m)
        owner = np.arange(m) // size
        return (e if size == 1 else np.sqrt(0.5) * (e + own[owner])), owner

    missed = 0
    for _ in range(repeats):
        (a, of_a), (b, of_b) = draw(n[0]), draw(n[1])
        side = np.arange(sum(n)) < n[0]
        owners = np.concatenate([of_a, 10_000 + of_b])
        low, high, _ = mean_difference_interval(np.concatenate([a, b + d]), side, owners, 0.95)
        missed += not low <= d <= high
    return missed


def allowed(repeats, cells, share):
    """The most misses with which a true rate of `share` is believed, over all cells."""
    return binom.ppf(1 - 0.001 / cells, repeats, share)


SIZES = [((50, 50), 1), ((200, 200), 1), ((50, 200), 1), ((320, 320), 8)]


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_intervals_cover(n, size):
    for k, tilt in [(2, 0), (2, 0.3), (4, 0.3), (10, 0), (10, 1)]:
        assert missed_v(150, k, tilt, n, size) <= allowed(150, 40, 0.07)
    for d in (0, 1):
        assert missed_difference(150, d, n, size, False) <= allowed(150, 40, 0.07)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_intervals_cover_closely(n, size):
    for k in (2, 4, 10):
        for tilt in (0, 0.3, 1):
            assert missed_v(2000, k, tilt, n, size) <= allowed(2000, 60, 0.07)
    for d in (0, 0.3, 1, 3):
        assert missed_difference(2000, d, n, size, False) <= allowed(2000, 60, 0.07)
        # Squares of skewed values have heavy tails: a little less is promised there.
        assert missed_difference(2000, d, n, size, True) <= allowed(2000, 60, 0.09)


@pytest.mark.parametrize(("n", "k"), [(50, 10), (50, 30)])
def test_v_of_many_levels_far_from_zero_is_covered(n, k):
    p = np.arange(1, k + 1) ** -0.7
    q = p * np.exp(np.resize([3.0, -3.0], k))
    p, q = p / p.sum(), q / q.sum()
    truth = float(np.sqrt(((p - q) ** 2 / (p + q)).sum() / 2))
    missed = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, n, k])
        drawn = np.concatenate([rng.choice(k, n, p=p), rng.choice(k, n, p=q)])
        _, codes = np.unique(drawn, return_inverse=True)
        side = np.arange(2 * n) < n
        counts = tuple(
            np.bincount(codes[s], minlength=codes.max() + 1).astype(float) for s in (side, ~side)
        )
        total = counts[0] + counts[1]
        phi2 = sum((c**2 / total).sum() / n for c in counts) - 1
        low, high, _ = v_interval(codes, side, np.arange(2 * n), counts, phi2, 0.95)
        missed += not low <= truth <= high
    assert missed <= 14
