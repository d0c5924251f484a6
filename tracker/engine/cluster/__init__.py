"""Many machines: places, leases, files on their way, and what the time of each machine was for. It knows no Ray."""
