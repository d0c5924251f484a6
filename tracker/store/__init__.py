"""Where studies are kept, and how they are read back."""
