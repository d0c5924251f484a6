"""One file a workload, each readable from top to bottom."""
