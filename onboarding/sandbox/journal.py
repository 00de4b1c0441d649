"""Every API request that the sandbox got, for tests and for people who look into a failure."""

from __future__ import annotations

import atexit
import json
import threading
import time
from collections import OrderedDict
from typing import Any

from onboarding.sandbox.store import Store

KEPT_ENTRIES = 20_000
FLUSH_SECONDS = 0.2

Entry = dict[str, Any]


class Journal:
    """Entries in memory, written to the store a few times a second and not once per request.

    A killed process loses what it noted in its last `FLUSH_SECONDS`; its other state is safe.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        rows = store.all("SELECT seq, data FROM journal ORDER BY seq DESC LIMIT ?", KEPT_ENTRIES)
        self._entries: OrderedDict[int, Entry] = OrderedDict(
            (row["seq"], json.loads(row["data"])) for row in reversed(rows)
        )
        self._last = max(self._entries, default=0)
        self._unwritten: set[int] = set()
        self._stopped = threading.Event()
        self._writer = threading.Thread(target=self._write_now_and_then, daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def open(self, **fields: Any) -> Entry:
        """Note a request that arrived; its entry, to be handed to `update`."""
        with self._lock:
            self._last += 1
            entry = {"seq": self._last, **fields, "status": None, "fault": None}
            entry |= {"received": time.time(), "stored": None, "answered": None}
            self._entries[self._last] = entry
            self._unwritten.add(self._last)
            while len(self._entries) > KEPT_ENTRIES:
                self._entries.popitem(last=False)
        return entry

    def update(self, entry: Entry, **fields: Any) -> None:
        """Note what became of a request."""
        with self._lock:
            entry.update(fields)
            self._unwritten.add(entry["seq"])

    def after(self, seq: int) -> list[Entry]:
        """Entries with a greater number, oldest first."""
        with self._lock:
            return [dict(entry) for number, entry in self._entries.items() if number > seq]

    def reset(self) -> None:
        """Forget all (the store was wiped by the caller). Numbers go on."""
        with self._lock:
            self._entries.clear()
            self._unwritten.clear()

    def flush(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            changed = [
                (seq, json.dumps(self._entries[seq]))
                for seq in sorted(self._unwritten)
                if seq in self._entries
            ]
            self._unwritten.clear()
        if not changed:
            return
        with self._store.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?)", changed)
            connection.execute("DELETE FROM journal WHERE seq <= ?", (self._last - KEPT_ENTRIES,))

    def close(self) -> None:
        """Stop the writer and write the rest."""
        atexit.unregister(self.close)
        self._stopped.set()
        self._writer.join()
        self.flush()

    def _write_now_and_then(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self.flush()
