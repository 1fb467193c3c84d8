"""`python -m serving keys create | list | revoke`: who may ask the server, and for what."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from infra.settings import Settings
from schemas.errors import ContractError
from serving.adapters.keys_file import Key, Scope, change_keys, new_key, read_keys, write_private

NAME_MAX: Final = 64


class UnknownKey(ContractError):
    """No key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no key {key_id!r}: `python -m serving keys list` names them")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and what they take. No key is ever an argument: arguments are seen in the list of processes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    created = actions.add_parser("create", help="make a key and print it, once")
    created.add_argument(
        "--scope", type=Scope, choices=list(Scope), action="append", required=True, help="may be given several times"
    )
    created.add_argument("--name", type=_name, default="unnamed", help="whose it is")
    created.add_argument("--requests-per-s", type=_rate, metavar="N", help="instead of the setting's rate")
    created.add_argument("--out", type=Path, metavar="FILE", help="write it there, for your eyes only; print nothing")
    listed = actions.add_parser("list", help="all keys, but for the keys themselves")
    listed.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    revoked = actions.add_parser("revoke", help="no server takes it any more within two seconds")
    revoked.add_argument("key_id", metavar="ID", help="as `list` has it")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do what was asked for."""
    match options.action:
        case "create":
            create(settings.keys_path, options)
        case "list":
            keys = read_keys(settings.keys_path)
            print(msgspec.json.encode([_shown(key) for key in keys]).decode() if options.json else table(keys))  # noqa: T201
        case "revoke":
            revoke(settings.keys_path, options.key_id)
    return 0


def create(path: Path, options: argparse.Namespace) -> None:
    """Add a key to the file, and say it."""
    key, text = new_key(options.name, options.scope, time.time_ns() // 1_000_000, options.requests_per_s)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_private(options.out, text.encode())
    change_keys(path, lambda keys: (*keys, key))
    if options.out is None:
        print(text)  # noqa: T201
    where = "above, for the only time" if options.out is None else f"in {options.out}"
    print(f"key {key.key_id} ({', '.join(key.scopes)}) is {where}", file=sys.stderr)  # noqa: T201


def revoke(path: Path, key_id: str) -> None:
    """Remove a key from the file. Raises UnknownKey."""

    def without(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if all(key.key_id != key_id for key in keys):
            raise UnknownKey(key_id)
        return tuple(key for key in keys if key.key_id != key_id)

    change_keys(path, without)


def table(keys: tuple[Key, ...]) -> str:
    """One line a key, for people."""
    if not keys:
        return "no keys"
    lines = [f"{'id':<12}  {'created (UTC)':<16}  {'scopes':<22}  {'requests/s':>10}  name"]
    for key in keys:
        created = time.strftime("%Y-%m-%d %H:%M", time.gmtime(key.created_at_ms / 1000))
        rate = "setting's" if key.requests_per_s is None else f"{key.requests_per_s:g}"
        lines.append(f"{key.key_id}  {created}  {','.join(key.scopes):<22}  {rate:>10}  {key.name}")
    return "\n".join(lines)


def _shown(key: Key) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(key)
    del shown["sha256"]
    return shown


def _name(text: str) -> str:
    if not 0 < len(text) <= NAME_MAX or not text.isprintable():
        raise argparse.ArgumentTypeError(f"1 to {NAME_MAX} printable characters")
    return text


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= 1e6:
        raise argparse.ArgumentTypeError("above 0, at most 1,000,000")
    return rate
