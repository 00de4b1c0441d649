"""Headers of a message as Standard Webhooks has them (standardwebhooks.com, version 1.0)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from standardwebhooks import Webhook

from onboarding.version import VERSION

BEGINNING = "whsec_"
"""Of a secret, by which receivers' libraries know it."""
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret as the receivers' libraries take it."""
    return BEGINNING + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(
    message_id: str, body: str, signed_with: Sequence[str], *, at: datetime
) -> Mapping[str, str]:
    """What is sent beside the body: with each secret one signature.

    :param at: when it is sent, by the machine's clock: receivers refuse what is older than some
        minutes
    """
    signatures = [Webhook(secret).sign(message_id, at, body) for secret in signed_with]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"onboarding/{VERSION}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
