"""What the client costs beside its peers, as a table of ratios: `make perf` runs it."""
