"""The worker's courier: takes what is due, sends it, writes down what came of it.

One thread with an event loop: who waits for an answer costs a socket, not a thread. The database
is asked in another thread, one question at a time, and many results are written together.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

import aiohttp
from sqlalchemy.orm import Session

from onboarding import clock
from onboarding.db import Database
from onboarding.errors import TokenUnreadable
from onboarding.models import WebhookEndpoint
from onboarding.settings import Settings
from onboarding.vault import Vault
from onboarding.webhooks import outbox, results, signed
from onboarding.webhooks.answer import Answer
from onboarding.webhooks.outbox import Task
from onboarding.webhooks.post import client, post
from onboarding.webhooks.results import Result

AT_ONCE = 400
"""Requests in flight, of one worker; each is a socket, and systems allow some thousand."""
AT_ONCE_TO_ONE = 32
"""To one endpoint; fewer, the fuller the worker is."""
POLLING_SECONDS = 0.25
GATHERING_SECONDS = 0.02
"""So long results are gathered before they are written."""
PAUSE_AFTER_AN_ERROR = 5.0
UNREADABLE = "the secret can't be read: rotate it"
LOOK_UPS = 64
"""Names whose addresses are looked for at once; of one partner fewer (`bounds`)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Receiver:
    """Where to send, and with what to sign."""

    url: str
    secrets: tuple[str, ...]
    partner_id: UUID


class Courier:
    """Sends webhooks until it is told to stop."""

    def __init__(self, database: Database, vault: Vault, settings: Settings) -> None:
        self._database = database
        self._vault = vault
        self._allowed = settings.webhooks_allow_private
        self._stopping = threading.Event()
        self._results: list[Result] = []
        self._in_flight: Counter[UUID] = Counter()
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="webhooks")

    def run(self) -> None:
        """Send until `stop`; what is in flight then is waited for."""
        asyncio.run(self._run())
        self._asking.shutdown()

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopping.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="names"))
        self._ended = asyncio.Event()
        self._sent: set[asyncio.Task[None]] = set()
        async with client(self._allowed) as session:
            while not self._stopping.is_set():
                try:
                    found = await self._turn()
                except Exception:
                    # This thread's end would be the end of all webhooks. They come again.
                    log.exception("Webhooks broke off")
                    await asyncio.sleep(PAUSE_AFTER_AN_ERROR)
                    continue
                for task, receiver in found:
                    self._in_flight[task.endpoint_id] += 1
                    self._begin(session, task, receiver)
                if not found:
                    await self._wait()
                await asyncio.sleep(GATHERING_SECONDS)
            if self._sent:
                await asyncio.wait(self._sent)
        try:
            await self._turn(is_last=True)
        except Exception:
            log.exception("What the last webhooks brought could not be written")

    async def _wait(self) -> None:
        """Until something ends, or for a while."""
        self._ended.clear()
        try:
            async with asyncio.timeout(POLLING_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            pass

    async def _turn(self, *, is_last: bool = False) -> Sequence[tuple[Task, Receiver]]:
        """Write the results, and take what there is room for."""
        loop = asyncio.get_running_loop()
        if self._results:
            ended, self._results = self._results, []
            try:
                await loop.run_in_executor(self._asking, self._note, ended)
            except Exception:
                self._results = ended + self._results  # to be written the next time
                raise
        if is_last:
            return ()
        return await loop.run_in_executor(self._asking, self._take, dict(self._in_flight))

    def _note(self, ended: Sequence[Result]) -> None:
        with self._database.transaction() as session:
            results.note(session, ended)

    def _take(self, in_flight: Mapping[UUID, int]) -> Sequence[tuple[Task, Receiver]]:
        with self._database.reading() as session:
            waiting = outbox.with_work(session)
        found: list[tuple[Task, Receiver]] = []
        free = AT_ONCE - sum(in_flight.values())
        if not waiting or free <= 0:
            return ()
        # Those to which the least is under way come first, so that one that hangs takes no room.
        turns = sorted(waiting, key=lambda one: (in_flight.get(one, 0), secrets.randbits(32)))
        with self._database.transaction() as session:
            for endpoint_id in turns:
                left = free - len(found)
                room = min(AT_ONCE_TO_ONE, max(1, left // 4)) - in_flight.get(endpoint_id, 0)
                if left <= 0 or room <= 0:
                    continue
                if (receiver := self._receiver(session, endpoint_id)) is not None:
                    tasks = outbox.take(session, endpoint_id, room)
                    found += [(task, receiver) for task in tasks]
        return found

    def _receiver(self, session: Session, endpoint_id: UUID) -> Receiver | None:
        endpoint = session.get_one(WebhookEndpoint, endpoint_id)
        held = [(endpoint.secret, endpoint.secret_place)]
        until = endpoint.old_secret_until
        if endpoint.old_secret is not None and until is not None and clock.now() < until:
            held.append((endpoint.old_secret, endpoint.old_secret_place))
        try:
            secrets = tuple(self._vault.decrypt(stored, place=place) for stored, place in held)
        except TokenUnreadable as err:
            if endpoint.failure != UNREADABLE:
                endpoint.failure, endpoint.failing_since = UNREADABLE, clock.now()
                log.error("A webhook endpoint's secret can't be read: %s", err)
            return None
        return Receiver(endpoint.url, secrets, endpoint.partner_id)

    def _begin(self, session: aiohttp.ClientSession, task: Task, receiver: Receiver) -> None:
        sending = asyncio.create_task(self._send(session, task, receiver))
        self._sent.add(sending)
        sending.add_done_callback(self._sent.discard)

    async def _send(self, session: aiohttp.ClientSession, task: Task, receiver: Receiver) -> None:
        # The machine's clock: receivers hold it against theirs.
        headers = signed.headers(task.message_id, task.body, receiver.secrets, at=clock.real())
        try:
            answer = await post(
                session, receiver.url, task.body, headers, partner=receiver.partner_id
            )
        except Exception:
            log.exception("A webhook could not be sent")
            answer = Answer(clock.now(), 0, None, "our work broke off: the worker's log holds why")
        self._in_flight[task.endpoint_id] -= 1
        if not self._in_flight[task.endpoint_id]:
            del self._in_flight[task.endpoint_id]
        self._results.append(Result(task, answer))
        self._ended.set()
