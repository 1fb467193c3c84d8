"""Where Java 17 is and which jars a server needs. A missing one is told in one line with its remedy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

JAVA_MAJOR: Final = 17
"""Cassandra 5.0 runs on 11 and 17 only, Kafka 4 needs at least 17."""


@cache
def java_home() -> Path:
    """The home of a Java of the right version: from JAVA_HOME, the PATH or the usual places.

    Raises:
        ConfigurationError: there is none.
    """
    for home in _candidates():
        if _major_version(home / "bin" / "java") == JAVA_MAJOR:
            return home
    raise ConfigurationError(
        "JAVA_HOME",
        f"no Java {JAVA_MAJOR} was found there, on the PATH or in /usr/lib/jvm",
        f"install one (Debian: apt-get install openjdk-{JAVA_MAJOR}-jdk-headless) or set JAVA_HOME",
    )


def java_command() -> str:
    """The `java` program."""
    return str(java_home() / "bin" / "java")


def jars_of(jars_dir: Path, server: str) -> Path:
    """The folder with the server's jars. Raises ConfigurationError when it is empty."""
    folder = jars_dir / server
    if not any(folder.glob("*.jar")):
        raise ConfigurationError("FIRTH_JARS_DIR", f"{folder} holds no jars", "run `make setup`, which gets them")
    return folder


def _candidates() -> Iterator[Path]:
    if "JAVA_HOME" in os.environ:
        yield Path(os.environ["JAVA_HOME"])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    yield from sorted(Path("/usr/lib/jvm").glob(f"*{JAVA_MAJOR}*"))
    yield from sorted(Path("/Library/Java/JavaVirtualMachines").glob(f"*{JAVA_MAJOR}*/Contents/Home"))


def _major_version(java: Path) -> int | None:
    if not java.exists():
        return None
    told = subprocess.run((java, "-version"), capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    return int(version[1]) if version else None
