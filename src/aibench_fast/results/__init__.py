"""What runs measured: one run's record, result files of every version, and what many come to."""
