"""Facts as data: read with importlib.resources."""
