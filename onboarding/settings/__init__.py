"""Settings: read once from the environment (and `.env`), checked, then frozen.

fields   what an installation is told
reading  every setting by its name, and what may be wrong with it
"""

from onboarding.settings.fields import (
    DEERE_API_URLS,
    DEERE_METADATA_URL,
    DEERE_SCOPES,
    WELL_KNOWN,
    Network,
    Settings,
)
from onboarding.settings.reading import (
    ENCRYPTION_KEY_BYTES,
    LOCAL_RUN,
    SECRET_KEY_MIN_CHARS,
    load,
    read_environment,
    read_file,
)

__all__ = [
    "DEERE_API_URLS",
    "DEERE_METADATA_URL",
    "DEERE_SCOPES",
    "ENCRYPTION_KEY_BYTES",
    "LOCAL_RUN",
    "SECRET_KEY_MIN_CHARS",
    "WELL_KNOWN",
    "Network",
    "Settings",
    "load",
    "read_environment",
    "read_file",
]
