"""Results of runs: the record of one, files of every version, and summaries of many."""
