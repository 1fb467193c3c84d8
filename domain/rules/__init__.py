"""Rules of the shop: pins, boosts, hides and filters, and which hold where and when; imports `domain.filters`."""

from domain.rules.book import RuleBook
from domain.rules.force import NO_RULES, RulesInForce, Verdict
from domain.rules.rule import Rule, RuleError

__all__ = ["NO_RULES", "Rule", "RuleBook", "RuleError", "RulesInForce", "Verdict"]
