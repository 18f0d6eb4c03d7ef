"""Label-dense and label-sparse segmentation: what is taken, what is held, masks end to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import shiftbench as sb
from shiftbench.builders.subpopulation.builder import Subpopulations
from shiftbench.builders.subpopulation.density import VARIANTS, density_configs
from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan
from shiftbench.schema import ClassLabel, Image, Metadata
from shiftbench.sources import Phantoms

from .shared.made_sources import metadata

Codes = NDArray[np.int64]

SIZES = (93, 163, 149, 117, 131, 90, 124, 98, 104, 153, 96, 195, 147, 143, 89, 76, 120, 123)
"""Eighteen volumes and 2,211 slices, as Synapse has; eleven of them have an odd number."""


def scans(seed: int = 0, sizes: tuple[int, ...] = SIZES) -> Metadata:
    """Volumes whose middle slices are labelled; `x` has an effect of volume, group and place."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {"volume": [], "mask_share": [], "x": [], "place": []}
    for k, size in enumerate(sizes):
        place = np.arange(size) / size
        start, stop = rng.uniform(0.2, 0.5), rng.uniform(0.75, 1.0)
        share = np.where((place >= start) & (place < stop), rng.uniform(0.01, 0.2, size), 0.0)
        columns["volume"] += [f"case{k:04d}"] * size
        columns["mask_share"] += share.tolist()
        effect = rng.standard_normal()
        columns["x"] += (effect + (share > 0) + 2 * place + rng.standard_normal(size)).tolist()
        columns["place"] += place.tolist()
    n = sum(sizes)
    clusters = [f"patient of {v}" for v in columns["volume"]]
    return metadata(n, columns, clusters=clusters)


def planned(found: Metadata, seed: int = 0, **options: Any) -> dict[str, ConfigPlan]:
    _, configs, _ = density_configs(found, seed, **options)
    return {c.name: c for c in configs}


def rows(config: ConfigPlan, split: str) -> Codes:
    return next(s.index for s in config.splits if s.name == split)


def dense_of(found: Metadata) -> NDArray[np.bool_]:
    return np.array(found.examples["mask_share"].to_pylist()) > 0


# What the variants take


def test_variants_take_what_they_say() -> None:
    found = scans()
    dense = dense_of(found)
    volume = np.array(found.examples["volume"].to_pylist())
    made = planned(found)
    assert tuple(made) == VARIANTS
    train = {name: rows(config, "train") for name, config in made.items()}
    full = train["full"]
    volumes = set(volume[full])
    assert all(set(r.tolist()) <= set(full.tolist()) for r in train.values())
    half = set(volume[train["half_volume"]])
    assert len(half) == len(volumes) // 2
    assert set(train["half_volume"].tolist()) == {i for i in full.tolist() if volume[i] in half}
    for name in volumes:
        for kind in (True, False):
            mine = (volume == name) & (dense == kind)
            n_taken = int(mine[train["half_slice"]].sum())
            assert abs(n_taken - mine[full].sum() / 2) < 1.5
    sparse_kept = train["half_volume_sparse"][~dense[train["half_volume_sparse"]]]
    assert set(sparse_kept.tolist()) == {i for i in train["half_volume"].tolist() if not dense[i]}
    n_dense = dense[train["half_volume"]].sum()
    assert dense[train["half_volume_sparse"]].sum() == round(n_dense / 2)
    taken, p = train["half_slice_sparse"], (~dense[full]).mean()
    assert abs(len(taken) - len(full) / 2) <= 1
    assert (~dense[taken]).sum() / (~dense[full]).sum() == pytest.approx(1 / (1 + p), abs=0.002)
    assert dense[taken].sum() / dense[full].sum() == pytest.approx(0.5 / (1 + p), abs=0.002)
    assert set(train["dense"].tolist()) == set(full[dense[full]].tolist())


