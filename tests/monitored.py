"""What rules and boards may ask Prometheus for: our metrics as the code has them, and those of Flink that we use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import prometheus_client

from infra import metrics

FLINK_METRICS: Final = frozenset(
    {
        "flink_jobmanager_job_lastCheckpointDuration",
        "flink_jobmanager_job_lastCheckpointFullSize",
        "flink_jobmanager_job_numRestarts",
        "flink_jobmanager_job_numberOfCompletedCheckpoints",
        "flink_jobmanager_job_numberOfFailedCheckpoints",
        "flink_taskmanager_Status_JVM_Memory_Heap_Max",
        "flink_taskmanager_Status_JVM_Memory_Heap_Used",
        "flink_taskmanager_job_task_busyTimeMsPerSecond",
        "flink_taskmanager_job_task_numRecordsInPerSecond",
        "flink_taskmanager_job_task_operator_numDuplicateEvents",
        "flink_taskmanager_job_task_operator_numLateEvents",
        "flink_taskmanager_job_task_operator_pendingRecords",
        "flink_taskmanager_job_task_operator_reason_numRejectedEvents",
    }
)
"""By the names of its reporter; `tests/integration/test_speed_job.py` finds each of them on a running job."""

OF_EVERY_TARGET: Final = frozenset({"up", "process_resident_memory_bytes", "process_cpu_seconds_total"})
"""Prometheus's own, and what its client tells of a process."""

KEYWORDS: Final = frozenset({"and", "or", "unless", "bool", "offset"})
LABEL_LISTS: Final = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
SELECTOR: Final = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
MATCHER: Final = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
NAME: Final = re.compile(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()")


def samples() -> dict[str, list[dict[str, str]]]:
    """Every sample of ours as a scrape names it, with all of its sets of labels."""
    names = {name.removesuffix("_total") for name in metrics.names()}
    found: dict[str, list[dict[str, str]]] = {}
    for family in prometheus_client.REGISTRY.collect():
        if family.name in names:
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample.labels)
    return found


def faults(expression: str, recorded: frozenset[str]) -> Iterator[str]:
    """What an expression asks for that nobody shows; `recorded` are the series that rules make."""
    ours = samples()
    known = ours.keys() | FLINK_METRICS | OF_EVERY_TARGET | recorded
    plain = LABEL_LISTS.sub("", re.sub(r"\[[^]]*\]", "", re.sub(r"\{[^}]*\}", "", expression)))
    for name in NAME.findall(re.sub(r'"[^"]*"', "", plain)):
        if name not in known and name not in KEYWORDS:
            yield f"there is no metric {name}"
    for name, matchers in SELECTOR.findall(expression):
        for label, operator, value in MATCHER.findall(matchers):
            if name in ours and not any(_matches(labels, label, operator, value) for labels in ours[name]):
                yield f"{name} has no {label}{operator}{value}"


def _matches(labels: dict[str, str], label: str, operator: str, value: str) -> bool:
    if label not in labels:
        return False
    same = labels[label] == value if operator in ("=", "!=") else re.fullmatch(value, labels[label]) is not None
    return same != operator.startswith("!")
