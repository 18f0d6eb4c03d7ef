"""What every builder of shifts promises, by reflection: a new one is covered when registered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from shiftbench.options import flat_options, from_recipe
from shiftbench.plan import ConfigPlan, Plan, SplitPlan
from shiftbench.registry import SOURCES, builders, load

OLDER = ("metashift", "xray")
"""Families with tests of their own, from before there was a shared floor."""

TRAINING = ("train", "validation", "train_unlabeled", "ood_validation", "target_unlabeled")


def presets() -> Iterator[Any]:
    for name, target in sorted(builders().items()):
        kind = load(target)
        if name in OLDER:
            continue
        for preset, options in sorted(getattr(kind, "presets", {}).items()):
            yield pytest.param(name, preset, id=f"{name}-{preset}", marks=_needs(options))


def _needs(options: dict[str, Any]) -> Any:
    """Presets whose source reads the user's files are built in test_real_shifts."""
    source = load(SOURCES[options.get("source", {"name": "table"})["name"]])
    given = set(options.get("source", {}))
    missing = [o.name for o in flat_options(source) if o.required and o.name not in given]
    return pytest.mark.skipif(bool(missing), reason=f"needs the user's own {', '.join(missing)}")


PRESETS = list(presets())


@cache
def made(name: str, preset: str) -> tuple[Any, Plan]:
    kind = load(builders()[name])
    options = dict(kind.presets[preset])
    source = dict(options.pop("source"))
    builder = kind(source=load(SOURCES[source.pop("name")])(**source), **options)
    return builder, builder.plan(builder.source.scan(), 0, frozenset())


def test_every_builder_has_a_preset_that_needs_no_file() -> None:
    without = {n for n in builders() if n not in OLDER}
    for parameter in PRESETS:
        skipped = any(mark.args[0] for mark in parameter.marks)
        if not skipped:
            without -= {parameter.values[0]}
    assert not without


def _moved(config: ConfigPlan) -> list[SplitPlan]:
    """Splits that differ from training by more than a step of size zero, the control."""
    steps = config.notes.get("steps", {})
    return [s for s in config.splits if s.name not in steps or steps[s.name]["parameter"]]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_it_says_what_is_held_fixed(name: str, preset: str) -> None:
    _, plan = made(name, preset)
    tasks = [c for c in plan.configs if c.kind == "task"]
    assert tasks
    for config in tasks:
        held = config.notes["held"]
        assert set(held) == {"factorisation", "fixed", "changed", "by"}
        assert held["factorisation"]
        assert held["by"]
        assert held["changed"] or not any(s.shift != "none" and s.rows for s in _moved(config))


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_nothing_that_may_be_trained_on_is_tested_on(name: str, preset: str) -> None:
    _, plan = made(name, preset)
    codes = plan.metadata.examples["cluster_id"].combine_chunks().dictionary_encode()
    cluster = codes.indices.to_numpy()
    for config in plan.configs:
        if config.kind != "task":
            continue
        of = {s.name: (s.role, set(cluster[s.index].tolist())) for s in config.splits}
        for split, (role, clusters) in of.items():
            if role not in TRAINING:
                continue
            for other, (_, others) in of.items():
                assert split == other or not clusters & others, (config.name, split, other)


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_plan_is_a_function_of_metadata_options_and_seed(name: str, preset: str) -> None:
    builder, plan = made(name, preset)
    found = builder.source.scan()
    assert builder.plan(found, 0, frozenset()).hash == plan.hash
    assert builder.plan(found, 1, frozenset()).hash != plan.hash


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_what_cannot_be_used_is_in_no_split(name: str, preset: str) -> None:
    builder, plan = made(name, preset)
    split = next(s for c in plan.configs for s in c.splits if s.role == "id_test")
    ids = plan.metadata.examples["example_id"].combine_chunks()
    gone = ids[int(split.index[0])].as_py()
    again = builder.plan(builder.source.scan(), 0, frozenset({gone}))
    named = {
        again.metadata.examples["example_id"][int(i)].as_py()
        for c in again.configs
        for s in c.splits
        for i in s.index
    }
    assert gone not in named


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_its_recipe_makes_it_again(name: str, preset: str) -> None:
    builder, _ = made(name, preset)
    options = from_recipe(type(builder), builder.recipe(), "recipe")
    assert type(builder)(source=builder.source, **options) == builder


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_steps_name_splits_that_are_there(name: str, preset: str) -> None:
    _, plan = made(name, preset)
    for config in plan.configs:
        splits = {s.name for s in config.splits}
        for split, step in config.notes.get("steps", {}).items():
            assert {split, step["unchanged"]} <= splits
            assert np.isfinite(step["parameter"])
            assert step["made"] in ("exact", "surrogate")


@pytest.mark.parametrize("name", sorted(set(builders()) - set(OLDER)))
def test_its_face(name: str) -> None:
    kind = load(builders()[name])
    assert kind.name == name
    assert dataclasses.fields(kind)[0].name == "source"
    flat = {o.name: o for o in flat_options(kind)}
    nested = [f.name for f in dataclasses.fields(kind) if f.name not in (*flat, "source")]
    assert not nested, "options that no command line can set"
    assert all(o.help for o in flat.values())
    builder, _ = made(*next(p.values for p in PRESETS if p.values[0] == name and not
                            any(m.args[0] for m in p.marks)))  # fmt: skip
    assert len(builder.card().split()) > 60
