from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.points import pr_points, roc_points


def samples(decimals, n=(90, 60)):
    rng = np.random.default_rng(0)
    return rng.normal(size=n[0]).round(decimals), (rng.normal(size=n[1]) + 1).round(decimals)


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("positive", ["ood", "id"])
def test_all_points_are_scikit_learns(decimals, positive):
    x, y = samples(decimals)
    truth, scores = np.repeat([0, 1], [90, 60]), np.concatenate([x, y])
    if positive == "id":
        truth, scores = 1 - truth, -scores
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    found = roc_points(x, y, positive=positive)
    assert found.fpr == pytest.approx(fpr, abs=1e-15)
    assert found.tpr == pytest.approx(tpr, abs=1e-15)
    sign = -1 if positive == "id" else 1
    assert found.thresholds[1:].tolist() == (sign * thresholds[1:]).tolist()
    assert np.isnan(found.thresholds[0])
    assert found.error == 0
    precision, recall, _ = precision_recall_curve(truth, scores)
    points = pr_points(x, y, positive=positive)
    assert points.precision[::-1] == pytest.approx(precision[:-1], abs=1e-15)
    assert points.recall[::-1] == pytest.approx(recall[:-1], abs=1e-15)
    assert points.n_thresholds == len(np.unique(scores))


def test_confidences_mirror():
    x, y = samples(1)
    ours, theirs = roc_points(-x, -y, score_is="confidence"), roc_points(x, y)
    assert np.array_equal(ours.tpr, theirs.tpr)


@pytest.mark.parametrize("max_points", [3, 50, 400])
def test_thinned_curves_stay_within_the_error_that_they_state(max_points):
    x, y = samples(9, (5000, 3000))
    whole, few = roc_points(x, y), roc_points(x, y, max_points=max_points)
    assert len(few.fpr) <= max_points
    assert (few.fpr[0], few.tpr[0], few.fpr[-1], few.tpr[-1]) == (0, 0, 1, 1)
    line = np.interp(whole.fpr, few.fpr, few.tpr)
    inside = ~np.isin(whole.fpr, few.fpr)  # on an upright piece np.interp takes its upper end
    assert np.abs(line - whole.tpr)[inside].max() <= few.error + 1e-12
    assert few.n_thresholds == len(whole.fpr) - 1
    whole, thin = pr_points(x, y), pr_points(x, y, max_points=max_points)
    assert len(thin.recall) <= max_points
    flagged = [c.recall * 3000 / c.precision for c in (whole, thin)]
    line = np.interp(flagged[0], flagged[1], thin.precision)
    assert np.abs(line - whole.precision).max() == pytest.approx(thin.error, abs=1e-9)
    if max_points == 400:
        assert few.error < 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"positive": "OOD"}, "did you mean 'ood'"),
        ({"max_points": 2}, "at least 3"),
        ({"score_is": "x"}, "score_is"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(ConfigurationError, match=words):
        roc_points([1, 2, 3, 4], [2, 3], **options)
    with pytest.raises(ConfigurationError, match="empty"):
        pr_points([], [2, 3])
