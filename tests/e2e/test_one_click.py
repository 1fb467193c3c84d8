"""One click from producer to slate; then a daily run under traffic; then all over again after a restart."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.system import ITEMS, FirthSystem, genre_of
from tests.waiting import wait_until

PERIOD_S = 30


def parity(firth: FirthSystem) -> dict[str, Any]:
    return firth.command("batch", "parity", "--all", may_fail=True)


def assert_exact(found: dict[str, Any]) -> None:
    assert found["mismatches"] == 0, found
    assert found["rows"] > 0


def test_a_click_over_http_changes_the_slate(firth: FirthSystem) -> None:
    before = firth.recommend("ada")
    assert before["session"]["items"] == []
    answer = firth.send([firth.event("ada", ITEMS[0], "click")])
    assert (answer["accepted"], answer["rejected"]) == (1, 0)
    after = firth.wait_for_click("ada", ITEMS[0])
    assert ITEMS[0] not in [item["item_id"] for item in after["items"]]
    assert after["features_as_of_ms"] > before["features_as_of_ms"]


def test_a_bad_event_is_refused_with_its_field_and_the_rest_is_kept(firth: FirthSystem) -> None:
    answer = firth.send([firth.event("ben", ITEMS[1]), firth.event("ben", ITEMS[2], "stare")])
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    refused = answer["verdicts"][1]
    assert (refused["reason"], refused["field"]) == ("contract", "kind")


def test_a_daily_run_under_traffic_leaves_every_merged_feature_equal_to_the_log(firth: FirthSystem) -> None:
    with firth.traffic() as sent:
        started_at_s = time.time()
        wait_until(lambda: time.time() // PERIOD_S > started_at_s // PERIOD_S + 1, 3 * PERIOD_S, "two boundaries")
        assert_exact(parity(firth))
        daily = firth.command("batch", "daily")
        assert daily["cutoff_ms"] > started_at_s * 1000 - PERIOD_S * 1000
        assert_exact(parity(firth))
    assert len(sent) > 100
    settled = parity(firth)
    assert_exact(settled)
    assert settled["unsettled"] == 0, settled
    wait_until(lambda: firth.recommend("ada")["model_version"] == daily["version"], 60, "the new model")
    profile = wait_until(lambda: profile_covered_by_batch(firth, daily["cutoff_ms"]), 60, "the batch row in a profile")
    assert profile["interactions"] >= 1


def profile_covered_by_batch(firth: FirthSystem, cutoff_ms: int) -> dict[str, Any] | None:
    """Any visitor's merged profile whose batch half is of this cutoff."""
    profiles = [firth.visitor(f"visitor-{number}")["profile"] for number in range(40)]
    return next((profile for profile in profiles if profile["covered_to_ms"] == cutoff_ms), None)


def test_a_visitor_with_one_taste_is_shown_that_taste(firth: FirthSystem) -> None:
    drama = [item for item in ITEMS if genre_of(item) == "drama"]
    firth.send([firth.event("cleo", item) for item in drama[:3]])
    slate = firth.wait_for_click("cleo", drama[2])
    shown = [item["item_id"] for item in slate["items"][:5]]
    assert sum(genre_of(item) == "drama" for item in shown) >= 4, slate
    assert slate["items"][0]["reason"]


def test_stopping_and_starting_again_loses_nothing(firth: FirthSystem) -> None:
    firth.send([firth.event("dora", item) for item in ITEMS[:4]])
    firth.wait_for_click("dora", ITEMS[3])
    before = firth.visitor("dora")["session"]
    firth.command("infra", "down")
    firth.command("infra", "up")
    wait_until(lambda: firth.visitor("dora")["session"] == before, 60, "the session to be as it was")
    firth.send([firth.event("dora", ITEMS[4])])
    slate = firth.wait_for_click("dora", ITEMS[4])
    assert slate["session"]["items"][-5:] == list(ITEMS[:5])
    assert_exact(parity(firth))
