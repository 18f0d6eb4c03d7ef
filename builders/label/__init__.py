"""Label shift: P(y) changes while P(x|y) is held."""
