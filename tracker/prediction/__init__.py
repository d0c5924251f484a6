"""How long a training would take on hardware that it was never run on: accelerators, the method, its coefficients."""
