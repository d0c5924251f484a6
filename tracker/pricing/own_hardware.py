"""The hourly rate of own hardware, from purchase, maintenance and power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.study.costs import Assumption
from tracker.study.knobs import Knob

HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True, slots=True)
class OwnHardware:
    """A machine that was bought.

    ``utilisation`` is the share of its life in which it works, ``power_kw`` what it then draws at the wall of the
    machine, ``pue`` the data centre's power usage effectiveness, ``maintenance_share`` upkeep over the whole life
    as a share of the purchase.
    """

    purchase_usd: float
    power_kw: float
    lifetime_years: float
    utilisation: float
    pue: float
    usd_per_kwh: float
    maintenance_share: float

    @property
    def capital_usd_per_hour(self) -> float:
        """The purchase, over the hours in which the machine works: purchase / (lifetime hours × utilisation)."""
        return self.purchase_usd / (self.lifetime_years * HOURS_PER_YEAR * self.utilisation)

    @property
    def energy_usd_per_hour(self) -> float:
        """Electricity of a working hour, cooling and losses included: kW × PUE × USD per kWh."""
        return self.power_kw * self.pue * self.usd_per_kwh

    @property
    def maintenance_usd_per_hour(self) -> float:
        """Upkeep and upgrades: their share of the purchase, spread in the same way."""
        return self.capital_usd_per_hour * self.maintenance_share

    @property
    def usd_per_hour(self) -> float:
        """All three together."""
        return self.capital_usd_per_hour + self.energy_usd_per_hour + self.maintenance_usd_per_hour


def _number(help_: str, source: str, default: float | None, low: float, high: float) -> Assumption:
    return Assumption(Knob("float", default, help_, low=low, high=high), source)


OWN_HARDWARE: Mapping[str, Assumption] = {
    "purchase_usd": _number("what the machine cost", "given", None, 0.01, 1e9),
    "power_kw": _number("what it draws while it works", "given", None, 0.0, 1000.0),
    "lifetime_years": _number(
        "years until it is written off", "Amazon 10-K: servers over 5 to 6 years", 5.0, 0.1, 50.0
    ),
    "utilisation": _number("share of its life in which it works", "assumed", 0.6, 0.001, 1.0),
    "pue": _number("power usage effectiveness", "Uptime Institute survey 2025: average 1.54", 1.54, 1.0, 5.0),
    "usd_per_kwh": _number("price of electricity", "EIA, US industrial average, April 2025", 0.09, 0.0, 10.0),
    "maintenance_share": _number("upkeep over its life, as a share of the purchase", "assumed", 0.1, 0.0, 10.0),
}
"""What a user tells of a machine; what has a default may be left out."""
