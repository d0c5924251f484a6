"""What happens in a worker: the machine, the meter, the run, the events."""
