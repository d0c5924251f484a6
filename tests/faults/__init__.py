"""Real studies that are killed at random moments, resumed and audited: `make faults`."""
