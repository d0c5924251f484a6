"""Texts with labels, from the packages installed here or from the user's own files."""
