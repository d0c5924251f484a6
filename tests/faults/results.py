"""What a campaign reports: the strikes that were carried out, and how each study came through them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Struck:
    """A strike that was carried out: in which study, at which moment, on what."""

    study: int
    moment: str
    strike: str
    ended: bool  # whether the coordinator ended by it


@dataclass(slots=True)
class StudyResult:
    """The result of one study: its strikes, commands and audits; ``problems`` is empty where everything held."""

    study: int
    strategy: str
    strikes: list[Struck] = field(default_factory=list)
    commands: int = 0
    audits: int = 0
    attempts: int = 0
    price_usd: float = 0.0
    problems: list[str] = field(default_factory=list)
