"""Leaf's API: authentication, user management, configuration, alerts, integrations."""

from __future__ import annotations

from flask import Blueprint

from onboarding.sandbox.leaf import access, alerts, configs, credentials, organizations, users

bp = Blueprint("leaf", __name__)
for _part in (access, users, credentials, organizations, configs, alerts):
    bp.register_blueprint(_part.bp)
bp.register_error_handler(access.Problem, access.problem_answer)
