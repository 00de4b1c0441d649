"""How gunicorn runs the sandbox: `gunicorn -c python:onboarding.sandbox.gunicorn_conf …`.

One process, since faults and held requests live in its memory; many threads, since a held request
keeps one.
"""

worker_class = "gthread"
workers = 1
threads = 64
graceful_timeout = 2
keepalive = 65  # longer than clients pause: a pooled connection must not close under a request
timeout = 180
control_socket_disable = True
accesslog = None
loglevel = "warning"
