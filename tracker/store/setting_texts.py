"""Settings as MLflow has them, which knows texts only, and back."""

from __future__ import annotations

import json

from tracker.records import SettingValue


def setting_text(value: SettingValue) -> str:
    """A setting as MLflow's text.

    >>> setting_text(True), setting_text(8.0), setting_text("bf16")
    ('true', '8.0', 'bf16')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def setting_value(text: str) -> SettingValue:
    """A setting from MLflow's text: a number or a truth value where it reads as one.

    >>> setting_value("true"), setting_value("8.0"), setting_value("bf16")
    (True, 8.0, 'bf16')
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
