"""A package, so that another distribution's ``tests`` never stands in its place."""

import os

# Threads that wait for others sleep. They would spin, for five times the work, as three processes share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
