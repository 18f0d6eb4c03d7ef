"""Orders of arrival: the marginal stays, the bursts are as long as stated."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.label.arrivals import arrival, burst_counts, told
from shiftbench.errors import ConfigurationError

LABEL = np.repeat([0, 1, 3], [300, 150, 50])
IDS = pa.array([f"e{i:04d}" for i in range(len(LABEL))])


def in_time(order: str, length: float = 10.0, seed: int = 0) -> np.ndarray:
    time = arrival(IDS, LABEL, seed, "test", order, length)
    assert sorted(time.tolist()) == [*range(len(LABEL))]
    return LABEL[np.argsort(time)]


def runs(label: np.ndarray) -> int:
    return 1 + int((np.diff(label) != 0).sum())


@pytest.mark.parametrize("order", ["", "bursty", "sorted"])
def test_the_shares_of_classes_stay(order: str) -> None:
    assert np.bincount(in_time(order)).tolist() == np.bincount(LABEL).tolist()


def test_sorted_is_class_by_class() -> None:
    assert in_time("sorted").tolist() == LABEL.tolist()


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(any), st.floats(1, 30))
def test_burst_counts_give_the_mean_length(found: list[int], length: float) -> None:
    counts = np.array(found)
    n, there = counts.sum(), (counts > 0).sum()
    if round(n / length) < there:
        with pytest.raises(ConfigurationError, match="lower --burst-length"):
            burst_counts(counts, length)
        return
    made = burst_counts(counts, length)
    assert made.sum() == round(n / length)
    assert (made <= counts).all()
    assert ((made > 0) == (counts > 0)).all()


def test_bursts_are_runs_as_the_shuffled_bursts_have_them() -> None:
    """Of M shuffled bursts, m of a class, M − Σ m (m − 1)/M runs are expected."""
    m = burst_counts(np.bincount(LABEL), 10.0)
    expected = m.sum() - (m * (m - 1)).sum() / m.sum()
    found = [runs(in_time("bursty", seed=s)) for s in range(200)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    at_random = [runs(in_time("", seed=s)) for s in range(20)]
    assert min(at_random) > 4 * max(found)


def test_lengths_of_bursts_are_those_of_the_chain() -> None:
    """A class alone in the end: its runs between two others are bursts, geometric in length."""
    label = np.repeat([0, 1], [2000, 8])
    ids = pa.array([f"e{i:04d}" for i in range(len(label))])
    lengths: list[int] = []
    for seed in range(40):
        time = arrival(ids, label, seed, "test", "bursty", 100.0)
        cuts = np.flatnonzero(np.diff(np.concatenate([[1], label[np.argsort(time)], [1]])))
        lengths += np.diff(cuts)[::2].tolist()
    made = burst_counts(np.bincount(label), 100.0)
    assert made.tolist() == [19, 1]
    assert len(lengths) > 40
    # One burst of the rare class cuts 19 of the other at a random place: on average in halves.
    assert np.mean(lengths) == pytest.approx(2000 * 40 / len(lengths))


def test_bursts_of_one_are_a_random_order() -> None:
    found = [runs(in_time("bursty", 1.0, seed=s)) for s in range(100)]
    counts = np.bincount(LABEL)
    expected = len(LABEL) - (counts * (counts - 1)).sum() / len(LABEL)
    assert abs(np.mean(found) - expected) < 4 * np.std(found) / 10


def test_no_class_comes_earlier_than_another() -> None:
    early = np.array(
        [np.bincount(in_time("bursty", seed=s)[:100], minlength=4) for s in range(300)]
    )
    expected = 100 * np.bincount(LABEL) / len(LABEL)
    error = early.std(axis=0) / np.sqrt(len(early)) + 1e-9
    assert (np.abs(early.mean(axis=0) - expected) < 4.5 * error).all()


def test_what_is_told() -> None:
    time = arrival(IDS, LABEL, 0, "test", "bursty", 10.0)
    found = told(LABEL, time, "bursty", 10.0)
    assert found["burst_length"] == pytest.approx(10.0)
    assert found["mean_run"] == pytest.approx(len(LABEL) / runs(LABEL[np.argsort(time)]))
    assert told(LABEL, time, "", 10.0)["order"] == "random"
