"""Common and counter contexts: chosen on one half, measured on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shiftbench as sb
from shiftbench.builders.shared.labelled import Labelled, labelled
from shiftbench.builders.subpopulation.builder import Subpopulations
from shiftbench.builders.subpopulation.counter import counter_configs
from shiftbench.builders.subpopulation.counter_choice import Choice, choose
from shiftbench.builders.subpopulation.counter_drop import balanced_drop
from shiftbench.builders.subpopulation.counter_members import Members, members_of, rightness
from shiftbench.errors import ConfigurationError
from shiftbench.schema import Metadata

from .shared.made_sources import Made, metadata

Codes = NDArray[np.int64]


def metadata_of(
    columns: Mapping[str, Any], contexts: Sequence[tuple[int, str, str]] = ()
) -> Metadata:
    """Examples of some columns, one of which may be their clusters."""
    own = {k: v for k, v in columns.items() if k != "cluster_id"}
    n = len(next(iter(own.values())))
    return metadata(n, own, clusters=columns.get("cluster_id"), contexts=contexts)


def drawn(
    seed: int,
    n: int = 1200,
    *,
    effect: float = 0.0,
    per_cluster: int = 1,
    n_classes: int = 3,
    n_places: int = 4,
) -> Labelled:
    """Classes in places at random; place 0 of each class is harder by `effect`.

    `x` has an effect of the cluster, and the reference model errs where it is large.
    """
    rng = np.random.default_rng(seed)
    n_units = n // per_cluster
    unit = np.repeat(np.arange(n_units), per_cluster)
    label = rng.integers(n_classes, size=n_units)[unit]
    place = rng.integers(n_places, size=n_units)[unit]
    own = np.sqrt(0.5) if per_cluster > 1 else 0.0
    x = own * rng.standard_normal(n_units)[unit] + np.sqrt(1 - own**2) * rng.standard_normal(n)
    hard = effect * (place == label % n_places)
    right = rng.random(n) > 0.3 + hard + 0.1 * np.tanh(x)
    return labelled(
        metadata_of(
            {
                "cluster_id": [f"u{k:05d}" for k in unit],
                "label": [f"c{k}" for k in label],
                "place": [f"p{k}" for k in place],
                "x": x,
                "right": right,
            }
        )
    )


def configured(found: Labelled, seed: int = 0, **options: Any) -> tuple[Any, pa.Table]:
    usual: dict[str, Any] = {"reference": "right", "attribute": "place", "min_size": 5}
    (config,), tables = counter_configs(found, seed, **{**usual, **options})
    return config, tables["counter_contexts"]


def of(config: Any, name: str) -> Codes:
    return next(s.index for s in config.splits if s.name == name)


# The choice, against its definition


def literal_choice(
    inside: Sequence[set[int]],
    label: Codes,
    right: Codes,
    halves: Sequence[Codes],
    least: int,
    k: int,
) -> tuple[int, int] | None:
    """The pair of contexts with the largest difference, written out."""
    best: tuple[float, int, int] | None = None
    for a in range(len(inside)):
        for b in range(len(inside)):
            alone = [
                [
                    [i for i in half if label[i] == k and i in inside[p] and i not in inside[q]]
                    for p, q in ((a, b), (b, a))
                ]
                for half in halves
            ]
            if a == b or min(len(rows) for both in alone for rows in both) < least:
                continue
            first, second = (np.mean([right[i] for i in rows]) for rows in alone[0])
            if best is None or first - second > best[0] + 1e-12:
                best = (first - second, a, b)
    return None if best is None else best[1:]


@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_that_of_the_definition(seed: int, several: bool, least: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_contexts = 60, 4
    label, right = rng.integers(2, size=n), rng.integers(2, size=n)
    if several:
        pairs = np.argwhere(rng.random((n, n_contexts)) < 0.4)
    else:
        pairs = np.column_stack([np.arange(n), rng.integers(n_contexts, size=n)])
    members = Members(tuple("abcd"), pairs[:, 0], pairs[:, 1], not several)
    order = rng.permutation(n)
    halves = np.sort(order[:30]), np.sort(order[30:])
    inside = [set(pairs[pairs[:, 1] == c, 0].tolist()) for c in range(n_contexts)]
    choices, unusable = choose(members, label, right, *halves, least, ("x", "y"))
    found = {c.label: (c.common, c.counter) for c in choices}
    for k, name in enumerate(("x", "y")):
        wanted = literal_choice(inside, label, right, halves, least, k)
        if wanted is None:
            assert name in unusable
            continue
        # Equal differences may come in another order from sums of floats: compare the difference.
        got = found[k]
        assert _difference(inside, label, right, halves[0], k, got) == pytest.approx(
            _difference(inside, label, right, halves[0], k, wanted)
        )
        if not several:
            rates = {
                c: np.mean([right[i] for i in halves[0] if label[i] == k and i in inside[c]])
                for c in range(n_contexts)
                if all(sum(label[i] == k and i in inside[c] for i in h) >= least for h in halves)
            }
            assert rates[got[0]] == max(rates.values())
            assert rates[got[1]] == min(rates.values())


def _difference(
    inside: Sequence[set[int]],
    label: Codes,
    right: Codes,
    half: Codes,
    k: int,
    pair: tuple[int, int],
) -> float:
    a, b = pair
    first, second = (
        np.mean([right[i] for i in half if label[i] == k and i in inside[p] and i not in inside[q]])
        for p, q in ((a, b), (b, a))
    )
    return float(first - second)


def test_predictions_of_the_measuring_half_are_not_looked_at() -> None:
    found = drawn(1)
    members = members_of(found, "place", ())
    halves = np.arange(0, len(found), 2), np.arange(1, len(found), 2)
    right = rightness(found, "right")
    names = found.label.names
    before = choose(members, found.label.codes, right, *halves, 5, names)
    other = right.copy()
    other[halves[1]] = 1 - other[halves[1]]
    assert choose(members, found.label.codes, other, *halves, 5, names) == before
    flipped = choose(members, found.label.codes, 1 - right, *halves, 5, names)[0]
    assert flipped == [Choice(c.label, c.counter, c.common) for c in before[0]]


# The splits


@pytest.mark.parametrize("per_cluster", [1, 4])
def test_splits_are_what_they_say(per_cluster: int) -> None:
    found = drawn(2, per_cluster=per_cluster, effect=0.3)
    config, table = configured(found, train=0.4, validation=0.1)
    assert [s.name for s in config.splits] == ["train", "validation", "id_test", "ood_test"]
    assert [s.shift for s in config.splits] == ["none"] * 3 + ["subpopulation"]
    assert {s.flag for s in config.splits} == {"accept"}
    chosen = {r["class"]: r for r in table.to_pylist() if r["class"] and r["half"] == "measuring"}
    places = found.examples["place"].to_pylist()
    seen: dict[int, str] = {}
    for split in config.splits:
        side = "counter" if split.name == "ood_test" else "common"
        for row in split.rows.to_pylist():
            name = config.features["label"].names[row["label"]]
            assert name == found.label.names[found.label.codes[row["example"]]]
            assert places[row["example"]] == chosen[name][side]
            assert row["group"] == f"{name}({chosen[name][side]})"
            assert row["subset"] == [row["group"]]
        for unit in set(found.cluster[split.index].tolist()):
            assert seen.setdefault(unit, split.name) == split.name
    measured = {s: sum(r[f"n_{s}"] for r in chosen.values()) for s in ("common", "counter")}
    assert measured == {
        "common": len(of(config, "id_test")),
        "counter": len(of(config, "ood_test")),
    }


def test_a_cluster_with_both_contexts_goes_to_one_of_them() -> None:
    rng = np.random.default_rng(0)
    n, units = 2000, 500
    unit = rng.integers(units, size=n)
    label, place = rng.integers(2, size=n), rng.integers(2, size=n)
    right = rng.random(n) < np.where(place == 0, 0.9, 0.5)
    found = labelled(
        metadata_of(
            {
                "cluster_id": [f"u{k:04d}" for k in unit],
                "label": [f"c{k}" for k in label],
                "place": [f"p{k}" for k in place],
                "right": right,
            }
        )
    )
    config, _ = configured(found)
    common, counter = (set(found.cluster[of(config, s)].tolist()) for s in ("id_test", "ood_test"))
    assert not common & counter
    lost = config.notes["examples_of_clusters_in_both_contexts"]
    assert 0 < lost < n
    # By a coin: about as many clusters to the one side as to the other.
    assert abs(len(common) - len(counter)) < 6 * np.sqrt(units / 4)


def test_the_seed_and_the_seed_alone_draws() -> None:
    found = drawn(3)
    one, two = configured(found)[0], configured(found)[0]
    assert np.array_equal(of(one, "id_test"), of(two, "id_test"))
    assert not np.array_equal(of(one, "id_test"), of(configured(found, seed=1)[0], "id_test"))


# What is measured


def test_a_random_reference_shows_no_drop_on_the_measuring_half() -> None:
    """The choosing half's drop is above 0 all the time, by chance alone; the measured one not."""
    measured, chosen, covered = [], [], 0
    for seed in range(150):
        config, _ = configured(drawn(seed, 600), seed=seed)
        told = config.notes["class_balanced_drop"]
        measured.append(told["measured"]["value"])
        chosen.append(told["on the half that it was chosen on"]["value"])
        covered += told["measured"]["low"] <= 0 <= told["measured"]["high"]
    assert min(chosen) > 0
    assert np.mean(chosen) > 0.1
    assert abs(np.mean(measured)) < 3 * np.std(measured) / np.sqrt(len(measured))
    assert covered / len(measured) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(measured))