def test_the_order_of_the_volume_gives_the_sizes_of_adawac() -> None:
    """With all volumes for training but a few more: 1,111 and 1,118 of 2,211 slices."""
    extra = (50,) * 4
    found = scans(sizes=(*SIZES, *extra))
    volume = np.array(found.examples["volume"].to_pylist())
    made = planned(found, validation=0.0, test=0.15, taking="order")
    full = rows(made["full"], "train")
    sizes = {v: int((volume[full] == v).sum()) for v in sorted(set(volume[full]))}
    assert sum(sizes.values()) == len(full)
    every_second = rows(made["half_slice"], "train")
    assert len(every_second) == sum((n + 1) // 2 for n in sizes.values())
    first = rows(made["half_slice_sparse"], "train")
    assert len(first) == sum(n // 2 + 1 for n in sizes.values())
    for name in sizes:
        mine = full[volume[full] == name]
        assert np.array_equal(every_second[volume[every_second] == name], mine[::2])
        assert np.array_equal(first[volume[first] == name], mine[: len(mine) // 2 + 1])
    # The rules on volumes of the sizes of Synapse: what its lists have.
    assert sum(SIZES) == 2211
    assert sum((n + 1) // 2 for n in SIZES) == 1111
    assert sum(n // 2 + 1 for n in SIZES) == 1118


def test_in_order_the_volumes_with_the_largest_share_of_sparse_slices_are_taken() -> None:
    found = scans()
    dense = dense_of(found)
    volume = np.array(found.examples["volume"].to_pylist())
    made = planned(found, taking="order")
    full, taken = rows(made["full"], "train"), rows(made["half_volume_sparse"], "train")
    kept = set(volume[taken])
    share = {v: float((~dense[volume == v]).mean()) for v in set(volume[full])}
    assert min(share[v] for v in kept) >= max(share[v] for v in set(share) - kept)
    assert len(taken) == sum((volume == v).sum() for v in kept)
    for name in ("half_slice", "half_slice_sparse", "half_volume_sparse"):
        assert made[name].notes["held"]["fixed"] == ""
    assert made["half_volume"].notes["held"]["fixed"] == "P(x, mask | g)"


@pytest.mark.parametrize("taking", ["random", "order"])
def test_no_cluster_is_in_two_splits_and_tests_stay(taking: Any) -> None:
    found = scans()
    dense = dense_of(found)
    made = planned(found, taking=taking)
    clusters = np.array(found.examples["cluster_id"].to_pylist())
    for name, config in made.items():
        seen: dict[str, str] = {}
        for split in config.splits:
            for cluster in set(clusters[split.index]):
                assert seen.setdefault(cluster, split.name) == split.name
            told = [r["group"] for r in split.rows.to_pylist()]
            assert told == ["dense" if d else "sparse" for d in dense[split.index]]
            assert config.notes["groups"][split.name] == {
                "dense": told.count("dense"),
                "sparse": told.count("sparse"),
            }
        assert dense[rows(config, "ood_test_sparse")].sum() == 0
        if name == "dense":
            mixed = rows(config, "ood_test_mixed")
            assert dense[mixed].any()
            assert not dense[mixed].all()
            assert dense[rows(config, "id_test")].all()
        else:
            assert dense[rows(config, "ood_test_dense")].all()
            assert np.array_equal(
                rows(config, "ood_test_dense"), rows(made["full"], "ood_test_dense")
            )
        assert np.array_equal(
            rows(config, "ood_test_sparse"), rows(made["full"], "ood_test_sparse")
        )


def test_the_in_distribution_test_has_the_mixture_of_training() -> None:
    found = scans(sizes=(40,) * 120)
    for config in planned(found).values():
        told = config.notes["dense share"]
        assert told["id_test"] == pytest.approx(told["train"], abs=0.06)
        assert told["validation"] == pytest.approx(told["train"], abs=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_dense_and_sparse_examples_are_exchangeable_across_splits(variant: str) -> None:
    """Within the dense and within the sparse ones no test by volume rejects beyond its level."""
    rounds, rejected, tests = 100, 0, 0
    for seed in range(rounds):
        found = scans(seed, sizes=(9, 12, 6, 15) * 15)
        dense = dense_of(found)
        volume = np.array(found.examples["cluster_id"].to_pylist())
        config = planned(found, seed, variants=(variant,))[variant]
        for column in ("x", "place"):
            x = np.array(found.examples[column].to_pylist())
            for other in ("id_test", "ood_test_sparse"):
                kind = other == "id_test"
                a, b = (
                    _means(x, volume, r[dense[r] == kind])
                    for r in (rows(config, s) for s in ("train", other))
                )
                if not len(a):
                    continue
                z = (a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
                rejected += abs(z) > 2.03  # Student's t with 30 degrees of freedom, about
                tests += 1
    assert tests >= 2 * rounds
    # Two columns of a split are of the same volumes: 100 rounds count, not 400.
    assert rejected / tests < 0.05 + 3 * np.sqrt(0.05 * 0.95 / rounds)


def _means(x: NDArray[np.float64], unit: NDArray[Any], of: Codes) -> NDArray[np.float64]:
    _, codes = np.unique(unit[of], return_inverse=True)
    return np.bincount(codes, weights=x[of]) / np.bincount(codes)


def test_by_the_place_in_the_volume_examples_are_not_exchangeable() -> None:
    """The control of the test above: AdaWAC's sparse half shows other dense slices."""
    found = scans(0, sizes=(30,) * 60)
    dense = dense_of(found)
    place = np.array(found.examples["place"].to_pylist())
    config = planned(found, taking="order")["half_slice_sparse"]
    first, other = rows(config, "train"), rows(config, "ood_test_dense")
    assert place[first[dense[first]]].mean() + 0.15 < place[other].mean()


def test_the_number_of_dense_examples_can_be_given() -> None:
    found = scans()
    shares = np.array(found.examples["mask_share"].to_pylist())
    _, (config,), counts = density_configs(found, 0, dense=700, variants=("full",))
    assert counts["dense_examples"] == 700
    groups = {
        i: g
        for s in config.splits
        for i, g in zip(s.index.tolist(), s.rows["group"].to_pylist(), strict=True)
    }
    cut = np.sort(shares)[-700]
    assert all((g == "dense") == (shares[i] >= cut) for i, g in groups.items())
    # Equal shares go together: slices without any label cannot be told apart.
    labelled = int((shares > 0).sum())
    with pytest.raises(ConfigurationError, match=f"{labelled} of 2211 have a larger share"):
        density_configs(found, 0, dense=labelled + 1)


def test_the_seed_draws_and_an_excluded_example_is_not_named() -> None:
    found = scans()
    one = planned(found)["half_slice"]
    assert np.array_equal(rows(one, "train"), rows(planned(found)["half_slice"], "train"))
    assert not np.array_equal(rows(one, "train"), rows(planned(found, 1)["half_slice"], "train"))
    gone = found.examples["example_id"][int(rows(one, "train")[0])].as_py()
    own, configs, _ = density_configs(found, 0, frozenset([gone]))
    assert gone not in own.examples["example_id"].to_pylist()
    assert len(own.examples) == len(found.examples) - 1
    assert len(configs) == len(VARIANTS)


def test_a_class_is_kept_where_there_is_one() -> None:
    found = scans()
    label = ["a" if i % 3 else "b" for i in range(len(found.examples))]
    with_class = replace(found, examples=found.examples.append_column("organ", pa.array(label)))
    own, (config,), _ = density_configs(with_class, 0, label="organ", variants=("full",))
    assert "organ" not in own.examples.column_names
    for split in config.splits:
        assert split.rows["label"].to_pylist() == ["ab".index(label[i]) for i in split.index]
    assert config.features["label"] == ClassLabel(("a", "b"))
    assert "label" not in planned(found)["full"].features


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"share": "mask_shar"}, "share names the column 'mask_shar'.* did you mean 'mask_share'"),
        ({"share": "volume"}, "holds string; numbers are needed"),
        ({"threshold": 5.0}, "with a threshold of 5 every example is sparse: .* goes from 0 to 0."),
        ({"threshold": -1.0}, "every example is dense"),
        ({"dense": 0}, "dense is 0; allowed: 1 to 2210"),
        ({"volume": "vol"}, "volume names the column 'vol'.* did you mean 'volume'"),
        ({"volume": "half"}, "the volume 'h1' has examples of several clusters"),
        ({"variants": ("fulll",)}, "variants names 'fulll'; allowed: full, half_volume"),
        ({"validation": 0.6}, "shares that leave some"),
        ({"label": "organ"}, "label names the column 'organ'"),
        ({"share": "none"}, "which has 0 numbers in 2211 examples"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    found = scans()
    n = len(found.examples)
    examples = found.examples.append_column("half", pa.array([f"h{i % 2}" for i in range(n)]))
    examples = examples.append_column("none", pa.nulls(n, pa.float64()))
    with pytest.raises(ConfigurationError, match=said):
        density_configs(replace(found, examples=examples), 0, **options)


def test_too_few_volumes() -> None:
    with pytest.raises(ConfigurationError, match="too few for a part"):
        planned(scans(sizes=(10, 12, 9)))


def test_a_source_without_masks_is_told_of() -> None:
    found = scans()
    assert "no column 'mask'" in planned(found)["full"].notes["warnings"][0]
    masks = replace(found, content={"image": Image(), "mask": Image()})
    assert planned(masks)["full"].notes["warnings"] == []


# Masks, end to end


def test_phantoms_with_masks_become_a_segmentation_benchmark(tmp_path: Path) -> None:
    from datasets import load_dataset

    source = Phantoms(n_patients=60, size=64, masks=True)
    builder = Subpopulations(source, design="adawac", variants=("full", "half_slice_sparse"))
    bench = sb.build(builder, tmp_path / "out", seed=0, measure=False)
    known = source.scan().examples
    shares = dict(
        zip(known["example_id"].to_pylist(), known["mask_share"].to_pylist(), strict=True)
    )
    decode = source.decoder()
    n = 0
    for split in ("train", "ood_test_dense", "ood_test_sparse"):
        for row in load_dataset(str(tmp_path / "out"), "full", split=split):
            image, mask = np.asarray(row["image"]), np.asarray(row["mask"])
            assert image.shape == mask.shape == (64, 64)
            assert image.dtype == np.uint16
            truth = decode(row["example_id"]).mask
            assert truth is not None
            assert np.array_equal(mask > 0, truth)
            assert (mask > 0).mean() == pytest.approx(row["mask_share"])
            assert row["group"] == ("dense" if shares[row["example_id"]] > 0 else "sparse")
            n += 1
    assert n > 40
    notes = bench.manifest.configs["full"].notes
    assert "concept shift" in notes["also called"]
    assert notes["warnings"] == []
    assert bench.manifest.configs["full"].splits["ood_test_dense"].shift == "subpopulation"
