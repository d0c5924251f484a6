"""Studies that come from elsewhere, written into a home's MLflow store: read from then on like any other."""
