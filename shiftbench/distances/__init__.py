"""Distances between distributions and between subsets, one module a family."""
