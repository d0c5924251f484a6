"""A Ray cluster as a fleet."""
