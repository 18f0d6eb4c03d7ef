"""Spaces × distances over the splits and subsets of a benchmark directory."""
