from __future__ import annotations

import threading
from pathlib import Path

from feast.protos.feast.core.Registry_pb2 import Registry
from feast.repo_config import RegistryConfig

from feature_repo.registry_store import AtomicFileRegistryStore

VIEWS = 500


def store_in(folder: Path) -> AtomicFileRegistryStore:
    return AtomicFileRegistryStore(RegistryConfig(path=str(folder / "registry.db")), folder)


def registry() -> Registry:
    made = Registry()
    for number in range(VIEWS):
        made.feature_views.add().spec.name = f"view_{number}"
    return made


def test_a_reader_never_sees_a_part_of_the_registry(tmp_path: Path) -> None:
    store_in(tmp_path).update_registry_proto(registry())
    written = threading.Event()

    def rewrite() -> None:
        store = store_in(tmp_path)
        for _ in range(50):
            store.update_registry_proto(registry())
        written.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    reader = store_in(tmp_path)
    seen = set()
    while not written.is_set():
        found: Registry = reader.get_registry_proto()  # type: ignore[no-untyped-call]
        seen.add(len(found.feature_views))
    writer.join()
    assert seen == {VIEWS}
    assert [path.name for path in tmp_path.iterdir()] == ["registry.db"]
