"""Encryption of the secrets that must be kept for a while.

AES-256-GCM with associated data: the name of the place (table, row, column) is authenticated with
the secret, so a ciphertext that is copied to another row does not decrypt there.

Format: version (1 byte) · key id (4 bytes) · nonce (12 bytes) · ciphertext and tag.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from onboarding.errors import TokenUnreadable

VERSION = b"\x01"
KEY_BYTES = 32
KEY_ID_BYTES = 4
HEAD_BYTES = len(VERSION) + KEY_ID_BYTES
"""So many bytes of what is stored say which key reads it."""
NONCE_BYTES = 12


class Vault:
    """Encrypts with the first key, decrypts with whichever key was used.

    :param keys: AES-256 keys of 32 bytes each, at least one
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def encrypt(self, secret: str, *, place: str) -> bytes:
        """The secret, unreadable without the key and useless in any other place."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, secret.encode(), place.encode())
        return VERSION + self._current + nonce + sealed

    def decrypt(self, stored: bytes, *, place: str) -> str:
        """The secret that was encrypted for this place.

        :raise TokenUnreadable: if its key is not in `ENCRYPTION_KEYS`, or the bytes were changed
            or belong to another place
        """
        key_id = stored[1 : 1 + KEY_ID_BYTES]
        cipher = self._ciphers.get(key_id)
        if stored[:1] != VERSION or cipher is None:
            raise TokenUnreadable(f"no key in ENCRYPTION_KEYS can read {place}")
        nonce = stored[1 + KEY_ID_BYTES :][:NONCE_BYTES]
        sealed = stored[1 + KEY_ID_BYTES + NONCE_BYTES :]
        if len(nonce) < NONCE_BYTES:
            raise TokenUnreadable(f"{place} holds too few bytes")
        try:
            return cipher.decrypt(nonce, sealed, place.encode()).decode()
        except InvalidTag as err:
            raise TokenUnreadable(f"{place} holds bytes that do not belong there") from err

    def is_current(self, stored: bytes) -> bool:
        """Whether the first key encrypted this, so that rotation has nothing to do."""
        return stored[1 : 1 + KEY_ID_BYTES] == self._current

    @property
    def heads(self) -> list[bytes]:
        """With what that begins which a key of ours reads; the first is that of the first key."""
        return [VERSION + key_id for key_id in self._ciphers]

    def has_key_of(self, head: bytes) -> bool:
        """Whether a key of ours is the one that encrypted what begins with these bytes."""
        return head[:1] == VERSION and head[1:HEAD_BYTES] in self._ciphers


def new_key() -> str:
    """A fresh AES-256 key as base64url text, for `ENCRYPTION_KEYS`."""
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"onboarding key id" + key).digest()[:KEY_ID_BYTES]
