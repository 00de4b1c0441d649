"""The tables, and the questions that one row can answer."""

from __future__ import annotations

from onboarding.models.api_answer import ApiAnswer
from onboarding.models.api_key import ApiKey
from onboarding.models.application import Application
from onboarding.models.attempt import (
    ATTEMPT_LIFETIME,
    EXCHANGE_LIMIT,
    HAS_FAILED,
    IS_OUR_FAULT,
    Attempt,
)
from onboarding.models.base import Base, UtcDateTime
from onboarding.models.bulk import BulkJob, BulkRow
from onboarding.models.connection import HAS_TURNED, Connection, Organization, locked, new_reference
from onboarding.models.figures import Figure, FigureCount
from onboarding.models.growers import Grower, Link, LinkRequest, Partner
from onboarding.models.history import Event, LeafEvent, SeenAlert
from onboarding.models.imports import Import, ImportRow
from onboarding.models.listing import Listing, SavedView
from onboarding.models.mail import IS_OPEN_LINK, Mail
from onboarding.models.running import Copy, Incident, Pace, Worker
from onboarding.models.staff import Audit, Staff, StaffSession
from onboarding.models.webhook import (
    WebhookDelivery,
    WebhookEndpoint,
    WebhookMessage,
    WebhookTry,
    is_next_of_its_connection,
)

__all__ = [
    "ATTEMPT_LIFETIME",
    "EXCHANGE_LIMIT",
    "HAS_FAILED",
    "HAS_TURNED",
    "IS_OPEN_LINK",
    "IS_OUR_FAULT",
    "ApiAnswer",
    "ApiKey",
    "Application",
    "Attempt",
    "Audit",
    "Base",
    "BulkJob",
    "BulkRow",
    "Connection",
    "Copy",
    "Event",
    "Figure",
    "FigureCount",
    "Grower",
    "Import",
    "ImportRow",
    "Incident",
    "LeafEvent",
    "Link",
    "LinkRequest",
    "Listing",
    "Mail",
    "Organization",
    "Pace",
    "Partner",
    "SavedView",
    "SeenAlert",
    "Staff",
    "StaffSession",
    "UtcDateTime",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookMessage",
    "WebhookTry",
    "Worker",
    "is_next_of_its_connection",
    "locked",
    "new_reference",
]
