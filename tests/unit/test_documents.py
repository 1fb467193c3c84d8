"""Documents that point nowhere are worse than none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.topics import ALL_TOPICS, Topic

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"""\]\(([^)#\s]+)(?:#[^)]*)?\)|^\s+click \w+ "([^"]+)\"""", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    links = [text or box for text, box in LINK.findall(document.read_text()) if "://" not in text]
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("topic", ALL_TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_documented(topic: Topic) -> None:
    assert f"`{topic.name}`" in (ROOT / "docs" / "architecture.md").read_text()


def test_every_test_that_a_document_names_exists() -> None:
    named = [name for document in DOCUMENTS for name in re.findall(r"`(tests/\S+\.py::\w+)`", document.read_text())]
    assert len(named) > 30
    missing = [name for name in named if f"def {name.split('::')[1]}(" not in (ROOT / name.split("::")[0]).read_text()]
    assert missing == []
