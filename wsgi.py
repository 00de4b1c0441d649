"""Where gunicorn and the `flask` command find the application."""

from onboarding import create_app

app = create_app()
