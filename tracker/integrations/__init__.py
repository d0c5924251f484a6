"""Callbacks for training libraries with a loop of their own; each needs its extra (``lightning``, ``transformers``).

Nothing else of the tracker imports this package.
"""
