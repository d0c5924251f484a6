"""The study tables that tests of this folder read."""

from tests.support.tables import build_large, by_hand, empty, hostile, realistic, small

__all__ = ["build_large", "by_hand", "empty", "hostile", "realistic", "small"]
