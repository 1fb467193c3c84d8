"""`python -m speed dead-letters list | show | redrive`: what was refused, why, and once more after a fix."""

from __future__ import annotations

import argparse
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from infra.settings import Settings
from schemas.errors import ContractError, Reason
from speed.commands.letters import Letter, Letterbox, Mark, Place, name_of
from speed.commands.redriving import Refused, Sendable, examine
from speed.commands.telling import clock, now_ms, say, tell

SHOWN_MAX: Final = 20
BATCH: Final = 500
RAW_SHOWN_MAX: Final = 4_096


class NoSuchLetter(ContractError):
    """Nothing was refused at this place, or its letter is past its retention."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.places = [name_of(place) for place in places]
        super().__init__(
            f"no dead letter for {', '.join(self.places)}; `python -m speed dead-letters list` shows those there are"
        )


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Its part of the command line."""
    parser = commands.add_parser("dead-letters", help="look at what was refused, and send it again after a fix")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the newest letters, and how many there are by reason")
    listing.add_argument("--reason", type=Reason, choices=list(Reason), help="only these")
    listing.add_argument("--since", type=instant_ms, default=0, metavar="ISO|MS", help="received then or later")
    listing.add_argument("--limit", type=int, default=SHOWN_MAX, metavar="N", help=f"lines to show ({SHOWN_MAX})")
    showing = actions.add_parser("show", help="one letter with its whole record")
    showing.add_argument("place", type=_place, metavar="PARTITION:OFFSET")
    driving = actions.add_parser(
        "redrive",
        help="append the records to the interactions again, with their own keys",
        description=(
            "Append refused records to the interactions again, byte for byte and with their own keys. What would be "
            "refused again is told and not sent. Each letter is marked, so that a second redrive passes over it; an "
            "event that was sent twice all the same counts once."
        ),
    )
    driving.add_argument("places", type=_place, nargs="*", metavar="PARTITION:OFFSET")
    driving.add_argument("--reason", type=Reason, choices=list(Reason), help="all letters with this reason")
    driving.add_argument("--all", action="store_true", help="all letters")
    driving.add_argument("--patch-key", action="store_true", help="key a record by its visitor when its key is wrong")
    driving.add_argument("--again", action="store_true", help="also those that were sent before")
    driving.add_argument("--dry-run", action="store_true", help="only tell what would happen")


def dead_letters(settings: Settings, options: argparse.Namespace) -> int:
    """Dispatch to the action."""
    actions = {"list": list_letters, "show": show, "redrive": redrive}
    with Letterbox(settings.kafka) as box:
        tell(actions[options.action](settings, box, options))
    return 0


def list_letters(_: Settings, box: Letterbox, options: argparse.Namespace) -> dict[str, Any]:
    """Lines for the newest; counts of all that were asked for."""
    reasons, redriven = Counter[str](), 0
    newest: deque[str] = deque(maxlen=max(options.limit, 0))
    for letter in box.letters():
        content = letter.content
        if options.reason in (None, content.reason) and content.received_at_ms >= options.since:
            reasons[content.reason] += 1
            redriven += letter.redriven_at_ms is not None
            newest.append(_line(letter))
    for line in newest:
        say(line)
    return {
        "letters": reasons.total(),
        "shown": len(newest),
        "redriven": redriven,
        "by_reason": dict(sorted(reasons.items())),
    }


def show(_: Settings, box: Letterbox, options: argparse.Namespace) -> dict[str, Any]:
    """One letter; raises NoSuchLetter."""
    letter = next((found for found in box.letters() if found.place == options.place), None)
    if letter is None:
        raise NoSuchLetter([options.place])
    say(_line(letter))
    say(f"key    {letter.key!r:.200}")
    say(f"value  {letter.value[:RAW_SHOWN_MAX]!r}")
    content = letter.content
    return {
        "place": name_of(letter.place),
        "reason": content.reason,
        "detail": content.detail,
        "topic": content.topic,
        "received_at_ms": content.received_at_ms,
        "redriven_at_ms": letter.redriven_at_ms,
        "key_base64": content.key_base64,
        "raw_base64": content.raw_base64,
    }


def redrive(settings: Settings, box: Letterbox, options: argparse.Namespace) -> dict[str, Any]:
    """Send what passes now and mark it, a batch at a time; raises NoSuchLetter before anything is sent."""
    done = Counter[str]()
    refused = Counter[str]()
    wanted = _wanted(box, options)
    examined = _examined(settings, wanted, options, done)
    while batch := list(islice(examined, BATCH)):
        sendable = [found for found in batch if isinstance(found, Sendable)]
        for found in [found for found in batch if isinstance(found, Refused)]:
            refused[found.reason] += 1
            if refused.total() <= SHOWN_MAX:
                say(f"{name_of(found.letter.place):<16} refused again, {found.reason}: {found.detail:.200}")
        done["sent"] += len(sendable)
        if not options.dry_run:
            box.send((found.key, found.letter.value) for found in sendable)
            at_ms = now_ms()
            box.mark((s.letter.place, Mark(redriven_at_ms=at_ms, event_id=s.event.event_id)) for s in sendable)
    return {
        "selected": done["selected"],
        "would_be_sent" if options.dry_run else "sent": done["sent"],
        "sent_before": done["sent_before"],
        "refused_again": dict(sorted(refused.items())),
    }


def _examined(
    settings: Settings, letters: Iterable[Letter], options: argparse.Namespace, done: Counter[str]
) -> Iterator[Sendable | Refused]:
    for letter in letters:
        done["selected"] += 1
        if letter.redriven_at_ms is not None and not options.again:
            done["sent_before"] += 1
        else:
            yield examine(letter, settings.policies.admission, now_ms=now_ms(), patch_key=options.patch_key)


def _wanted(box: Letterbox, options: argparse.Namespace) -> Iterator[Letter]:
    """The letters that the command line names."""
    if (options.reason is not None) + options.all + bool(options.places) != 1:
        raise ContractError("redrive: name places, or a --reason, or --all: one of the three")
    places = set(options.places)
    if missing := places - {letter.place for letter in box.letters() if letter.place in places}:
        raise NoSuchLetter(sorted(missing))
    for letter in box.letters():
        if options.all or letter.content.reason == options.reason or letter.place in places:
            yield letter


def _line(letter: Letter) -> str:
    content = letter.content
    sent = "" if letter.redriven_at_ms is None else f"  redriven {clock(letter.redriven_at_ms)}"
    place = name_of(letter.place)
    return f"{place:<16} {clock(content.received_at_ms)}  {content.reason:<9} {content.detail[:120]!r}{sent}"


def instant_ms(text: str) -> int:
    """An instant on the command line: epoch milliseconds, or ISO 8601 (UTC unless it says otherwise)."""
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is neither ISO 8601 nor epoch milliseconds") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _place(text: str) -> Place:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdigit() and offset.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is not PARTITION:OFFSET")
    return int(partition), int(offset)
