"""Corruptions: the same images, changed in stated steps."""
