"""Keys: made once, stored as a hash, recognised, followed, revoked."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from infra.settings import load_settings
from serving import __main__ as program
from serving.adapters.keys_file import BadKeys, KeyRing, KeysWatcher, Scope, change_keys, new_key, read_keys


def serving(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["serving", *arguments])
    return program.main()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRTH_STATE_DIR", str(tmp_path))
    return load_settings().keys_path


def test_a_key_is_recognised_and_nothing_that_differs_from_it_is() -> None:
    key, text = new_key("shop", [Scope.PRODUCE], 0)
    other = new_key("other", [Scope.ADMIN], 0)
    ring = KeyRing([key, other.key])
    assert ring.holder(text.encode()) == key
    swapped = f"firth_{other.key.key_id}_{text.split('_', 2)[2]}"
    for wrong in ("", "firth", text[:-1], text + "x", text.upper(), swapped, key.sha256, "é" * 60, "_" * 60):
        assert ring.holder(wrong.encode()) is None, wrong


def test_a_key_has_256_random_bits_and_the_file_holds_none_of_them(path: Path) -> None:
    key, text = new_key("shop", [Scope.CONSUME, Scope.PRODUCE, Scope.CONSUME], 0)
    change_keys(path, lambda keys: (*keys, key))
    secret = text.split("_", 2)[2]
    assert len(secret) == 43
    assert secret not in path.read_text()
    assert read_keys(path) == (key,)
    assert key.scopes == (Scope.CONSUME, Scope.PRODUCE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_command_creates_lists_and_revokes(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving(monkeypatch, "keys", "create", "--scope", "produce", "--scope", "consume", "--name", "shop") == 0
    text = capsys.readouterr().out.strip()
    (key,) = read_keys(path)
    assert KeyRing([key]).holder(text.encode()) == key
    assert serving(monkeypatch, "keys", "list") == 0
    listed = capsys.readouterr().out
    assert key.key_id in listed
    assert "consume,produce" in listed
    assert text not in listed
    assert key.sha256 not in listed
    assert serving(monkeypatch, "keys", "list", "--json") == 0
    assert '"name":"shop"' in capsys.readouterr().out
    assert serving(monkeypatch, "keys", "revoke", key.key_id) == 0
    assert read_keys(path) == ()
    with pytest.raises(Exception, match="no key"):
        serving(monkeypatch, "keys", "revoke", key.key_id)


def test_a_key_may_go_to_a_file_for_its_owner_only_and_is_then_not_printed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "local" / "key"
    assert serving(monkeypatch, "keys", "create", "--scope", "admin", "--out", str(out)) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert out.read_text() not in said.err
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert KeyRing(read_keys(path)).holder(out.read_bytes()) is not None


@pytest.mark.parametrize("wrong", [["--scope", "root"], [], ["--scope", "admin", "--name", ""]])
def test_a_wrong_command_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch, wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        serving(monkeypatch, "keys", "create", *wrong)
    assert not path.exists()


async def test_a_server_follows_the_file(path: Path) -> None:
    watcher = KeysWatcher(path)
    await watcher.look()
    assert len(watcher.ring) == 0
    key, text = new_key("shop", [Scope.ADMIN], 0)
    change_keys(path, lambda keys: (*keys, key))
    await watcher.look()
    assert watcher.ring.holder(text.encode()) == key
    change_keys(path, lambda keys: ())
    await watcher.look()
    assert watcher.ring.holder(text.encode()) is None


async def test_a_file_that_holds_no_keys_is_refused_and_those_of_before_go_on(path: Path) -> None:
    key, text = new_key("shop", [Scope.ADMIN], 0)
    change_keys(path, lambda keys: (*keys, key))
    watcher = KeysWatcher(path)
    await watcher.look()
    good = await asyncio.to_thread(path.read_bytes)
    await asyncio.to_thread(path.write_bytes, b'{"keys": [{}]}')
    await watcher.look()
    assert watcher.problem is not None
    assert watcher.ring.holder(text.encode()) == key
    with pytest.raises(BadKeys, match=r"keys\.json"):
        read_keys(path)
    await asyncio.to_thread(path.write_bytes, good)
    await watcher.look()
    assert watcher.problem is None


def test_two_changes_at_once_are_both_kept(path: Path) -> None:
    keys = [new_key(f"k{number}", [Scope.CONSUME], 0).key for number in range(4)]
    children = []
    for key in keys:
        if (child := os.fork()) == 0:
            change_keys(path, lambda found, key=key: _slowly((*found, key)))  # type: ignore[misc]
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert {key.key_id for key in read_keys(path)} == {key.key_id for key in keys}


def _slowly(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    time.sleep(0.01)
    return keys