def test_the_measured_drop_grows_with_the_effect_and_is_the_true_one() -> None:
    drops = []
    for effect in (0.0, 0.1, 0.2, 0.4):
        values = [
            configured(drawn(seed, 4000, effect=effect), seed=seed)[0].notes["class_balanced_drop"][
                "measured"
            ]["value"]
            for seed in range(8)
        ]
        drops.append(float(np.mean(values)))
    assert drops == sorted(drops)
    assert drops[0] == pytest.approx(0.0, abs=0.03)
    assert drops[-1] == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("per_cluster", [1, 5])
def test_intervals_of_the_drop_cover_it(per_cluster: int) -> None:
    rng = np.random.default_rng(per_cluster)
    n_units, hits, rounds = 120, 0, 300
    truth = 0.3
    for _ in range(rounds):
        label = np.repeat(rng.integers(2, size=n_units), per_cluster)
        counter = np.repeat(rng.random(n_units) < 0.5, per_cluster)
        p = np.where(counter, 0.5, 0.8)
        shared = np.repeat(rng.random(n_units), per_cluster)
        own = rng.random(len(label))
        same = rng.random(len(label)) < np.sqrt(0.3)  # intraclass correlation 0.3
        right = (np.where(same, shared, own) < p).astype(np.int64)
        unit = np.repeat(np.arange(n_units), per_cluster)
        found = balanced_drop(label, counter, right, unit)
        hits += found.low <= truth <= found.high
    assert hits / rounds > 0.95 - 3 * np.sqrt(0.95 * 0.05 / rounds)


