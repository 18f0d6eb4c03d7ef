"""From predictions and a benchmark to results: which numbers are taken of which splits."""
