from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shiftbench.statistics import priorities, stream


def test_streams_of_different_purposes_or_ids_are_unrelated():
    draws = {
        key: tuple(stream(*key).integers(0, 2**62, 4))
        for key in [(0, "a", "x"), (0, "a", "y"), (0, "b", "x"), (1, "a", "x"), (0, "ax", "")]
    }
    assert len(set(draws.values())) == len(draws)


def test_a_stream_is_the_same_on_every_machine():
    assert stream(0, "scene", "a").integers(0, 1000, 3).tolist() == [62, 969, 349]


def test_priorities_are_uniform_and_do_not_depend_on_one_another():
    ids = [f"i{n}" for n in range(4000)]
    values = priorities(3, "split", ids)
    assert values.tolist() == priorities(3, "split", ids[::-1]).tolist()[::-1]
    assert stats.kstest(values / 2.0**64, "uniform").pvalue > 1e-3
    other = priorities(4, "split", ids)
    assert abs(stats.spearmanr(values, other).statistic) < 0.06


@pytest.mark.parametrize("ids", [[], [""], ["ü", "<x>"]])
def test_priorities_of_odd_ids(ids):
    assert priorities(0, "p", ids).dtype == np.uint64
    assert len(priorities(0, "p", ids)) == len(ids)