def test_the_drop_is_the_mean_over_classes() -> None:
    found = drawn(5, effect=0.3)
    config, table = configured(found)
    rows = [r for r in table.to_pylist() if r["half"] == "measuring"]
    whole = next(r for r in rows if r["class"] is None)
    each = [r for r in rows if r["class"] is not None]
    assert whole["drop"] == pytest.approx(np.mean([r["drop"] for r in each]), abs=1e-8)
    assert all(
        r["drop"] == pytest.approx(r["accuracy_common"] - r["accuracy_counter"], abs=1e-8)
        for r in rows
        if r["class"]
    )
    assert whole["drop"] == config.notes["class_balanced_drop"]["measured"]["value"]
    right = np.array(found.examples["right"].to_pylist(), float)
    for split, side in (("id_test", "common"), ("ood_test", "counter")):
        index = of(config, split)
        for row in each:
            mine = index[found.label.codes[index] == found.label.names.index(row["class"])]
            assert row[f"accuracy_{side}"] == pytest.approx(right[mine].mean())


@pytest.mark.parametrize("per_cluster", [1, 4])
def test_training_and_test_examples_of_the_common_contexts_are_exchangeable(
    per_cluster: int,
) -> None:
    """Where the model errs is tied to x, and the choice to where it errs: still no difference."""
    rejected = 0
    rounds = 120
    for seed in range(rounds):
        found = drawn(seed, 1600, per_cluster=per_cluster, effect=0.4)
        config, _ = configured(found, seed=seed, train=0.4)
        x = np.array(found.examples["x"].to_pylist())
        a, b = (_unit_means(x, found.cluster, of(config, s)) for s in ("train", "id_test"))
        z = (a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
        rejected += abs(z) > 1.96
    assert rejected / rounds < 0.05 + 3 * np.sqrt(0.05 * 0.95 / rounds)


def _unit_means(x: NDArray[np.float64], cluster: Codes, rows: Codes) -> NDArray[np.float64]:
    _, unit = np.unique(cluster[rows], return_inverse=True)
    return np.bincount(unit, weights=x[rows]) / np.bincount(unit)


def test_it_is_told_when_no_drop_is_shown() -> None:
    assert configured(drawn(11, 600))[0].notes["warnings"]
    assert not configured(drawn(11, 4000, effect=0.4))[0].notes["warnings"]


# Contexts of the source


def test_contexts_of_the_source_in_which_images_are_together() -> None:
    rng = np.random.default_rng(0)
    n = 900
    classes = ["cat", "dog"]
    label = rng.integers(2, size=n)
    contexts, flags = [], []
    for i in range(n):
        inside = [c for c in ("grass", "sofa", "street") if rng.random() < 0.5]
        contexts += [(i, classes[label[i]], c) for c in inside]
        contexts += [(i, "bird", "sky")]
        flags.append(bool(rng.random() < (0.5 if "street" in inside else 0.9)))
    found = labelled(metadata_of({"label": [classes[k] for k in label], "ok": flags}, contexts))
    (config,), tables = counter_configs(found, 0, reference="ok", min_size=10)
    chosen = [r for r in tables["counter_contexts"].to_pylist() if r["class"]]
    assert {r["counter"] for r in chosen} == {"street"}
    inside_of = {i: {c for j, _, c in contexts if j == i} for i in range(n)}
    for split in config.splits:
        for row in split.rows.to_pylist():
            assert row["attribute"] in inside_of[row["example"]]
            assert ("street" in inside_of[row["example"]]) == (split.name == "ood_test")
    (only,), _ = counter_configs(found, 0, reference="ok", values=("grass", "sofa"), min_size=10)
    assert {g.split("(")[1] for s in only.splits for g in s.rows["group"].to_pylist()} <= {
        "grass)",
        "sofa)",
    }


# What the reference may be


def test_the_forms_of_a_reference_mean_the_same() -> None:
    label = ["cat", "dog", "cat", "dog", "cat"]
    right = [True, False, None, True, False]
    predicted = ["cat", "cat", None, "dog", "horse"]
    digits = {"cat": 0, "dog": 1}
    forms = {
        "flag": right,
        "correct": [None if r is None else int(r) for r in right],
        "predicted": predicted,
        "zero_one": [None if r is None else int(r) for r in right],
    }
    found = labelled(metadata_of({"label": label, **forms}))
    for name in forms:
        assert rightness(found, name).tolist() == [1, 0, -1, 1, 0], name
    numbers = labelled(
        metadata_of({"label": [digits[c] for c in label], "predicted": [0, 0, None, 1, 7]})
    )
    assert rightness(numbers, "predicted").tolist() == [1, 0, -1, 1, 0]


# What cannot be made


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reference": ""}, "name the column with the class that it predicts"),
        ({"reference": "rigth"}, "reference names the column 'rigth'.* did you mean 'right'"),
        ({"reference": "place"}, r"whose values \('p0', .*\) are no classes of the task"),
        ({"attribute": "plaice"}, "attribute names the column 'plaice'.* did you mean 'place'"),
        ({"attribute": "context"}, "the source tells no contexts"),
        ({"attribute": "constant"}, "every example has the value 'one'"),
        ({"values": ("p0", "p9")}, "names the value 'p9'"),
        ({"min_size": 10**4}, r"no class has two contexts with 10000 examples .*'c0'.*min-size"),
        ({"min_size": 0}, "min_size is 0"),
        ({"train": 1.0}, "train 1 "),
        ({"train": -0.1}, "train -0.1"),
        ({"reference": "empty"}, "reference names|no example has both"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    found = drawn(0, 400)
    columns = {n: found.examples[n].to_pylist() for n in ("cluster_id", "place", "right")}
    columns |= {"label": [found.label.names[k] for k in found.label.codes]}
    columns |= {"constant": ["one"] * 400, "empty": pa.nulls(400, pa.bool_())}
    with pytest.raises(ConfigurationError, match=said):
        configured(labelled(metadata_of(columns)), **options)


def test_classes_without_two_contexts_are_dropped_and_listed_or_refused() -> None:
    found = drawn(0, 900)
    columns = {n: found.examples[n].to_pylist() for n in ("cluster_id", "place", "right")}
    names = [found.label.names[k] for k in found.label.codes]
    columns["place"] = [
        "p0" if c == "c1" else p for c, p in zip(names, columns["place"], strict=True)
    ]
    other = labelled(metadata_of({**columns, "label": names}))
    config, table = configured(other)
    assert config.features["label"].names == ("c0", "c2")
    assert list(config.notes["classes_left_out"]) == ["c1"]
    assert "p0" in config.notes["classes_left_out"]["c1"]
    assert set(table["class"].to_pylist()) == {"c0", "c2", None}
    with pytest.raises(ConfigurationError, match=r"1 classes do not have two contexts.*'c1'"):
        configured(other, unusable="refuse")


def test_the_table_is_in_the_benchmark(tmp_path: Path) -> None:
    from datasets import load_dataset

    found = drawn(0, 900, effect=0.4)
    columns = {n: found.examples[n].to_pylist() for n in ("cluster_id", "place", "right")}
    columns["label"] = [found.label.names[k] for k in found.label.codes]
    builder = Subpopulations(
        Made(metadata_of(columns)),
        design="counter",
        reference="right",
        attribute="place",
        min_size=8,
    )
    bench = sb.build(builder, tmp_path / "out", seed=0, measure=False)
    table = load_dataset(str(tmp_path / "out"), "counter_contexts", split="train")
    whole = [r for r in table if r["class"] is None and r["half"] == "measuring"]
    told = bench.manifest.configs["counter"].notes["class_balanced_drop"]["measured"]
    assert [r["drop"] for r in whole] == [told["value"]]
    for split in ("train", "id_test", "ood_test"):
        rows = load_dataset(str(tmp_path / "out"), "counter", split=split)
        assert len(rows) == bench.manifest.configs["counter"].splits[split].rows > 0
