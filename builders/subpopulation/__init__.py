"""Subpopulation shift: the cells of class and attribute change, each cell's examples stay alike."""
