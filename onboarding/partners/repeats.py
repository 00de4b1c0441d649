"""Requests that come twice: with the same key, the second gets the answer of the first.

A request is claimed in a transaction of its own, so that others see that it runs. Its answer is
written in the transaction of what it does. A process that is killed between the two has therefore
done nothing, and who asks again may begin anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import Database, delete_oldest
from onboarding.errors import RequestDiffers, RequestRuns
from onboarding.links import digest
from onboarding.models import ApiAnswer
from onboarding.vault import Vault

KEY_MAX = 255
KEPT = timedelta(hours=24)
RUNS_AT_MOST = timedelta(minutes=1)
"""After which one that has left no answer was cut off."""


@dataclass(frozen=True)
class Answer:
    """What a program was answered.

    :ivar headers: those that matter
    """

    status: int
    headers: dict[str, str]
    body: str


def is_usable(key: str) -> bool:
    """Whether it is 1 to 255 visible characters of ASCII; within, there may be spaces."""
    return key.isascii() and key.isprintable() and 0 < len(key.strip()) <= len(key) <= KEY_MAX


def claim(
    database: Database, vault: Vault, partner_id: UUID, key: str, request: bytes
) -> UUID | Answer:
    """Begin a request, or get the answer that it was given before.

    :param request: all that makes it this request
    :return: a claim, for `keep` or `release`; or the answer
    :raise RequestDiffers: if the key was sent with another request
    :raise RequestRuns: if the same request runs at this moment
    :raise TokenUnreadable: if its answer was encrypted with a key that is gone
    """
    row = ApiAnswer(
        id=uuid4(),
        partner_id=partner_id,
        key_digest=digest(key),
        request_digest=hashlib.sha256(request).digest(),
        began_at=now(),
    )
    try:
        with database.transaction() as session:
            known = session.scalar(
                sa.select(ApiAnswer)
                .where(ApiAnswer.partner_id == partner_id, ApiAnswer.key_digest == row.key_digest)
                .with_for_update()
            )
            if known is not None and not _is_over(known):
                return _repeat(vault, known, row.request_digest)
            if known is not None:
                session.delete(known)
                session.flush()
            session.add(row)
            return row.id
    except IntegrityError as err:
        raise RequestRuns("another process was faster") from err


def keep(session: Session, vault: Vault, claimed: UUID, answer: Answer) -> None:
    """Write down what a request is answered, in the transaction of what it does.

    :raise RequestRuns: if it took so long that somebody else has begun it anew
    """
    row = session.scalar(sa.select(ApiAnswer).where(ApiAnswer.id == claimed).with_for_update())
    if row is None:
        raise RequestRuns("somebody else has begun it anew")
    row.answer = vault.encrypt(json.dumps(asdict(answer)), place=row.answer_place)


def release(database: Database, claimed: UUID) -> None:
    """Forget that a request was begun: nothing has come of it.

    Unless its answer stands there: then it was committed, and only the word of that got lost.
    """
    nothing_came = sa.delete(ApiAnswer).where(ApiAnswer.id == claimed, ApiAnswer.answer.is_(None))
    with database.transaction() as session:
        session.execute(nothing_came)


def forget_old(session: Session) -> None:
    """Delete what has been kept for a day."""
    delete_oldest(session, ApiAnswer, by=ApiAnswer.began_at, before=now() - KEPT)


def _is_over(known: ApiAnswer) -> bool:
    """Whether its key is free again."""
    age = now() - known.began_at
    return age > KEPT or (known.answer is None and age > RUNS_AT_MOST)


def _repeat(vault: Vault, known: ApiAnswer, request_digest: bytes) -> Answer:
    if known.request_digest != request_digest:
        raise RequestDiffers("the key was sent with another request")
    if known.answer is None:
        raise RequestRuns("it has not ended")
    return Answer(**json.loads(vault.decrypt(known.answer, place=known.answer_place)))
