"""The worker, and the check of an installation: `worker`, `doctor`."""

from __future__ import annotations

import click

from onboarding.cli.shared import installation, plain_errors


@click.command()
def worker() -> None:
    """Hand tokens over to Leaf and watch connections, until Ctrl-C or SIGTERM."""
    from onboarding import schema
    from onboarding.worker import run

    parts = installation()
    with plain_errors():
        current = schema.is_current(parts.database)
    if not current:
        raise click.ClickException(
            "the database is not up to date. Run: flask --app wsgi db upgrade"
        )
    run(parts)


@click.command()
def doctor() -> None:
    """Check the installation: one line each, exit status 1 if anything is wrong."""
    from onboarding.doctor import examine

    findings = list(examine(installation()))
    for finding in findings:
        click.echo(("ok    " if finding.fine else "WRONG ") + finding.text)
    if not all(finding.fine for finding in findings):
        raise SystemExit(1)
