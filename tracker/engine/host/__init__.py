"""What runs on each machine of a fleet."""
