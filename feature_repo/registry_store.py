"""Feast's registry file, replaced as a whole: Feast's own store writes into it in place, and readers see a part."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.Registry_pb2 import Registry


class AtomicFileRegistryStore(FileRegistryStore):
    """A registry in a file that is complete at every instant. Of two writers the last one wins, as in Feast's own."""

    def _write_registry(self, registry_proto: Registry) -> None:
        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(datetime.now(UTC))
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._filepath.with_name(f".{self._filepath.name}.{uuid.uuid4().hex}")
        try:
            with unfinished.open("wb") as file:
                file.write(registry_proto.SerializeToString())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._filepath)
        finally:
            unfinished.unlink(missing_ok=True)
