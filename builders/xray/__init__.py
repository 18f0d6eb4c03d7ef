"""X-ray patch benchmarks: devices as distributions, matched on what else may differ."""
