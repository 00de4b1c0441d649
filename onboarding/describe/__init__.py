"""What people are told. Every page, command and answer takes its words from here.

connection(…)  where a connection stands: what happened, the next step, and whose it is
steps(…)       the three steps of the grower's page
problem(…)     pages that belong to no connection
arrived_at_leaf(…)  what Leaf has fetched
for_staff(…)   the reason behind it, in one line; keys_for_staff(…) names it
incident_…(…)  trouble that many have at once
shared_by(…)   what the scopes mean
"""

from onboarding.describe.connection import connection
from onboarding.describe.incident import incident_for_growers, incident_for_staff
from onboarding.describe.leaf import arrived_at_leaf
from onboarding.describe.page import Organizations, organizations, steps
from onboarding.describe.problem import problem
from onboarding.describe.sharing import not_shared_by, shared_by, why_edit
from onboarding.describe.staff import for_staff, health_for_staff, keys_for_staff
from onboarding.describe.told import Action, Org, Step, Told

__all__ = [
    "Action",
    "Org",
    "Organizations",
    "Step",
    "Told",
    "arrived_at_leaf",
    "connection",
    "for_staff",
    "health_for_staff",
    "incident_for_growers",
    "incident_for_staff",
    "keys_for_staff",
    "not_shared_by",
    "organizations",
    "problem",
    "shared_by",
    "steps",
    "why_edit",
]
