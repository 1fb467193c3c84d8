"""One chaos run from start to verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from infra.settings import Settings
from tests.chaos.dailies import Dailies
from tests.chaos.faults import GaveUp, Injector
from tests.chaos.judgement import Verdict, judge
from tests.chaos.platform import Platform
from tests.chaos.schedule import Kill, kills, moments
from tests.chaos.sending import Ledger, Sender, now_ms
from tests.chaos.shipment import Mix, Shipment
from tests.chaos.traffic import traffic

STATUS_PERIOD_S: Final = 5.0
REST_LIMIT_S: Final = 240.0
DAILY_LIMIT_S: Final = 600.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed and a duration make: the load and the kills."""

    seed: int
    mix: Mix
    daily_pause_s: float
    ends_with_daily: bool

    def kills(self) -> list[Kill]:
        """The kills, in their order."""
        return kills(self.seed, self.mix.duration_ms)


class Storm:
    """Runs a plan on a platform that is up."""

    def __init__(self, settings: Settings, platform: Platform, plan: Plan, say: Say) -> None:
        self._settings = settings
        self._platform = platform
        self._plan = plan
        self._say = say
        self._ledger = Ledger()
        self._started_s = time.monotonic()
        self._told_s = 0.0
        self._is_over = False
        self._gave_up: list[str] = []

    def run(self) -> Verdict:
        """Send and kill, wait until all is at rest, and judge."""
        start_ms = now_ms()
        sender = Sender(self._settings, self._ledger)
        dailies = Dailies(self._settings, moments(self._plan.seed), start_ms, self._plan.daily_pause_s, self._tell)
        try:
            sender.start()
            dailies.start()
            self._rage(traffic(self._plan.seed, self._plan.mix, start_ms), sender)
            self._tell("the storm is over; waiting until all is at rest")
            verdict = self._settle(sender, dailies)
        finally:
            self._is_over = True
            dailies.stop()
            sender.stop()
        return verdict

    def _rage(self, shipments: list[Shipment], sender: Sender) -> None:
        """Hand over what is due, while another thread kills what is due."""
        killer = threading.Thread(target=self._kill_all, name="chaos-killer", daemon=True)
        self._started_s = time.monotonic()
        killer.start()
        for shipment in shipments:
            while (early_s := shipment.at_ms / 1_000 - self._elapsed_s) > 0:
                self._show(sender)
                time.sleep(min(early_s, STATUS_PERIOD_S))
            sender.hand_over(shipment)
        while killer.is_alive():
            self._show(sender)
            killer.join(timeout=STATUS_PERIOD_S)

    def _kill_all(self) -> None:
        injector = Injector(self._settings, lambda: self._is_over)
        for kill in self._plan.kills():
            time.sleep(max(kill.at_ms / 1_000 - self._elapsed_s, 0))
            try:
                pids = injector.kill(kill.target)
            except GaveUp as error:
                self._gave_up.append(str(error))
                self._tell(str(error))
            else:
                self._tell(f"kill -9 {kill.target}: {', '.join(map(str, pids))}; planned at {kill.at_ms / 1000:.1f} s")

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def _settle(self, sender: Sender, dailies: Dailies) -> Verdict:
        verdict = Verdict(complaints=list(self._gave_up))
        if not dailies.finish(DAILY_LIMIT_S):
            verdict.complaints.append("a daily run did not come to its end")
        self._rest(sender, verdict)
        self._parity(verdict, "parity")
        verdict.facts["restarts"] = self._platform.restarts()
        if self._plan.ends_with_daily:
            if not dailies.run_one():
                verdict.complaints.append(f"the last daily run failed: {dailies.failed[-1:]}")
            gaps = self._parity(verdict, "parity_after_daily").get("history_gaps")
            if gaps:
                verdict.complaints.append(f"{gaps} rows lack history that batch has covered by now")
        judged = judge(self._settings, self._ledger)
        judged.complaints = verdict.complaints + judged.complaints
        judged.facts = (
            judged.facts
            | verdict.facts
            | {
                "dailies": len(dailies.done),
                "dailies_killed": dailies.killed,
                "dailies_failed": len(dailies.failed),
            }
        )
        return judged

    def _rest(self, sender: Sender, verdict: Verdict) -> None:
        """Until all is acknowledged, every service is ready and no lag is left, twice in a row."""
        deadline, quiet = time.monotonic() + REST_LIMIT_S, 0
        while quiet < 2:
            busy = {"unacknowledged": sender.open} if sender.open else {}
            state = busy or self._platform.unusable() or self._platform.backlog()
            quiet = 0 if state else quiet + 1
            if time.monotonic() > deadline:
                verdict.complaints.append(f"no rest within {REST_LIMIT_S:.0f} s: {state}")
                return
            self._tell(f"at rest {quiet} of 2" if quiet else f"busy: {state}")
            time.sleep(1)

    def _parity(self, verdict: Verdict, name: str) -> dict[str, Any]:
        code, found = self._platform.run("batch", "parity", "--all", "--at-rest")
        verdict.facts[name] = found
        self._tell(f"{name}: {found}"[:600])
        if code or found.get("mismatches") or found.get("unsettled") or not found.get("rows"):
            verdict.complaints.append(f"{name}: exit code {code}: {found}"[:4_000])
        return found

    def _show(self, sender: Sender) -> None:
        if time.monotonic() - self._told_s < STATUS_PERIOD_S:
            return
        acknowledged = len(self._ledger.landed) + len(self._ledger.accepted)
        down = {name: state.split()[0] for name, state in self._platform.unusable().items()}
        self._tell(
            f"{acknowledged} acknowledged, {sender.open} open, {self._ledger.retries} sent again; {down or 'all up'}"
        )

    def _tell(self, line: str) -> None:
        self._told_s = time.monotonic()
        self._say(f"{self._elapsed_s:7.1f} s  {line}")
