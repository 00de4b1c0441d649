"""The description of the API as people read it: what each address takes, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from onboarding.views.api import examples
from onboarding.views.api.examples import FIRST_ERROR, JSON

ORDER = ("growers", "links", "frames", "connections", "organizations", "webhooks", "sandbox")
PLAINLY = {"array": "list"}
"""Kinds whose names are of use to programs only."""


@dataclass(frozen=True)
class Value:
    """One value that comes in or goes out."""

    name: str
    """Its place, with dots between the names and `[]` for each of a list."""
    kind: str
    is_required: bool
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """What can be done at one address."""

    id: str
    summary: str
    text: str
    method: str
    path: str
    takes: tuple[Value, ...]
    """In the address, the query and the headers."""
    body: tuple[Value, ...]
    status: str
    answer: tuple[Value, ...]
    problems: tuple[str, ...]
    """Statuses."""
    asked: str
    """An example, for a terminal."""
    told: str
    """What that answers; empty: no body."""


@dataclass(frozen=True)
class Group:
    """Operations on one kind of thing."""

    name: str
    operations: tuple[Operation, ...]


def groups(document: Mapping[str, Any]) -> list[Group]:
    """All operations by what they are about, in the order in which a program comes to them."""
    schemas = document["components"]["schemas"]
    tagged = [
        (operation["tags"][0], _operation(path, method, operation, schemas))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    tagged.sort(key=lambda one: ORDER.index(one[0]))
    return [
        Group(tag, tuple(operation for _tag, operation in found))
        for tag, found in groupby(tagged, key=lambda one: one[0])
    ]


def message(document: Mapping[str, Any]) -> tuple[Value, ...]:
    """What endpoints are sent, of every event."""
    schemas = document["components"]["schemas"]
    return tuple(_values(schemas["Message"], schemas))


def _operation(
    path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Operation:
    responses = operation["responses"]
    status = next(one for one in responses if one < FIRST_ERROR)
    body = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
    answer = responses[status].get("content", {}).get(JSON, {})
    return Operation(
        id=operation["operationId"],
        summary=operation["summary"],
        text=operation["description"],
        method=method.upper(),
        path=path,
        takes=tuple(_parameter(one, schemas) for one in operation.get("parameters", ())),
        body=tuple(_values(body.get("schema"), schemas)),
        status=status,
        answer=tuple(_values(answer.get("schema"), schemas)),
        problems=tuple(sorted(one for one in responses if one >= FIRST_ERROR)),
        asked=examples.request(method.upper(), path, body.get("example")),
        told=examples.written(answer["example"]) if answer else "",
    )


def _parameter(given: Mapping[str, Any], schemas: Mapping[str, Any]) -> Value:
    kind, choices = _kind(given.get("schema", {}), schemas)
    text = given.get("description") or ""
    return Value(given["name"], kind, bool(given.get("required")), text, choices)


def _values(
    schema: Mapping[str, Any] | None, schemas: Mapping[str, Any], *, within: str = ""
) -> Iterator[Value]:
    """The values of an object, with those of the objects in it."""
    if schema is None:
        return
    described = _resolved(schema, schemas)
    for name, given in described.get("properties", {}).items():
        kind, choices = _kind(given, schemas)
        is_required = name in described.get("required", ())
        yield Value(within + name, kind, is_required, given.get("description") or "", choices)
        inner = _resolved(given, schemas)
        if "items" in inner:
            yield from _values(inner["items"], schemas, within=f"{within}{name}[].")
        elif "properties" in inner:
            yield from _values(inner, schemas, within=f"{within}{name}.")


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, where another one is named, or null is possible as well."""
    if "$ref" in schema:
        found: Mapping[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
        return found
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return _resolved(one, schemas)
    return schema


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """What it is, in a word or two, and what it may be if that can be listed."""
    inner = _resolved(schema, schemas)
    kind = inner.get("format") or inner.get("type") or "string"
    kind = PLAINLY.get(kind, kind)
    if any(one.get("type") == "null" for one in schema.get("anyOf", ())):
        kind += " or null"
    return kind, tuple(map(str, inner.get("enum", ())))
