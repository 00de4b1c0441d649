"""A partner's portal on an origin of its own, as different as portals are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from onboarding.connections import embedding, partnership
from onboarding.connections.growers import connection_of
from onboarding.staff import partners
from tests.support.people import Person
from tests.support.stack import Stack

LOOSE = "allow-scripts allow-same-origin allow-forms allow-popups"
"""Sandboxes around the frame."""
WITHOUT_POPUPS = LOOSE.replace(" allow-popups", "")
WITHOUT_ORIGIN = LOOSE.replace("allow-same-origin ", "") + " allow-popups-to-escape-sandbox"
EVENTS = ("ready", "opened", "connected", "needs-action", "failed", "closed")
PAGE = """<!doctype html>
<meta name="viewport" content="width=device-width"><title>Portal</title>
<h1>Portal</h1>
{frame}
<ol id="log"></ol>
<script>
  for (const name of {events})
    addEventListener(name, ({{ detail }}) => {{
      const line = document.createElement("li");
      line.textContent = `${{name}} ${{detail.connection}} ${{detail.state}}`;
      document.getElementById("log").append(line);
    }});
</script>
<script src="{app}/static/embed.js"></script>
"""


@dataclass
class Portal:
    """One portal, with the headers that it sends and the frame that it makes.

    :ivar headers: of its page
    :ivar front: the origin of what stands in front of it, if browsers come to it that way
    :ivar sandbox: of a frame that the portal makes by itself; None: the element makes it
    """

    stack: Stack
    slug: str
    port: int
    headers: dict[str, str] = field(default_factory=dict)
    sandbox: str | None = None
    element: str = ""
    front: str = ""

    @property
    def origin(self) -> str:
        """Another site than the app's and the sandbox's."""
        return self.front or f"http://portal.localhost:{self.port}"

    def embed(self, person: Person, *, return_url: str | None = None, theme: str = "") -> str:
        """Let its page show the frame of a grower; the embed token."""
        parts = self.stack.installation
        with parts.database.transaction() as session:
            connection = connection_of(session, person.connection().grower_id)
            made = embedding.new_link(session, connection, return_url=return_url)
            session.flush()
            token = parts.links.token(made.id)
        app = self.stack.public_url
        if self.sandbox is None:
            self.element = (
                f'<connect-john-deere partner="{self.slug}" token="{token}" theme="{theme}">'
                f'<a href="{app}/c/{token}">Connect John Deere by a link</a></connect-john-deere>'
            )
        else:
            self.element = (
                f'<iframe sandbox="{self.sandbox}" style="width:100%;height:500px"'
                f' src="{app}/embed/{self.slug}#{token}"></iframe>'
            )
        return token

    def page(self) -> str:
        """What it answers."""
        return PAGE.format(frame=self.element, events=list(EVENTS), app=self.stack.public_url)


@contextmanager
def portal(stack: Stack, slug: str, *, registered: bool = True) -> Iterator[Portal]:
    """A running portal of a partner that is made for it.

    :param registered: whether the partner has listed the portal's origin
    """
    made: Portal

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            body = made.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Portal(stack, slug, server.server_port)
    with stack.installation.database.transaction() as session:
        if partnership.find(session, slug) is None:
            partnership.add_partner(session, slug=slug, name="Prairie Co-op")
        partner = partners.named(session, slug)
        partner.frame_origins = [made.origin] if registered else ["https://elsewhere.example"]
        partner.return_urls = [f"{made.origin}/back"]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
