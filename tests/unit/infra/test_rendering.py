"""What the servers and the speed job are told."""

import json
from pathlib import Path

import yaml

from infra.processes import cassandra, kafka, programs
from infra.processes.ports import PORT_VARIABLES
from infra.processes.topics import topic_settings
from infra.settings import PREFIX, FlinkSettings, KafkaSettings, Settings, load_settings
from schemas.topics import ALL_TOPICS, INTERACTIONS, ITEMS
from speed.job.settings import read_settings


def settings(folder: Path) -> Settings:
    (folder / "jars" / "flink").mkdir(parents=True)
    (folder / "jars" / "flink" / "connector.jar").touch()
    return load_settings(
        state_dir=folder,
        jars_dir=folder / "jars",
        kafka=KafkaSettings(port=9_001, controller_port=9_002, topic_prefix="blue-"),
        flink=FlinkSettings(rest_port=9_003),
    )


def test_kafka_is_told_its_ports_and_nothing_is_left_to_fill(tmp_path: Path) -> None:
    text = kafka.render(settings(tmp_path), tmp_path / "data")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert lines["listeners"] == "PLAINTEXT://127.0.0.1:9001,CONTROLLER://127.0.0.1:9002"
    assert lines["auto.create.topics.enable"] == "false"
    assert lines["log.dirs"] == str(tmp_path / "data")
    assert "{" not in text


def test_cassandra_is_told_its_folders_and_listens_on_loopback(tmp_path: Path) -> None:
    told = yaml.safe_load(cassandra.render(settings(tmp_path), tmp_path))
    assert told["listen_address"] == told["rpc_address"] == "127.0.0.1"
    assert told["data_file_directories"] == [f"{tmp_path}/data"]
    assert told["seed_provider"][0]["parameters"][0]["seeds"] == "127.0.0.1:17000"


def test_the_speed_job_understands_what_it_is_told(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    path = tmp_path / "speed-job.json"
    path.write_text(json.dumps(programs.speed_job(ours)))
    told = read_settings(path)
    assert told.bootstrap == "127.0.0.1:9001"
    assert told.topics.visitor_states == "blue-visitor-states"
    assert told.rest_port == 9_003
    assert told.policies == ours.policies
    assert [Path(jar).name for jar in told.jars] == ["connector.jar", "firth-flink.jar"]


def test_only_logs_are_stamped_on_arrival_and_only_they_expire() -> None:
    assert topic_settings(INTERACTIONS)["message.timestamp.type"] == "LogAppendTime"
    assert topic_settings(INTERACTIONS)["retention.ms"] == str(INTERACTIONS.retention_ms)
    assert topic_settings(ITEMS)["message.timestamp.type"] == "CreateTime"
    assert "retention.ms" not in topic_settings(ITEMS)
    assert {topic_settings(topic)["cleanup.policy"] for topic in ALL_TOPICS} == {"delete", "compact"}


def test_every_port_on_which_something_listens_unasked_can_be_chosen_free() -> None:
    tree = {name: field.default for name, field in Settings.model_fields.items()}
    found = {
        f"{PREFIX}{branch}__{leaf}".upper()
        for branch, piece in tree.items()
        for leaf in getattr(type(piece), "model_fields", {})
        if (leaf == "port" or leaf.endswith("_port")) and getattr(piece, leaf)
    }
    assert set(PORT_VARIABLES) == found
