"""Several runs that answer one question: repeats, sweeps, searches, self-checks.

The command line and Python call the same functions. Nothing here prints: what happens is told to an
observer (`events`), and what was found is returned.
"""
