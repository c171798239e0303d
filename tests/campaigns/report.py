"""What a campaign did, and what went wrong in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Report:
    """Counts of what was done and observed, and one line for each violation."""

    name: str
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def count(self, what: str, more: int = 1) -> None:
        """Add to a count."""
        self.counts[what] = self.counts.get(what, 0) + more

    def violated(self, what: str) -> None:
        """Note something that must never happen."""
        self.violations.append(what)

    @property
    def is_clean(self) -> bool:
        """Whether nothing went wrong."""
        return not self.violations

    def text(self) -> str:
        """Say it all, the verdict last."""
        lines = [f"campaign {self.name}, seed {self.seed}"]
        lines += [f"  {count:>10,} {what}" for what, count in self.counts.items()]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  VIOLATION: {violation}" for violation in self.violations]
        seconds = time.monotonic() - self.started
        lines.append(f"  {len(self.violations):>10,} violations; {seconds:.0f} s")
        return "\n".join(lines)
