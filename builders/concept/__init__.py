"""Concept shift: P(y|x) changes while P(x) is held."""
