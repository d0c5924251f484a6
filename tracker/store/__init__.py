"""Storing studies and reading them back."""
