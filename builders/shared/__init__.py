"""What the builders of shifts have in common: labelled examples, their division, changed images."""
