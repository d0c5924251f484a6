"""The audit of a study's books: its event logs, which are the truth, against MLflow and Optuna."""
