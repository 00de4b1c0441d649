"""Words as a search compares them: without accents and without capitals."""

from __future__ import annotations

import re
import unicodedata

from onboarding.models import Connection
from onboarding.models.listing import NAME_KEY_MAX

SHORTEST = 3
"""Letters: by so many an index finds a word."""
WHOLE = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not take apart."""
HYPHENATED_CODE = re.compile(r"[a-z0-9]{4}-[a-z0-9]{4}")


def normalized(text: str) -> str:
    """The text as it is compared."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    # PostgreSQL takes no NUL, and a line is one value of a row.
    return " ".join(bare.translate(WHOLE).replace("\0", " ").split())


def terms(search: str) -> list[str]:
    """What must all be found, each anywhere in a row."""
    found = normalized(search).split()
    # A reference code as it is read over the telephone.
    found = [one.replace("-", "") if HYPHENATED_CODE.fullmatch(one) else one for one in found]
    return list(dict.fromkeys(found))


def name_key(connection: Connection) -> str:
    """The grower's name as it is sorted."""
    return normalized(connection.grower.name)[:NAME_KEY_MAX]


def text(connection: Connection) -> str:
    """All that a search looks at, a line each."""
    grower = connection.grower
    names = sorted({row.name for row in connection.organizations})
    values = (
        grower.name,
        grower.external_id,
        grower.email,
        connection.reference,
        grower.leaf_user_id,
        *names,
    )
    lines = (normalized(value) for value in values if value)
    return "\n".join(dict.fromkeys(filter(None, lines)))
