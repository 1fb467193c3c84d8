from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("schemas", "domain", "feature_repo", "infra", "batch", "speed", "serving")
IMPORT = re.compile(rf"^\s*(?:from|import) ({'|'.join(PACKAGES)})\b", re.MULTILINE)
RUNS = {
    "main": ("serving", "speed/writer", "batch/lake", "feature_repo", "infra/processes"),
    "speed": ("speed/job",),
    "batch": ("batch", "feature_repo"),
}


@pytest.mark.parametrize("image", sorted(RUNS))
def test_an_image_holds_every_package_that_its_programs_import(image: str) -> None:
    dockerfile = (ROOT / "infra" / "docker" / f"{image}.Dockerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) /srv/firth/", dockerfile, re.MULTILINE))
    sources = [path for folder in RUNS[image] for path in (ROOT / folder).rglob("*.py")]
    imported = {package for path in sources for package in IMPORT.findall(path.read_text())}
    assert imported - copied == set()
