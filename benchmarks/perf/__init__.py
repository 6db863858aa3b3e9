"""The cost of the client beside its peers, as a table of ratios: `make perf` runs it."""
