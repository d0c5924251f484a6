"""Reporting: tables, charts and texts about a study."""
