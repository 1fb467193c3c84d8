"""The shop's rules in memory: what the `rules` topic says of each; and the way of a change into it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from msgspec import structs

from domain.rules import Rule, RuleBook
from domain.rules.book import RULES_MAX
from schemas.errors import ContractError, DependencyError
from schemas.rules import RuleEvent, RuleTerms, decode_rule, encode_rule
from schemas.topics import RULES
from serving.adapters.gateway import Publishing
from serving.adapters.publisher import REMEDY, Confirmed, Record, Unconfirmed

log = logging.getLogger(__name__)


class RuleConflict(ContractError):
    """A change was made to another version of a rule than the one that holds, or there are too many rules."""


class FollowedRules:
    """The book of rules. A change makes another book, which the next query opens.

    A change that Kafka has just taken holds here at once. Until it comes back from the topic, what the topic still says
    of that rule is older and passed over.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._book = RuleBook()
        self._ahead: dict[str, tuple[bytes | None, int]] = {}  # by rule: (our change, its version or the deleted one)

    def book(self) -> RuleBook:
        """The rules as they are now."""
        return self._book

    def take(self, newest: Mapping[str, bytes | None]) -> None:
        """Take a piece of the topic."""
        with self._lock:
            book = self._book
            for rule_id, raw in newest.items():
                if not self._is_behind(rule_id, raw):
                    self._ahead.pop(rule_id, None)
                    book = _taken(book, rule_id, raw)
            self._book = book

    def take_at_once(self, rule_id: str, raw: bytes | None) -> None:
        """Take a change that Kafka has just taken."""
        with self._lock:
            before = self._book.rules.get(rule_id)
            self._book = _taken(self._book, rule_id, raw)
            after = self._book.rules.get(rule_id, before)
            self._ahead[rule_id] = (raw, after.event.version if after else 0)

    def _is_behind(self, rule_id: str, raw: bytes | None) -> bool:
        """Whether the topic has not come to our own change of the rule yet. A greater version is another server's, made
        since: then the topic may not tell of ours any more.
        """
        own, version = self._ahead.get(rule_id, (raw, 0))
        if raw == own:
            return False
        try:
            return raw is None or decode_rule(raw).version <= version
        except ContractError:
            return True


def _taken(book: RuleBook, rule_id: str, raw: bytes | None) -> RuleBook:
    if raw is None:
        return book.without(rule_id)
    try:
        rule = Rule.of(decode_rule(raw))
    except ContractError as error:
        log.warning("rule.rejected", extra={"rule_id": rule_id, "problem": str(error)})
        return book
    if rule.rule_id != rule_id:
        log.warning("rule.rejected", extra={"rule_id": rule_id, "problem": f"it calls itself {rule.rule_id!r}"})
        return book
    return book.with_rule(rule)


class RuleDesk:
    """Changes rules: in Kafka first, and once it is there, here; the other servers follow the topic."""

    def __init__(
        self, publisher: Publishing, followed: FollowedRules, topic_prefix: str, now_ms: Callable[[], int]
    ) -> None:
        self._publisher = publisher
        self._followed = followed
        self._topic = RULES.named(topic_prefix).name
        self._now_ms = now_ms

    def drafted(self, rule_id: str, terms: RuleTerms) -> Rule:
        """The rule as it would be stored now. Raises RuleError."""
        known = self._followed.book().rules.get(rule_id)
        version = max(self._now_ms(), known.event.version + 1 if known else 0)
        return Rule.of(RuleEvent(**structs.asdict(terms), rule_id=rule_id, version=version))

    async def put(self, rule_id: str, terms: RuleTerms, if_version: int | None) -> Rule:
        """Store a rule, new or in the place of the one of its name; `if_version` 0 means that there must be none.

        Raises:
            RuleError: its terms do not go together.
            RuleConflict: another version is stored than `if_version`, or there are `RULES_MAX` rules.
            DependencyError: Kafka did not take it.
        """
        rule = self.drafted(rule_id, terms)
        rules = self._followed.book().rules
        self._expect(rule_id, if_version)
        if rule_id not in rules and len(rules) >= RULES_MAX:
            raise RuleConflict(f"there are {len(rules)} rules, at most {RULES_MAX}: delete one first")
        await self._publish(rule_id, encode_rule(rule.event))
        return rule

    async def delete(self, rule_id: str, if_version: int | None) -> None:
        """Delete a rule. Raises RuleConflict and DependencyError as `put` does."""
        self._expect(rule_id, if_version)
        await self._publish(rule_id, None)

    def _expect(self, rule_id: str, version: int | None) -> None:
        known = self._followed.book().rules.get(rule_id)
        stored = known.event.version if known else 0
        if version is not None and version != stored:
            raise RuleConflict(f"version {stored} of rule {rule_id!r} is stored, not {version}: read it again")

    async def _publish(self, rule_id: str, value: bytes | None) -> None:
        (outcome,) = await self._publisher.publish([Record(self._topic, rule_id, value)])
        if not isinstance(outcome, Confirmed):
            problem = outcome.problem if isinstance(outcome, Unconfirmed) else "the rule was put aside"
            raise DependencyError("kafka", problem, REMEDY)
        self._followed.take_at_once(rule_id, value)
