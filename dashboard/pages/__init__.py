"""One page a file: ``show`` draws it."""
