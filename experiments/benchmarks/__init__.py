"""What the project measures of itself, each run by `python -m experiments.benchmarks.NAME`."""
