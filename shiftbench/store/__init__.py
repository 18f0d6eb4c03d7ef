"""The benchmark directory: write, manifest, card, verify."""
