"""The vault: a secret comes back in its own place, with its own key, unchanged, or not at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboarding.errors import TokenUnreadable
from onboarding.settings import ENCRYPTION_KEY_BYTES
from onboarding.vault import HEAD_BYTES, KEY_ID_BYTES, NONCE_BYTES, Vault, new_key

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
TOKEN = "refresh-7Hq2Zx81kP0_wVbN3m"
HERE = "connection/1/refresh_token"
TAG_BYTES = 16
KEY_ID_AT = 1
NONCE_AT = KEY_ID_AT + KEY_ID_BYTES
SEALED_AT = NONCE_AT + NONCE_BYTES

# No half of a surrogate pair: that is no text, and no token has one.
texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(secret=texts, place=texts, key=st.binary(min_size=32, max_size=32))
def test_what_was_encrypted_for_a_place_is_read_there(secret: str, place: str, key: bytes) -> None:
    vault = Vault([key])

    assert vault.decrypt(vault.encrypt(secret, place=place), place=place) == secret


@given(here=texts, there=texts)
def test_what_was_encrypted_for_one_place_is_unreadable_in_another(here: str, there: str) -> None:
    vault = Vault([NEW])
    stored = vault.encrypt(TOKEN, place=here)

    if here != there:
        with pytest.raises(TokenUnreadable):
            vault.decrypt(stored, place=there)


@pytest.mark.parametrize(
    "there",
    [
        "connection/2/refresh_token",
        "connection/1/access_token",
        "attempt/1/refresh_token",
        "connection/1/refresh_toke",
        "connection/1/refresh_token ",
        "",
    ],
)
def test_a_token_moved_to_another_row_or_column_is_unreadable(there: str) -> None:
    vault = Vault([NEW])

    with pytest.raises(TokenUnreadable):
        vault.decrypt(vault.encrypt(TOKEN, place=HERE), place=there)


def test_the_same_secret_never_looks_the_same_twice() -> None:
    vault = Vault([NEW])
    stored = {vault.encrypt(TOKEN, place=HERE) for _ in range(50)}

    assert len(stored) == 50
    assert len({one[NONCE_AT:SEALED_AT] for one in stored}) == 50


def test_nothing_of_the_secret_or_the_key_stands_in_what_is_stored() -> None:
    stored = Vault([NEW]).encrypt(TOKEN, place=HERE)

    assert TOKEN.encode() not in stored
    assert NEW not in stored
    assert len(stored) == SEALED_AT + len(TOKEN) + TAG_BYTES


def test_the_first_key_encrypts() -> None:
    stored = Vault([NEW, OLD]).encrypt(TOKEN, place=HERE)

    assert Vault([NEW]).decrypt(stored, place=HERE) == TOKEN
    with pytest.raises(TokenUnreadable):
        Vault([OLD]).decrypt(stored, place=HERE)


@pytest.mark.parametrize("keys", [[OLD], [NEW, OLD], [NEW, OTHER, OLD], [OLD, NEW]])
def test_every_key_decrypts_wherever_it_stands(keys: list[bytes]) -> None:
    stored = Vault([OLD]).encrypt(TOKEN, place=HERE)

    assert Vault(keys).decrypt(stored, place=HERE) == TOKEN


def test_a_dropped_key_is_named_as_the_reason_without_the_secret() -> None:
    stored = Vault([OLD]).encrypt(TOKEN, place=HERE)

    with pytest.raises(TokenUnreadable) as caught:
        Vault([NEW, OTHER]).decrypt(stored, place=HERE)

    assert str(caught.value) == f"no key in ENCRYPTION_KEYS can read {HERE}"


def test_only_what_the_first_key_encrypted_is_current() -> None:
    old, new = Vault([OLD]), Vault([NEW, OLD])

    assert not new.is_current(old.encrypt(TOKEN, place=HERE))
    assert new.is_current(new.encrypt(TOKEN, place=HERE))
    assert not new.is_current(b"")


def test_the_first_bytes_say_whether_the_key_is_there() -> None:
    head = Vault([OLD]).encrypt(TOKEN, place=HERE)[:HEAD_BYTES]

    assert Vault([NEW, OLD]).has_key_of(head)
    assert not Vault([NEW, OTHER]).has_key_of(head)
    assert not Vault([OLD]).has_key_of(b"\x02" + head[1:])
    assert not Vault([OLD]).has_key_of(b"")


def _regions() -> list[tuple[str, int, int]]:
    end = SEALED_AT + len(TOKEN)
    return [
        ("version", 0, KEY_ID_AT),
        ("key id", KEY_ID_AT, NONCE_AT),
        ("nonce", NONCE_AT, SEALED_AT),
        ("ciphertext", SEALED_AT, end),
        ("tag", end, end + TAG_BYTES),
    ]


@pytest.mark.parametrize(("region", "start", "end"), _regions())
def test_one_changed_bit_anywhere_makes_it_unreadable(region: str, start: int, end: int) -> None:
    vault = Vault([NEW, OLD])
    stored = vault.encrypt(TOKEN, place=HERE)

    for position in range(start, end):
        for bit in range(8):
            changed = bytearray(stored)
            changed[position] ^= 1 << bit
            with pytest.raises(TokenUnreadable):
                vault.decrypt(bytes(changed), place=HERE)


def test_a_key_id_swapped_for_another_known_key_is_unreadable() -> None:
    vault = Vault([NEW, OLD])
    other_id = Vault([OLD]).encrypt(TOKEN, place=HERE)[KEY_ID_AT:NONCE_AT]
    stored = vault.encrypt(TOKEN, place=HERE)

    with pytest.raises(TokenUnreadable):
        vault.decrypt(stored[:KEY_ID_AT] + other_id + stored[NONCE_AT:], place=HERE)


def test_input_cut_off_at_any_length_is_unreadable() -> None:
    vault = Vault([NEW])
    stored = vault.encrypt(TOKEN, place=HERE)

    for length in range(len(stored)):
        with pytest.raises(TokenUnreadable):
            vault.decrypt(stored[:length], place=HERE)


def test_bytes_added_at_the_end_make_it_unreadable() -> None:
    vault = Vault([NEW])

    with pytest.raises(TokenUnreadable):
        vault.decrypt(vault.encrypt(TOKEN, place=HERE) + b"\0", place=HERE)


@pytest.mark.parametrize("version", [b"\x00", b"\x02", b"\xff"])
def test_another_version_of_the_format_is_unreadable(version: bytes) -> None:
    vault = Vault([NEW])
    stored = vault.encrypt(TOKEN, place=HERE)

    with pytest.raises(TokenUnreadable):
        vault.decrypt(version + stored[1:], place=HERE)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_unreadable(stored: bytes) -> None:
    vault = Vault([NEW])
    known = vault.encrypt(TOKEN, place=HERE)[:NONCE_AT]

    for forged in (stored, known + stored):
        with pytest.raises(TokenUnreadable):
            vault.decrypt(forged, place=HERE)


def test_a_new_key_is_random_and_fits_the_setting() -> None:
    keys = [new_key() for _ in range(20)]

    assert len(set(keys)) == 20
    assert {len(base64.urlsafe_b64decode(key)) for key in keys} == {ENCRYPTION_KEY_BYTES}
    assert not any(set(key) & set("+/,\n ") for key in keys)
