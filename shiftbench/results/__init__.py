"""Results: one number a row with all that it rests on, curves in a second table; JSON, Parquet."""

from shiftbench.results.results import Results, read_results
from shiftbench.results.rows import ResultRows
from shiftbench.results.schema import CURVES, PROTOCOL, RESULTS, SELECTION

__all__ = [
    "CURVES",
    "PROTOCOL",
    "RESULTS",
    "SELECTION",
    "ResultRows",
    "Results",
    "read_results",
]
