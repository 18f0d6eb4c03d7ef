"""Mixtures of two distributions in stated doses, and streams that drift."""
