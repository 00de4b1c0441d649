"""What the simulated John Deere and Leaf have to hold of the demo world, so that they agree.

The file is the sandbox's own format, described there (`SANDBOX_RESIDENTS`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from onboarding.local.world.life import Life
from onboarding.models import Organization
from onboarding.states import Health, Stage

USUAL_FIELDS = 12
LEAFS_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def write(file: Path, lives: Iterable[Life]) -> None:
    """Write those who have ever signed in; whoever reads meanwhile finds the old file or none."""
    half_made = file.with_suffix(".new")
    with open(os.open(half_made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as lines:
        for life in lives:
            if life.connection.token_received_at is not None:
                lines.write(json.dumps(resident(life)) + "\n")
    half_made.rename(file)


def resident(life: Life) -> Mapping[str, Any]:
    """One of them, as a line of the file."""
    connection, account = life.connection, life.account
    leaf_user = account.get("leaf_user", life.grower.leaf_user_id)
    return {
        "name": life.person.email,
        "leaf_status": account.get("leaf_status", Health.OK.value),
        "withheld_scopes": list(account.get("withheld_scopes", ())),
        "terms_url": account.get("terms_url"),
        "farms": [_farm(life, row) for row in life.organizations],
        "grant": {
            "refresh_token": life.refresh_token,
            "scope": " ".join(connection.scopes_granted),
            "created": (connection.token_received_at or life.born).timestamp(),
            "revoked": account.get("revoked", False),
            "client_key": life.settings.deere_client_key,
        },
        "leaf_user": leaf_user and _user(life, leaf_user),
        "credential": _credential(life),
        "choices": {row.deere_id: _choice(life, row) for row in life.organizations if row.member},
    }


def _farm(life: Life, row: Organization) -> dict[str, Any]:
    return {
        "id": row.deere_id,
        "name": row.name,
        "member": row.member,
        "connected": row.connected,
        "permitted": life.account.get("permitted", True) or not row.connected,
        "fields": life.account.get("fields", {}).get(row.deere_id, USUAL_FIELDS),
    }


def _user(life: Life, leaf_user_id: str) -> dict[str, Any]:
    grower = life.grower
    syncs = "SELECTED_ONLY" if grower.partner.select_organizations else "ALL"
    return {
        "id": leaf_user_id,
        "name": grower.name,
        "email": grower.email,
        "external_id": grower.external_id,
        "syncs": syncs,
    }


def _credential(life: Life) -> dict[str, Any] | None:
    connection, account = life.connection, life.account
    is_held = connection.is_at_leaf or connection.stage is Stage.DISCONNECTING
    if not is_held or "credential" in account or connection.handed_over_at is None:
        return None
    says = connection.health_text in set(Health)
    return {
        "id": connection.leaf_credential_id,
        "created": connection.handed_over_at.strftime(LEAFS_TIME),
        "status": connection.health_text if says else Health.OK.value,
        "forced": account.get("forced"),
    }


def _choice(life: Life, row: Organization) -> str:
    return str(life.account.get("choice", "SELECTED")) if row.connected else "BLOCKED"
