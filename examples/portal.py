"""A partner's portal with "Connect John Deere" in it: all that a partner has to write.

    CONNECT_URL=https://connect.example CONNECT_PARTNER=acme CONNECT_KEY=cjd_… \\
        python -m flask --app examples/portal.py run --port 8003

It has three farms and nobody who signs in; a real portal knows whose farm it shows.
"""

from __future__ import annotations

import os

import requests
from flask import Flask, Response, abort, render_template_string, request
from flask.typing import ResponseReturnValue

CONNECT = os.environ["CONNECT_URL"]
PARTNER = os.environ["CONNECT_PARTNER"]
API = f"{CONNECT}/api/v1"
FARMS = {"farm-1": "Maple Farm", "farm-2": "Oak Hollow", "farm-3": "Miller Creek Farm"}

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sample portal</title>
<body style="font: 1rem/1.5 system-ui; max-width: 44rem; margin: 2rem auto; padding: 0 1rem">
<h1>Sample portal</h1>
<nav>{% for id, name in farms.items() %}<a href="?farm={{ id }}">{{ name }}</a> {% endfor %}</nav>
<h2>{{ farms[farm] }}</h2>
<connect-john-deere partner="{{ partner }}" token="{{ token }}" theme="light">
  <a href="{{ url }}">Connect John Deere</a>
</connect-john-deere>
<h3>What this page is told</h3>
<ol id="told"></ol>
<script src="{{ connect }}/static/embed.js"></script>
<script>
  for (const name of ["ready", "opened", "connected", "needs-action", "failed", "closed"])
    addEventListener(name, ({ detail }) => {
      const line = document.createElement("li");
      line.textContent = `${name}: ${detail.state} (${detail.connection})`;
      document.getElementById("told").append(line);
    });
</script>
"""

app = Flask(__name__)
connect = requests.Session()
connect.headers["Authorization"] = f"Bearer {os.environ['CONNECT_KEY']}"


@app.get("/")
def home() -> ResponseReturnValue:
    """One farm, with the frame for its grower."""
    farm = request.args.get("farm", "farm-1")
    if farm not in FARMS:
        abort(404)
    ask("PUT", f"/growers/{farm}", {"name": FARMS[farm]})
    # Whoever comes back from John Deere in this window comes back to this page.
    back = {"return_url": f"{request.base_url}?farm={farm}"}
    made = ask("POST", f"/growers/{farm}/embed-tokens", back)
    return render_template_string(
        PAGE,
        farms=FARMS,
        farm=farm,
        partner=PARTNER,
        connect=CONNECT,
        token=made["token"],
        url=made["url"],
    )


def ask(method: str, path: str, body: dict[str, str]) -> dict[str, str]:
    """Ask the API; what it says is wrong ends the request."""
    answer = connect.request(method, API + path, json=body, timeout=10)
    if not answer.ok:
        # Says what is to be changed; for your log once growers see the page.
        abort(Response(answer.text, 502, mimetype="text/plain"))
    told: dict[str, str] = answer.json()
    return told
