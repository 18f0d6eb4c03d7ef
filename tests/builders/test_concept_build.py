"""Concept shifts from end to end: written, measured, read; presets on real data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import shiftbench as sb
from shiftbench.builders.concept.builder import ConceptShift
from shiftbench.errors import ConfigurationError
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import Plan
from shiftbench.registry import SOURCES, lookup
from shiftbench.sources.digits import Digits
from shiftbench.sources.simulated_tables import SimulatedTables
from tests.builders.concept_tables import Given, config_of, people, values

QUICK = Measurement(
    distances=("mmd", "gcm"), max_examples=300, n_permutations=99, subsets=False, profile=False
)


def planned(builder: Any, seed: int = 0) -> Plan:
    plan: Plan = builder.plan(builder.source.scan(), seed)
    return plan


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    builder = ConceptShift(
        Given(people(1200)),
        noise_from=("k0",),
        noise_to=("k1",),
        disagreement=(0.0, 0.3),
    )
    return sb.build(builder, tmp_path_factory.mktemp("concept") / "out", measure=QUICK)


def test_the_strengths_are_in_the_benchmark(made: Any) -> None:
    table = made.load("strengths", split="train").to_pandas()
    assert table["intended"].tolist() == [0.0, 0.3]
    assert (np.abs(table["achieved"] - table["intended"]) < 0.06).all()


def test_the_labels_are_read_as_they_were_made(made: Any) -> None:
    rows = made.load("flip", split="ood_test_disagreement_0_3")
    label, old = np.asarray(rows["label"]), np.asarray(rows["original_label"])
    assert rows.features["label"].names == ["k0", "k1"]
    assert np.array_equal(label != old, np.asarray(rows["relabelled"]))
    assert set(old[label != old].tolist()) == {0}


def test_neither_the_old_label_nor_its_change_is_a_feature(made: Any) -> None:
    assert made.manifest.columns == ["x1", "x2"]
    (space,) = made.manifest.measured["spaces"]
    assert space == "tabular:only=x1+x2"
    assert not [v for v in made.manifest.measured["confounding"] if "relabelled" in v["words"]]


def test_the_distance_and_the_loss_of_each_strength_are_measured(made: Any) -> None:
    lines = made.load("severities", split="train").to_pandas()
    lines = lines[lines["distance"] == "gcm"].set_index("parameter")
    assert lines.index.tolist() == [0.0, 0.3]
    assert lines["shift_p_value"][0.0] > 0.05
    assert lines["shift_p_value"][0.3] <= 0.05
    # Compared on the same examples, what is lost is known well; 0.3 of 1 at most.
    assert 0 < lines["lost_low"][0.3] < lines["accuracy_lost"][0.3] < lines["lost_high"][0.3] < 0.4
    mmd = made.load("severities", split="train").to_pandas()
    mmd = mmd[mmd["distance"] == "mmd"]
    assert mmd["shift"].nunique() == 1  # the same examples: P(x) is the same at every strength


def test_the_card_says_what_is_held(made: Any) -> None:
    card = Path(made.url, "README.md").read_text("utf-8")
    assert "held fixed: **P(x)**" in card
    assert "Severities" in card


def test_images_stay_as_the_source_has_them() -> None:
    source = Digits(size=8)
    plan = planned(ConceptShift(source, disagreement=(0.2,)))
    assert plan.metadata.identity == source.scan().identity
    reader = ConceptShift(source).reader(0)
    locator = plan.metadata.examples["locator"][0].as_py()
    assert reader(locator) == source.reader()(locator)


def test_a_simulated_grid_has_the_truth_beside_it() -> None:
    source = SimulatedTables(delta=(0.0, 1.0), gamma=(0.0, 2.0), omitted=(0.0, 1.0), n=2000)
    plan = planned(ConceptShift(source, design="simulated", unlabeled=0.1))
    truth = plan.tables["truth"].to_pylist()
    assert len(plan.configs) == 8
    found = {
        (r["config"], r["quantity"]): (r["value"], r["measured"], r["low"], r["high"])
        for r in truth
    }
    inside = 0
    for config in plan.configs:
        knobs = config.notes["knobs"]
        confounded = knobs["omitted"] and knobs["delta"]
        shift = "concept" if knobs["gamma"] or confounded else "none"
        if shift == "none" and knobs["delta"]:
            shift = "covariate"
        ood = next(s for s in config.splits if s.name == "ood_test")
        assert ood.shift == shift
        moved = found[config.name, "disagreement_target"][0] > 1e-9
        assert moved == (shift == "concept")
        assert (config.notes["held"]["fixed"] == "") == bool(moved and knobs["delta"])
        groups = {s.name: set(values(plan, s, "group")[:, 0].tolist()) for s in config.splits}
        assert groups.pop("ood_test") == groups.pop("target_unlabeled") == {"target"}
        assert set().union(*groups.values()) == {"source"}
        for side in ("source", "target"):
            value, measured, low, high = found[config.name, f"rate_{side}"]
            assert abs(value - measured) < 0.08
            inside += low <= value <= high
    assert inside >= 13  # of 16 intervals at 95 %


def test_adding_a_cell_leaves_the_others_alone() -> None:
    one, two = (
        planned(ConceptShift(SimulatedTables((0.0,), g, n=400), design="simulated"))
        for g in ((1.0,), (0.0, 1.0))
    )
    a, b = config_of(one, "delta_0_gamma_1_omitted_0"), config_of(two, "delta_0_gamma_1_omitted_0")
    for x, y in zip(a.splits, b.splits, strict=True):
        ids = [
            p.metadata.examples.take(s.rows["example"])["example_id"].to_pylist()
            for p, s in ((one, x), (two, y))
        ]
        assert ids[0] == ids[1]


def test_the_simulated_design_needs_its_source() -> None:
    with pytest.raises(ConfigurationError, match="no 'cell'"):
        planned(ConceptShift(Given(people(100)), design="simulated"))


@pytest.mark.parametrize("name", sorted(ConceptShift.presets))
def test_every_preset_can_be_planned(name: str, request: pytest.FixtureRequest) -> None:
    options = dict(ConceptShift.presets[name])
    given = dict(options.pop("source"))
    kind = lookup(SOURCES, given.pop("name"), "source")
    if name.startswith("adult"):
        given["table"] = str(request.getfixturevalue("shared_data") / "adult" / "adult.csv.gz")
    plan = planned(ConceptShift(kind(**given), **options))
    for config in plan.configs:
        sizes = {s.name: len(s.rows) for s in config.splits}
        assert min(sizes.values()) >= 100, sizes
        assert config.notes["held"]["factorisation"]
        assert not config.notes.get("warnings")
    assert plan.metadata.license  # what the source says for itself, or the preset for the table


def test_adult_by_sex_is_matched_and_built(shared_data: Path, tmp_path: Path) -> None:
    options = dict(ConceptShift.presets["adult_sex"])
    given = {k: v for k, v in options.pop("source").items() if k != "name"}
    table = lookup(SOURCES, "table", "source")
    source = table(str(shared_data / "adult" / "adult.csv.gz"), **given)
    bench = sb.build(ConceptShift(source, **options), tmp_path / "out", measure=QUICK)
    assert "sex" not in bench.manifest.columns
    balance = bench.balance.to_pandas()
    own = balance[(balance["source"] == "id_test") & (balance["target"] == "ood_test_female")]
    means = own[own["statistic"] == "standardised_mean_difference"].set_index("column")["value"]
    assert means.abs()[["age", "education-num", "hours-per-week"]].max() < 0.07
    assert own.set_index("column")["value"]["marital-status"].max() < 0.05


def test_rows_are_planned_without_a_loop_over_them() -> None:
    n = 200_000
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "example_id": pa.array(np.arange(n)).cast(pa.string()),
            "x1": rng.normal(size=n),
            "x2": rng.normal(size=n),
            "label": rng.integers(0, 3, n),
            "site": rng.integers(0, 2, n),
        }
    )
    source = Given(table)
    metadata = source.scan()
    start = time.process_time()
    ConceptShift(source).plan(metadata, 0)
    ConceptShift(
        source,
        design="natural",
        by="site",
        source_context="0",
        target_contexts=("1",),
        match=("x1", "x2"),
    ).plan(metadata, 0)
    assert time.process_time() - start < 15
