"""Priors: against their definitions, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from shiftbench.builders.label.priors import check_prior, earth_mover, shares_of, targets
from shiftbench.errors import ConfigurationError

NAMES = ("cat", "cow", "dog")
SOURCE = np.array([0.5, 0.3, 0.2])


def shares(text: str, source: np.ndarray = SOURCE, seed: int = 0, **kw) -> np.ndarray:
    return shares_of(check_prior(text), source, NAMES[: len(source)], seed, **kw)


def test_knockout_is_what_is_left_when_examples_are_taken_away() -> None:
    counts = {"cat": 500, "cow": 300, "dog": 200}
    counts["cat"] -= 450
    counts["dog"] -= 100
    left = np.array([*counts.values()])
    np.testing.assert_allclose(shares("knockout:cat=0.9,dog=0.5"), left / left.sum())


def test_a_class_that_is_knocked_out_is_gone() -> None:
    np.testing.assert_allclose(shares("knockout:cow=1"), [5 / 7, 0, 2 / 7])


def test_tweak_one_leaves_the_proportions_of_the_others() -> None:
    np.testing.assert_allclose(shares("tweak_one:dog=0.6"), [0.4 * 5 / 8, 0.4 * 3 / 8, 0.6])
    uniform = shares("tweak_one:dog=0.6", np.full(3, 1 / 3))
    np.testing.assert_allclose(uniform, [0.2, 0.2, 0.6])  # as it was published


def test_given_by_order_or_by_name() -> None:
    np.testing.assert_allclose(shares("given:0.2,0.3,0.5"), [0.2, 0.3, 0.5])
    np.testing.assert_allclose(shares("given: dog=0.75, cat=0.25"), [0.25, 0, 0.75])


def test_a_name_may_hold_signs() -> None:
    prior = check_prior("given:<=50K=0.2,>50K=0.8")
    np.testing.assert_allclose(shares_of(prior, np.ones(2) / 2, ("<=50K", ">50K"), 0), [0.2, 0.8])


def test_zipf_by_order_and_at_random() -> None:
    literal = np.array([1, 2**-1.5, 3**-1.5])
    np.testing.assert_allclose(shares("zipf:1.5"), literal / literal.sum())
    found = {tuple(shares("zipf:1.5", seed=s, random_ranks=True).round(6)) for s in range(40)}
    assert len(found) == 6  # every order of the three ranks
    assert all(np.allclose(sorted(f), sorted(literal / literal.sum()), atol=1e-5) for f in found)
    np.testing.assert_allclose(shares("zipf:0"), np.full(3, 1 / 3))


def test_rare_states_the_highest_classes_together() -> None:
    np.testing.assert_allclose(shares("rare:1=0.01"), [0.99 * 5 / 8, 0.99 * 3 / 8, 0.01])
    np.testing.assert_allclose(shares("rare:2=0.1"), [0.9, 0.06, 0.04])


def test_dirichlet_has_the_moments_of_its_distribution() -> None:
    drawn = np.array([shares("dirichlet:0.5", seed=s) for s in range(2000)])
    a, a0 = 0.5, 1.5
    variance = a * (a0 - a) / (a0**2 * (a0 + 1))
    assert np.abs(drawn.mean(axis=0) - 1 / 3).max() < 4.5 * np.sqrt(variance / 2000)
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.15)
    assert not np.allclose(drawn[0], shares("dirichlet:0.5", draw=1))


def test_more_draws_leave_the_first_alone() -> None:
    two, five = (
        targets([check_prior(f"dirichlet:0.3x{n}")], SOURCE, NAMES, 7, random_ranks=False)
        for n in (2, 5)
    )
    assert [t.slug for t in five[:2]] == [t.slug for t in two]
    assert all(np.array_equal(a.shares, b.shares) for a, b in zip(two, five, strict=False))


def test_many_shares_get_a_short_name() -> None:
    prior = check_prior("given:" + ",".join(["0.01"] * 100))
    names = [f"class {i}" for i in range(100)]
    made = targets([prior], np.full(100, 0.01), names, 0, random_ranks=False)
    assert made[0].slug == "given_1"


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=3), st.floats(0, 0.99))
def test_shares_add_up(weights: list[float], value: float) -> None:
    source = np.array(weights) / sum(weights)
    for text in ("own", f"tweak_one:cat={value}", f"knockout:cow={value}", f"zipf:{value}",
                 f"rare:1={value}", "dirichlet:0.1"):  # fmt: skip
        found = shares(text, source)
        assert found.sum() == pytest.approx(1)
        assert (found >= 0).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_earth_mover_is_wasserstein_on_ranks(pairs: list[tuple[float, float]]) -> None:
    one, other = (np.array(w) + 1e-3 for w in zip(*pairs, strict=True))
    one, other = one / one.sum(), other / other.sum()
    ranks = np.arange(len(pairs))
    literal = wasserstein_distance(ranks, ranks, one, other)
    assert earth_mover(one, other) == pytest.approx(literal, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tweek_one:cat=0.5", "did you mean 'tweak_one'"),
        ("tweak_one:0.5", "tweak_one:cat=0.6"),
        ("tweak_one:cat=0.5,dog=0.2", "cannot be read"),
        ("tweak_one:cat=1.5", "0 to 1"),
        ("tweak_one:cat=much", "number is needed"),
        ("dirichlet:0", "above 0"),
        ("dirichlet:nan", "above 0"),
        ("dirichlet:0.1xmany", "number ≥ 1"),
        ("dirichlet:cat=1", "cannot be read"),
        ("zipf:inf", "0 and above"),
        ("own:1", "cannot be read"),
        ("knockout:cat=0.5,cat=0.6", "'cat' twice"),
        ("given:", "cannot be read"),
    ],
)
def test_a_prior_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_prior(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tweak_one:cta=0.5", "did you mean 'cat'"),
        ("given:0.5,0.5", "2 shares for 3 classes"),
        ("given:cat=0.5,dog=0.4", "add up to 0.9"),
        ("knockout:cat=1,cow=1,dog=1", "leaves no class"),
        ("rare:3=0.1", "allowed: 1 to 2"),
        ("rare:top=0.1", "allowed: 1 to 2"),
    ],
)
def test_a_prior_that_these_classes_cannot_have(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        shares(text)


def test_a_class_without_examples_has_no_proportion() -> None:
    with pytest.raises(ConfigurationError, match="none in the source"):
        shares("tweak_one:dog=0.5", np.array([0.5, 0.5, 0.0]))


def test_two_priors_of_one_name() -> None:
    with pytest.raises(ConfigurationError, match="ood_test_own"):
        targets([check_prior("own")] * 2, SOURCE, NAMES, 0, random_ranks=False)
