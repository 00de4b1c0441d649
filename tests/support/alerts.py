"""Alerts as Leaf sends them to the stack's web."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterable
from typing import Any

import requests

from tests.support.stack import Stack

TIMEOUT_SECONDS = 60.0
UNAUTHENTICATED = "credentialsUnauthenticated"
LIMITED = "credentialsLimitedPermission"


def alert(credential_id: str, *, kind: str = UNAUTHENTICATED, **changes: Any) -> bytes:
    """The body of an alert about a credential, as Leaf writes it: with spaces after , and :."""
    said = {
        "credential": "sandbox-client",
        "provider": "JohnDeere",
        "credentialId": credential_id,
        "message": "The credential is no longer valid",
        "status": "UNAUTHENTICATED",
        "type": kind,
        "timestamp": "2026-03-09T10:20:30.123456Z",
    }
    return json.dumps(said | changes).encode()


def signature(stack: Stack, body: bytes) -> str:
    """What Leaf writes into its header."""
    secret = stack.environment["LEAF_ALERT_SECRET"]
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def deliver(
    stack: Stack, body: bytes, *, signed: str | None = None, chunks: Iterable[bytes] | None = None
) -> requests.Response:
    """Post a body to where alerts arrive.

    :param signed: the signature; default: the right one
    :param chunks: send these instead, without saying how long they are
    """
    headers = {
        "Content-Type": "application/json",
        "X-Leaf-Signature": signature(stack, body) if signed is None else signed,
    }
    return requests.post(
        f"{stack.public_url}/leaf/alerts",
        data=chunks or body,
        headers=headers,
        timeout=TIMEOUT_SECONDS,
        allow_redirects=False,
    )
