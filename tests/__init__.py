"""A package, so that another distribution's ``tests`` never stands in its place."""
