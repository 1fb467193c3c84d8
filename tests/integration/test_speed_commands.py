"""`python -m speed …` as a person types it, beside a real Kafka, Flink and Redis.

One job and one writer live through the module; the tests look at them in turn, and the later ones hurt them.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from redis import Redis

from domain.policies import BucketPolicy, Policies
from feature_repo.views import VISITOR_SESSION
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.errors import Reason
from schemas.events import encode
from schemas.topics import INTERACTIONS
from speed.commands.comparison import compare
from speed.commands.replay import part_between
from speed.commands.target import Target
from speed.writer.sink import offsets_field
from tests.builders import interaction
from tests.integration.speed_log import POISON, feed, generated
from tests.integration.speed_shop import LIMIT_S, Shop, Terminal
from tests.waiting import wait_until

EVENTS = 1_200
POLICIES = Policies(bucket=BucketPolicy(period_ms=10_000, kept=64, dedup=1))


@pytest.fixture(scope="module")
def shop(kafka: KafkaSettings, redis_server: object, module_settings: Settings) -> Iterator[Shop]:
    """A job and a writer that have taken a log with duplicates, disorder and poison over several buckets."""
    settings = module_settings.model_copy(update={"policies": POLICIES})
    ensure_topics(settings.kafka)
    where: dict[str, Any] = {"host": settings.redis.host, "port": settings.redis.port}
    with closing(Redis(**where)) as live, closing(Redis(**where, db=1)) as target:
        shop = Shop(settings, live, target)
        generator = random.Random(11)
        feed(settings, generated(generator, EVENTS // 2))
        try:
            shop.start()
            feed(settings, generated(generator, EVENTS // 2))
            shop.wait_level()
            yield shop
        finally:
            shop.stop()
            target.flushdb()


def test_status_tells_a_running_job_its_checkpoint_its_counters_and_what_was_refused(shop: Shop) -> None:
    def counted() -> dict[str, Any] | None:
        """Flink asks its tasks for their counters every ten seconds, and a busy one answers later."""
        told = shop.speed("status")
        counts, refused = told["counted"], told["dead_letters"]["by_reason"]
        has_all = counts["late"] > 0 and counts["duplicate"] > 0 and counts.items() >= refused.items()
        return told if has_all else None

    found = wait_until(counted, LIMIT_S, "the job's counters")
    assert found["job"]["state"] == "RUNNING"
    assert found["checkpoint"]["bytes"] > 0
    assert found["state"]["resumes_from"]
    assert found["lag"]["by_partition"] == {"0": 0, "1": 0, "2": 0, "3": 0}
    by_reason = found["dead_letters"]["by_reason"]
    assert set(by_reason) == set(Reason) - {Reason.FLOOD}
    assert found["dead_letters"]["letters"] == sum(by_reason.values())
    assert {reason: found["counted"][reason] for reason in by_reason} == by_reason


def test_a_letter_is_shown_with_the_whole_record_and_its_key(shop: Shop) -> None:
    listed = shop.run("dead-letters", "list", "--reason", "oversize", "--limit", "1").stdout.splitlines()
    place = listed[0].split()[0]
    letter = shop.speed("dead-letters", "show", place)
    assert letter["reason"] == "oversize"
    assert letter["key_base64"] == "YWRh"
    assert len(letter["raw_base64"]) > 900_000
    assert len(POISON[5][1] or b"") == 900_000


def test_a_place_without_a_letter_is_told(shop: Shop) -> None:
    assert shop.run("dead-letters", "show", "0:999999").returncode == 65
    assert shop.run("dead-letters", "redrive", "0:999999").returncode == 65
    assert shop.run("dead-letters", "redrive").returncode == 65


def test_letters_are_listed_by_reason_and_since_an_instant(shop: Shop) -> None:
    everything = shop.speed("dead-letters", "list", "--limit", "0")
    assert everything["shown"] == 0
    some = shop.speed("dead-letters", "list", "--reason", "key")
    assert some["by_reason"] == {"key": everything["by_reason"]["key"]}
    assert shop.speed("dead-letters", "list", "--since", "2999-01-01")["letters"] == 0


def test_what_would_be_refused_again_is_told_and_not_sent(shop: Shop) -> None:
    before = shop.speed("dead-letters", "list")["letters"]
    found = shop.speed("dead-letters", "redrive", "--reason", "malformed")
    assert found["sent"] == 0
    assert found["refused_again"] == {"malformed": found["selected"]}
    shop.wait_level()
    assert shop.speed("dead-letters", "list")["letters"] == before


def test_a_redriven_letter_counts_once_however_often_it_is_redriven(shop: Shop) -> None:
    topic = f"{shop.settings.kafka.topic_prefix}{INTERACTIONS.name}"
    event = interaction("late-key", visitor="zoe", item="redriven", at_ms=int(time.time() * 1000))
    with closing(KafkaProducer(bootstrap_servers=shop.settings.kafka.bootstrap)) as producer:
        at = producer.send(topic, key=b"not-zoe", value=encode(event)).get(timeout=LIMIT_S)
    place = f"{at.partition}:{at.offset}"
    shop.wait_level()
    assert shop.speed("dead-letters", "redrive", place)["refused_again"] == {"key": 1}
    assert shop.speed("dead-letters", "redrive", place, "--patch-key", "--dry-run")["would_be_sent"] == 1
    assert shop.speed("dead-letters", "redrive", place, "--patch-key")["sent"] == 1
    again = shop.speed("dead-letters", "redrive", place, "--patch-key")
    assert (again["sent"], again["sent_before"]) == (0, 1)
    assert shop.speed("dead-letters", "redrive", place, "--patch-key", "--again")["sent"] == 1
    shop.wait_level()
    assert shop.speed("dead-letters", "show", place)["redriven_at_ms"]
    (zoe,) = [row for key, row in shop.rows().items() if b"zoe" in key]
    assert zoe
    duplicates = shop.speed("status")["counted"]["duplicate"]
    assert duplicates > 0


def test_a_replay_of_the_whole_log_into_an_empty_store_is_byte_equal_to_the_live_one(shop: Shop) -> None:
    found = shop.replay("--compare")
    assert found["compared"]["differing"] == 0, found
    assert found["compared"]["equal"] > 150
    assert found["compared"]["unsettled"] == found["compared"]["outside"] == found["compared"]["expired"] == 0
    assert found["dead_letters"] == shop.speed("dead-letters", "list")["letters"]
    assert found["rows_written"].keys() == {"visitor_session", "visitor_recent", "item_trend"}
    with closing(KafkaAdminClient(bootstrap_servers=shop.settings.kafka.bootstrap)) as admin:
        wait_until(lambda: not any("replay-" in topic for topic in admin.list_topics()), LIMIT_S, "the topics to go")
    assert not list(shop.settings.flink_dir.glob("replay-*"))


def test_a_store_that_differs_is_found_and_the_row_named(shop: Shop) -> None:
    (zoe,) = [key for key in shop.rows() if b"zoe" in key]
    session = VISITOR_SESSION.layout()
    shop.target.hset(zoe, session.fields[0], b"\x20\x63")
    now_ms = int(time.time() * 1000)
    part = part_between(shop.settings.kafka, 0, now_ms)
    target = Target(shop.settings.redis.host, shop.settings.redis.port, 1)
    found = compare(shop.settings, target, part, now_ms)
    assert found.differing == [f"visitor_session zoe: {session.features[0]}"]
    shop.target.hdel(zoe, offsets_field("visitor_recent"))
    assert "visitor_recent zoe: absent in the replay" in compare(shop.settings, target, part, now_ms).differing


def test_a_store_that_holds_something_is_refused_by_a_replay(shop: Shop) -> None:
    where = f"{shop.settings.redis.host}:{shop.settings.redis.port}"
    done = shop.run("replay", "--redis", where)
    assert done.returncode == 78
    assert "holds" in done.stderr


def test_an_empty_range_is_refused_by_a_replay(shop: Shop) -> None:
    shop.target.flushdb()
    where = f"{shop.settings.redis.host}:{shop.settings.redis.port}/1"
    done = shop.run("replay", "--redis", where, "--from", "2999-01-01", "--to", "2999-01-02")
    assert done.returncode == 78


def test_only_the_newest_savepoints_are_kept_and_a_start_resumes_from_the_newest_state(shop: Shop) -> None:
    taken = [shop.speed("savepoint") for _ in range(4)]
    assert [found["removed"] for found in taken] == [0, 0, 0, 1]
    assert not Path(taken[0]["path"]).exists()
    assert all((Path(found["path"]) / "_metadata").exists() for found in taken[1:])
    shop.stop()
    for run in (shop.settings.flink_dir / "checkpoints").glob("*/"):
        shutil.rmtree(run)
    before = shop.rows()
    shop.start()
    assert f'"resume_from": "{taken[-1]["path"]}' in shop.log()
    assert shop.rows() == before


def test_a_savepoint_of_which_a_file_is_cut_is_passed_over(shop: Shop) -> None:
    newest = Path(shop.speed("savepoint")["path"])
    shop.stop()
    largest = max((file for file in newest.iterdir() if file.name != "_metadata"), key=lambda file: file.stat().st_size)
    os.truncate(largest, largest.stat().st_size - 1)
    os.utime(newest / "_metadata", (time.time() + 60, time.time() + 60))
    before = shop.rows()
    shop.start()
    resumed = shop.log().rsplit('"resume_from": ', 1)[1]
    assert "/chk-" in resumed.partition(",")[0]
    assert shop.rows() == before
    shutil.rmtree(newest)


def test_a_job_that_is_down_is_told_and_the_rest_all_the_same(shop: Shop) -> None:
    shop.stop()
    found = shop.speed("status", code=1)
    assert found["job"]["state"] == "DOWN"
    assert found["state"]["resumes_from"]
    assert found["lag"]["records"] == 0
    assert found["dead_letters"]["letters"] > 0
    assert shop.run("savepoint").returncode == 69


def test_a_state_of_another_bucket_period_is_refused(shop: Shop) -> None:
    shop.stop()
    other = Terminal(shop.settings.model_copy(update={"policies": Policies(bucket=BucketPolicy(9_000, 64, 1))}))
    done = other.run("run")
    assert done.returncode == 78
    assert "python -m speed rebuild" in done.stderr


def test_a_rebuild_while_nothing_runs_puts_the_state_aside_and_the_rows_stay_the_same(shop: Shop) -> None:
    shop.stop()
    before = shop.rows()
    found = shop.speed("rebuild")
    assert found["job"] == "not running"
    assert found["from"] == "beginning"
    assert found["lacking_partitions"] == []
    assert list(Path(found["aside"]).glob("checkpoints/*/chk-*/_metadata"))
    assert not (shop.settings.flink_dir / "checkpoints").exists()
    shop.start()
    assert shop.rows() == before


def test_a_rebuild_stops_a_job_in_the_foreground_and_the_next_start_reads_the_log_again(shop: Shop) -> None:
    before = shop.rows()
    found = shop.speed("rebuild")
    assert (found["job"], found["aside"]) == ("stopped", None)
    wait_until(lambda: not shop.is_running(), LIMIT_S, "the job to end")
    shop.stop()
    shop.start()
    assert '"resume_from": null' in shop.log().rsplit("job.submitted", 1)[1]
    assert shop.rows() == before


def test_a_wiped_checkpoint_folder_and_a_wiped_store_are_filled_again_with_the_same_rows(shop: Shop) -> None:
    shop.stop()
    before = shop.rows()
    shutil.rmtree(shop.settings.flink_dir)
    for key in before:
        shop.redis.delete(key)
    shop.redis.delete(f"firth:epoch:{shop.settings.feast.project}")
    shop.start()
    assert shop.rows() == before
