"""Training environments drawn from in turn, as a `datasets` stream that resumes from its state."""
