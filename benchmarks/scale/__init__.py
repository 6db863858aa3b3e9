"""How a benchmark grows past one machine: a simulation, what it is fed with, and its check."""
