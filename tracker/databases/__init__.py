"""What every store shares: addresses without their secrets, connections that wait, and which program made a schema."""
