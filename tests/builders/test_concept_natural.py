"""Natural concept shifts: contexts matched, and chosen on other data than they are measured on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from shiftbench.builders.concept.builder import ConceptShift
from shiftbench.builders.concept.natural import HALVES
from shiftbench.builders.concept.remaining import _auc_in_strata
from shiftbench.builders.shared.division import divide
from shiftbench.builders.shared.labelled import labelled
from shiftbench.distances.measured import measure
from shiftbench.errors import ConfigurationError
from shiftbench.plan import Plan
from tests.builders.concept_tables import (
    Given,
    clusters,
    config_of,
    labels,
    people,
    split_of,
    values,
)

RUNS = 100
MOST = int(binom.ppf(0.999, RUNS, 0.05))
FEATURES = ("x1", "x2")


def natural(table: pa.Table, seed: int = 0, **options: Any) -> Plan:
    given: dict[str, Any] = {"design": "natural", "by": "site", "min_clusters": 10} | options
    builder = ConceptShift(Given(table), **given)
    plan: Plan = builder.plan(builder.source.scan(), seed)
    return plan


def sides_of(plan: Plan) -> tuple[Any, Any]:
    ood = next(s for s in config_of(plan).splits if s.role == "ood_test")
    return split_of(plan, "id_test"), ood


def gcm_of(plan: Plan) -> Any:
    sides = sides_of(plan)
    return measure(
        "gcm",
        *(values(plan, s, *FEATURES) for s in sides),
        labels=(labels(sides[0]), labels(sides[1])),
        clusters=(clusters(plan, sides[0]), clusters(plan, sides[1])),
        n_permutations=99,
    )


def smd(a: np.ndarray, b: np.ndarray) -> float:
    return float((b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2))


NAMED: dict[str, Any] = {"source_context": "s0", "target_contexts": ("s1",)}


def test_strata_have_equal_shares_on_both_sides() -> None:
    table = people(6000, contexts=2, apart=0.7)
    plan = natural(table, match=("group", "x1"), bins=5, **NAMED)
    source = [split_of(plan, n) for n in ("train", "validation", "id_test")]
    target = sides_of(plan)[1]
    x = [np.concatenate([values(plan, s, "x1") for s in p])[:, 0] for p in (source, [target])]
    g = [np.concatenate([values(plan, s, "group") for s in p])[:, 0] for p in (source, [target])]
    # The cuts by their definition: quantiles over both contexts before matching.
    before = np.asarray(table["x1"].to_numpy())
    cuts = np.quantile(before, np.arange(1, 5) / 5, method="inverted_cdf")
    counts = [
        {
            (k, b): int(((g[i] == k) & (np.searchsorted(cuts, x[i], side="left") == b)).sum())
            for k in ("in", "out")
            for b in range(5)
        }
        for i in (0, 1)
    ]
    ratios = {counts[1][s] / counts[0][s] for s in counts[0] if counts[0][s]}
    assert len(ratios) == 1
    assert [k for k, v in counts[0].items() if not v] == [k for k, v in counts[1].items() if not v]
    assert sum(counts[0].values()) > 1000


@pytest.mark.parametrize("method", ["strata", "overlap"])
def test_matching_makes_covariates_alike(method: Any) -> None:
    table = people(12_000, contexts=2, apart=1.0)
    raw, matched = (natural(table, match=m, method=method, bins=12, **NAMED) for m in ((), ("x1",)))
    sizes = [smd(*(values(p, s, "x1")[:, 0] for s in sides_of(p))) for p in (raw, matched)]
    assert sizes[0] > 0.8
    assert abs(sizes[1]) < 0.12
    kept = config_of(matched).notes["matching"]
    assert kept["source"]["units"] == kept["source"]["kept"] < kept["source"]["before"]


def test_overlap_has_the_overlap_distribution() -> None:
    """With x1 ~ N(0, 1) and N(1, 1) both sides come to p q / (p + q), whose mean is 1/2."""
    table = people(40_000, contexts=2, apart=1.0)
    plan = natural(table, match=("x1",), method="overlap", **NAMED)
    grid = np.linspace(-6, 7, 4001)
    p, q = np.exp(-(grid**2) / 2), np.exp(-((grid - 1) ** 2) / 2)
    density = p * q / (p + q)
    spread = np.sqrt((density * (grid - 0.5) ** 2).sum() / density.sum())
    for split in sides_of(plan):
        x = values(plan, split, "x1")[:, 0]
        assert x.mean() == pytest.approx(0.5, abs=0.06)
        assert x.std() == pytest.approx(spread, abs=0.04)


def test_splits_of_the_source_are_alike_and_apart() -> None:
    plan = natural(people(3000, contexts=2, per_cluster=3), match=("group",), **NAMED)
    names = ("train", "validation", "id_test")
    sets = [set(clusters(plan, s)) for s in config_of(plan).splits]
    assert sum(map(len, sets)) == len(set().union(*sets))
    shares = [(values(plan, split_of(plan, n), "group")[:, 0] == "in").mean() for n in names]
    assert np.ptp(shares) < 0.1


def test_contexts_that_are_the_same_differ_no_more_often_than_chance() -> None:
    """At no gap: with another P(x1), matched and measured at equal features."""
    rejected = 0
    for seed in range(RUNS):
        table = people(700, seed=seed, contexts=2, apart=0.5)
        p = gcm_of(natural(table, seed, match=("x1",), **NAMED)).p_value
        rejected += p is not None and p <= 0.05
    assert rejected <= MOST


def test_a_gap_is_found_and_grows() -> None:
    found = [
        gcm_of(natural(people(4000, contexts=2, gap=g), match=("x1",), **NAMED))
        for g in (0.0, 0.7, 1.5)
    ]
    assert found[0].value < found[1].value < found[2].value
    assert found[2].p_value <= 0.05


@pytest.mark.parametrize(
    ("runs", "contexts"), [(30, 6), pytest.param(RUNS, 8, marks=pytest.mark.slow)]
)
def test_choosing_on_one_half_leaves_the_other_unbiased(runs: int, contexts: int) -> None:
    """Sites of which none differs: the pair that is chosen looks different where it was chosen,
    and not in the benchmark, which is made of the other half."""
    sizes: dict[str, list[float]] = {"choosing": [], "measuring": []}
    wrong = dict.fromkeys(sizes, 0)
    for seed in range(runs):
        table = people(140 * contexts, seed=seed, contexts=contexts)
        plan = natural(table, seed)
        pair = config_of(plan).notes["contexts"]
        found = labelled(Given(table).scan())
        x = np.column_stack([found.examples[c].to_numpy() for c in FEATURES])
        site = np.asarray(found.examples["site"].to_pylist())
        halves = divide(found, HALVES, seed, "concept halves")
        for name, half in halves.items():
            rows = [half[site[half] == pair[c]] for c in ("source", "target")]
            gcm = measure(
                "gcm",
                *(x[r] for r in rows),
                labels=(found.label.codes[rows[0]], found.label.codes[rows[1]]),
                n_permutations=0,
            )
            sizes[name].append(abs(gcm.value))
            wrong[name] += gcm.low > 0 or gcm.high < 0
        chosen_on = set(halves["choosing"].tolist())
        assert not any(chosen_on & set(s.index.tolist()) for s in config_of(plan).splits)
        assert sum(len(s.rows) for s in config_of(plan).splits) > 60
    most = binom.ppf(0.999, runs, 0.05)
    assert wrong["measuring"] <= most < wrong["choosing"]
    assert np.mean(sizes["choosing"]) > 1.5 * np.mean(sizes["measuring"])


def test_the_target_is_chosen_to_a_given_source() -> None:
    table = people(8000, contexts=4, gap=1.0)  # s3 is farthest from s0
    plan = natural(table, source_context="s0")
    assert config_of(plan).notes["contexts"] == {"by": "site", "source": "s0", "target": "s3"}
    told = config_of(plan).notes["choice"]
    assert told["pairs"] == 3
    assert set(told["estimated_on_the_choosing_half"]) == {"s0 → s1", "s0 → s2", "s0 → s3"}


def test_each_target_is_a_config_of_its_own() -> None:
    table = people(3000, contexts=3)
    one = natural(table, source_context="s0", target_contexts=("s1",), match=("group",))
    two = natural(table, source_context="s0", target_contexts=("s1", "s2"), match=("group",))
    assert [c.name for c in two.configs] == ["s0_vs_s1", "s0_vs_s2"]
    for a, b in zip(one.configs[0].splits, two.configs[0].splits, strict=True):
        assert a.rows.equals(b.rows)


def test_contexts_may_be_joined_and_ranges() -> None:
    table = people(3000, contexts=4)
    joined = natural(table, source_context="s0+s1", target_contexts=("s2+s3",))
    assert [c.name for c in joined.configs] == ["s0_s1_vs_s2_s3"]
    ages = pa.array(np.random.default_rng(0).integers(18, 80, len(table)))
    plan = natural(
        table.append_column("age", ages),
        by="age",
        source_context="..40",
        target_contexts=("40..60", "60.."),
    )
    assert [c.name for c in plan.configs] == [
        "below_40_vs_40_to_below_60",
        "below_40_vs_from_60",
    ]
    train = values(plan, split_of(plan, "train"), "age")
    assert train.max() == 39
    ood = values(plan, split_of(plan, "ood_test_40_to_below_60"), "age")
    assert (ood.min(), ood.max()) == (40, 59)


def test_the_column_of_the_contexts_is_no_feature() -> None:
    builder = ConceptShift(
        Given(people(500, contexts=2), features=("x1", "x2", "site")),
        design="natural",
        by="site",
        **NAMED,
    )
    plan = builder.plan(builder.source.scan(), 0)
    assert plan.metadata.columns == ("x1", "x2")
    assert "site" in plan.metadata.examples.column_names
    assert config_of(plan).notes["shift_columns"] == ["site"]


def test_a_covariate_that_sets_examples_apart_stays_a_feature() -> None:
    plan = natural(
        people(500), design="covariate", by="x1", source_context="..0", target_contexts=("0..",)
    )
    assert plan.metadata.columns == ("x1", "x2")
    assert {s.shift for s in config_of(plan).splits} == {"none", "covariate"}
    assert config_of(plan).notes["held"]["fixed"] == ""
    assert "not claimed" in config_of(plan).notes["held"]["by"]


def test_a_cluster_in_both_contexts_goes_to_one_of_them() -> None:
    table = people(2000, per_cluster=2)
    sites = pa.array([f"s{i % 2}" for i in range(len(table))])  # every cluster is at both
    plan = natural(table.append_column("site", sites), **NAMED)
    sets = [set(clusters(plan, s)) for s in config_of(plan).splits]
    assert sum(map(len, sets)) == len(set().union(*sets)) == 1000
    assert config_of(plan).notes["clusters_in_both_contexts"].startswith("1000;")


def test_the_order_of_the_rows_does_not_matter() -> None:
    table = people(1500, per_cluster=2, contexts=3)
    turned = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    for options in (
        {},
        {**NAMED, "match": ("x1", "group")},
        {**NAMED, "match": ("x1",), "method": "overlap"},
    ):
        assert natural(table, **options).hash == natural(turned, **options).hash


@pytest.mark.parametrize("method", ["strata", "overlap"])
def test_no_overlap_is_refused(method: Any) -> None:
    table = people(2000, contexts=2, apart=12.0)
    with pytest.raises(ConfigurationError, match=r"no overlap|keeps \d of") as told:
        natural(table, match=("x1",), method=method, **NAMED)
    assert "match on fewer columns" in str(told.value)


def by_site(values: Any, n: int = 3000) -> pa.Table:
    """A site, and a column `count` of whole numbers that depends on it."""
    table = people(n, contexts=2)
    second = np.asarray(table["site"].to_pylist()) == "s1"
    return table.append_column("count", pa.array(values(second, np.random.default_rng(0))))


def test_a_range_that_both_sides_have_is_no_overlap_of_their_values() -> None:
    """0, 1, 2 and 3, 4, 5 share a range of four, and no value."""
    table = by_site(lambda second, rng: rng.integers(0, 3, len(second)) + 3 * second)
    with pytest.raises(ConfigurationError, match=r"no overlap .*'count'.*4 ranges.*raise --bins"):
        natural(table, match=("count",), bins=4, **NAMED)
    with pytest.raises(ConfigurationError, match="keeps 0 of"):
        natural(table, match=("count",), bins=6, **NAMED)


def test_what_is_left_inside_the_ranges_is_told() -> None:
    table = by_site(lambda second, rng: rng.normal(0.9 * second))
    left = {}
    for bins in (2, 40):
        plan = natural(table, match=("count",), bins=bins, **NAMED)
        notes = config_of(plan).notes
        left[bins] = notes["matching"]["standardised_mean_differences"]["count"]
        splits = [split_of(plan, n) for n in ("train", "validation", "id_test")]
        sides = [np.concatenate([values(plan, s, "count")[:, 0] for s in splits]),
                 values(plan, sides_of(plan)[1], "count")[:, 0]]  # fmt: skip
        assert left[bins] == pytest.approx(smd(*sides), abs=1e-6)
        assert bool(notes.get("warnings")) == (bins == 2)
    assert abs(left[40]) < 0.05 < 0.1 < abs(left[2])


def test_overlap_inside_ranges_is_counted_by_its_definition() -> None:
    rng = np.random.default_rng(3)
    strata, column = rng.integers(0, 4, 60), rng.integers(0, 5, 60).astype(float)
    source, target = np.arange(0, 60, 2), np.arange(1, 60, 2)
    pairs = [(a, b) for a in source for b in target if strata[a] == strata[b]]
    wins = [(column[a] < column[b]) + 0.5 * (column[a] == column[b]) for a, b in pairs]
    found = _auc_in_strata(column, (source, target), strata)
    assert found == pytest.approx(np.mean(wins), abs=1e-12)


BAD = [
    ({"by": ""}, "needs the option by"),
    ({"by": "sites"}, "did you mean 'site'"),
    ({"by": "same"}, "every example has the value 'a'"),
    ({"source_context": "s7"}, "'s7', which no example has"),
    ({"target_contexts": ("s0",)}, "in both the source and the target"),
    ({"source_context": ""}, "name the source too"),
    ({"match": ("site",)}, "leave it out"),
    ({"match": ("x9",)}, "does not have"),
    ({"match": ("same",)}, "every example has the value 'a'"),
    ({"match": ("one",)}, "one value or none"),
    ({"min_clusters": 400}, "independent units to build from"),
    ({"min_clusters": 1}, "2 and above"),
    ({"target_contexts": "s1"}, "list of texts"),
    ({"design": "covariate", "match": ("x1",)}, "matches nothing"),
    ({"design": "covariate", "target_contexts": ()}, "needs source_context"),
    ({"by": "x1", "source_context": "7..9"}, "lies between"),
    ({"by": "x1", "source_context": "..-", "target_contexts": ("0..",)}, "is no range"),
    ({"by": "x1"}, "real numbers"),
]


@pytest.mark.parametrize(("options", "told"), BAD, ids=[str(o) for o, _ in BAD])
def test_bad_input_is_refused(options: dict[str, Any], told: str) -> None:
    n = 400
    table = people(n, contexts=2).append_column("same", pa.array(["a"] * n))
    table = table.append_column("one", pa.array([1.0] * n))
    with pytest.raises(ConfigurationError, match=told):
        natural(table, **{**NAMED, **options})


def test_contexts_cannot_be_chosen_without_columns_or_contexts() -> None:
    builder = ConceptShift(Given(people(500, contexts=3), features=()), design="natural", by="site")
    with pytest.raises(ConfigurationError, match="no plain columns"):
        builder.plan(builder.source.scan(), 0)
    with pytest.raises(ConfigurationError, match="fewer than two contexts of 'site'"):
        natural(people(500, contexts=3), min_clusters=200)
