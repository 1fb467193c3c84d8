"""The routes of the shop's rules: list, read, store, delete, and preview what one would change."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from domain.rules import Rule, RuleBook
from domain.rules.book import RULES_MAX
from domain.slates import Slate
from schemas.events import INSTANT_MAX
from schemas.rules import RULE_ID_PATTERN, RuleEvent, RuleTerms
from serving.api import contract
from serving.api.answers import item_answer
from serving.api.bodies import QUERY_BODY_BYTES_MAX, answer, decode_body, read_body
from serving.api.documents import answers, asks
from serving.api.errors import UnknownRule
from serving.api.queries import query_of
from serving.api.services import Services

RuleId = Annotated[str, Path(pattern=RULE_ID_PATTERN)]
Version = Annotated[int | None, Query(ge=0, le=INSTANT_MAX)]

_TERMS = msgspec.json.Decoder(RuleTerms)
_PREVIEWS = msgspec.json.Decoder(contract.PreviewRequest)


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["rules"])

    @routes.get("/v1/rules", responses=answers(contract.Rules, 422))
    async def list_rules() -> Response:
        """All rules, by name."""
        rules = services.rules().rules
        return answer(contract.Rules(rules=tuple(rules[name].event for name in sorted(rules)), rules_max=RULES_MAX))

    @routes.get("/v1/rules/{rule_id}", responses=answers(RuleEvent, 404, 422))
    async def read_rule(rule_id: RuleId) -> Response:
        """One rule."""
        return answer(_known(services, rule_id).event)

    @routes.put("/v1/rules/{rule_id}", responses=answers(RuleEvent, 409, 413, 503, 422), openapi_extra=asks(RuleTerms))
    async def put_rule(rule_id: RuleId, request: Request, if_version: Version = None) -> Response:
        """Store a rule, new or in the place of the one of its name. It holds on every server within two seconds.

        With `if_version` only if that is the stored version; 0: only if there is none.
        """
        terms = decode_body(_TERMS, await read_body(request, QUERY_BODY_BYTES_MAX))
        return answer((await services.rule_desk.put(rule_id, terms, if_version)).event)

    @routes.delete("/v1/rules/{rule_id}", status_code=204, responses=answers(None, 404, 409, 503, 422))
    async def delete_rule(rule_id: RuleId, if_version: Version = None) -> Response:
        """Delete a rule. It ceases to hold on every server within two seconds."""
        _known(services, rule_id)
        await services.rule_desk.delete(rule_id, if_version)
        return Response(status_code=204)

    @routes.post(
        "/v1/rules/preview",
        responses=answers(contract.Preview, 413, 422),
        openapi_extra=asks(contract.PreviewRequest),
    )
    async def preview(request: Request) -> Response:
        """A visitor's slate as it is, and as it would be with one more or another rule. Nothing is stored or logged."""
        body = decode_body(_PREVIEWS, await read_body(request, QUERY_BODY_BYTES_MAX))
        rule = services.rule_desk.drafted(body.rule_id, body.rule)
        query = query_of(body.query, services.placements, services.now_ms())
        book = services.rules()
        before, after = [
            await services.pipeline.run(replace(query, rules=each.in_force(query.placement, query.asked_at_ms)))
            for each in (book, book.with_rule(rule))
        ]
        return answer(_preview(before, after, rule, services, book))

    return routes


def _known(services: Services, rule_id: str) -> Rule:
    rule = services.rules().rules.get(rule_id)
    if rule is None:
        raise UnknownRule(rule_id)
    return rule


def _preview(before: Slate, after: Slate, rule: Rule, services: Services, book: RuleBook) -> contract.Preview:
    removed = {each.candidate.item_id for each in after.removed if each.rule == rule.rule_id}
    return contract.Preview(
        replaces_version=book.rules[rule.rule_id].event.version if rule.rule_id in book.rules else None,
        holds_now=rule.holds(after.query.placement, after.query.asked_at_ms),
        before=tuple(item_answer(shown, services.catalogue) for shown in before.shown),
        after=tuple(item_answer(shown, services.catalogue) for shown in after.shown),
        hidden=tuple(sorted(removed)),
    )
