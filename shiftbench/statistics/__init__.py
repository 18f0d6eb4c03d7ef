"""Estimates with valid intervals, resampling by cluster, and seeded random streams."""

from shiftbench.statistics.clusters import Clusters
from shiftbench.statistics.estimate import Estimate
from shiftbench.statistics.streams import priorities, stream

__all__ = ["Clusters", "Estimate", "priorities", "stream"]
