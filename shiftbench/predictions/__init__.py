"""Prediction files of any framework, checked and joined to the rows of a benchmark."""

from shiftbench.predictions.join import Key
from shiftbench.predictions.read import Block, Predictions, read_predictions
from shiftbench.predictions.truth import Truth, joint_clusters, split_truth

__all__ = [
    "Block",
    "Key",
    "Predictions",
    "Truth",
    "joint_clusters",
    "read_predictions",
    "split_truth",
]
