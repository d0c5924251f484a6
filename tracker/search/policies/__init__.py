"""The rules that a search decides by: each is a class of its own, asked in order (policy.Policy)."""
