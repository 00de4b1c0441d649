"""Settings: what is missing is named at once, and what is wrong says what to write."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from flask.cli import load_dotenv
from hypothesis import given
from hypothesis import strategies as st

from onboarding.errors import SettingsInvalid
from onboarding.settings import WELL_KNOWN, Settings, load
from onboarding.states import Environment, Role
from onboarding.urls import is_loopback

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()
OTHER_KEY = base64.urlsafe_b64encode(b"\xff" * 32).decode()
REQUIRED = {
    "SECRET_KEY": "signing-" + "s" * 32,
    "ENCRYPTION_KEYS": KEY,
    "PUBLIC_URL": "https://connect.example",
    "DEERE_CLIENT_KEY": "client-key",
    "DEERE_CLIENT_SECRET": "client-secret-7Hq2Zx81",
    "DEERE_ENVIRONMENT": "PRODUCTION",
    "LEAF_USERNAME": "owner@example.com",
    "LEAF_PASSWORD": "password-of-leaf-9kQ",
}
URLS = ("PUBLIC_URL", "DEERE_METADATA_URL", "DEERE_API_URL", "LEAF_API_URL")
LOOPBACK = [
    "http://localhost:8000",
    "http://LOCALHOST:8000",
    "http://portal.localhost:8000",
    "http://127.0.0.1:8000",
    "http://127.8.9.1",
    "http://[::1]:8000",
]
ELSEWHERE = [
    "http://connect.example",
    "http://localhost.example.com",
    "http://notlocalhost",
    "http://127.0.0.1.example.com",
    "http://0.0.0.0:8000",
    "http://192.168.1.5:8000",
    "http://10.0.0.1",
    "http://[fe80::1]",
]


def read(instance: Path | None = None, /, **changes: str) -> Settings:
    """Settings from the required ones, changed."""
    return load(REQUIRED | changes, instance=instance or Path("instance-that-nobody-needs"))


def complaint(**changes: str) -> str:
    """What is said of settings that can't be used."""
    with pytest.raises(SettingsInvalid) as caught:
        read(**{"DATABASE_URL": "sqlite:///unused.sqlite"} | changes)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a developer's `.env` or makes an `instance/` in the checkout."""
    monkeypatch.chdir(tmp_path)


def test_every_missing_setting_is_named_in_one_message() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load({})

    first, *others = str(caught.value).splitlines()
    assert set(first.removeprefix("Missing settings: ").split(", ")) == set(REQUIRED)
    assert others == ["Set them in the environment or in .env; .env.example explains each."]


@pytest.mark.parametrize("name", sorted(REQUIRED))
@pytest.mark.parametrize("empty", ["", "   "])
def test_an_empty_value_counts_as_missing(name: str, empty: str) -> None:
    assert complaint(**{name: empty}).splitlines()[0] == f"Missing settings: {name}"


def test_missing_and_wrong_settings_are_told_together() -> None:
    text = complaint(
        LEAF_PASSWORD="",
        SECRET_KEY="short",
        DEERE_ENVIRONMENT="LIVE",
        PUBLIC_URL="http://x.example",
    )

    assert "Missing settings: LEAF_PASSWORD" in text
    for name in ("SECRET_KEY", "DEERE_ENVIRONMENT", "PUBLIC_URL"):
        assert any(line.startswith(name) for line in text.splitlines()), text


@pytest.mark.parametrize(
    ("name", "value", "what_to_write"),
    [
        ("SECRET_KEY", "s" * 31, "32 characters; make one with: flask --app wsgi keys new"),
        ("ENCRYPTION_KEYS", "tooshort", "key 1 is not 32 bytes in base64url; make one with: flask"),
        ("ENCRYPTION_KEYS", f"{KEY},{KEY[:-8]}", "key 2 is not 32 bytes"),
        ("ENCRYPTION_KEYS", f"{KEY}!", "key 1 is not 32 bytes"),
        ("ENCRYPTION_KEYS", "ö" * 43, "key 1 is not 32 bytes"),
        ("ENCRYPTION_KEYS", " , ,", "Missing settings: ENCRYPTION_KEYS"),
        ("LEAF_ALERT_SECRET", "s" * 15, "must have 16 ASCII characters or more; make one with"),
        ("LEAF_ALERT_SECRET", "ö" * 16, "must have 16 ASCII characters or more"),
        ("DEERE_ENVIRONMENT", "production", "must be STAGE or PRODUCTION"),
        ("DEERE_METADATA_URL", "https://signin.example/oauth2", f"must end with {WELL_KNOWN}"),
        ("DEERE_SCOPES", "ag1 org1", "must contain offline_access; without it"),
        ("DEERE_SCOPES", "ag1 offline_access2", "must contain offline_access"),
        ("LINK_LIFETIME_DAYS", "0", "a whole number, 1 to"),
        ("LINK_LIFETIME_DAYS", "-3", "a whole number, 1 to"),
        ("LINK_LIFETIME_DAYS", "two weeks", "a whole number, 1 to"),
        ("LINK_LIFETIME_DAYS", "9" * 12, "a whole number, 1 to"),
        ("LINK_LIFETIME_DAYS", "9" * 5000, "a whole number, 1 to"),
        ("LEAF_REQUESTS_PER_MINUTE", "0", "a whole number, 1 to"),
        ("LEAF_REQUESTS_PER_MINUTE", "1.5", "a whole number, 1 to"),
        ("EVENTS_KEPT_DAYS", "0", "a whole number, 1 to"),
        ("INCIDENT_SHARE_PERCENT", "0", "a whole number, 1 to 100"),
        ("INCIDENT_SHARE_PERCENT", "101", "a whole number, 1 to 100"),
        ("INCIDENT_WITHIN_MINUTES", "0", "a whole number, 1 to"),
        ("TROUBLE_VISIBLE_AFTER_MINUTES", "soon", "a whole number, 0 to"),
        ("TRUSTED_PROXIES", "-1", "a whole number, 0 to"),
        ("DATABASE_URL", "mysql://db.example/app", "must begin with postgresql:// or sqlite://"),
        ("DATABASE_URL", "postgresql+psycopg2://h/d", "must begin with postgresql:// or sqlite"),
        ("DATABASE_URL", "postgresql:host", "must begin with postgresql:// or sqlite://"),
        ("DATABASE_URL", "postgresql://u:hunter22@h:port/d", "postgresql://user:password@host/"),
        ("DATABASE_URL", "sqlite://", "must name a file"),
        ("DATABASE_URL", "sqlite:///:memory:", "must name a file"),
        ("LEAF_API_URL", "https://api.example/services", "an origin, without the path /services"),
        ("PUBLIC_URL", "https://connect.example/app/", "an origin, without the path /app"),
    ],
)
def test_a_wrong_value_says_what_to_write(name: str, value: str, what_to_write: str) -> None:
    lines = complaint(**{name: value}).splitlines()

    assert len(lines) == 2, lines
    assert name in lines[0]
    assert what_to_write in lines[0]


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "value",
    [
        *ELSEWHERE,
        "ftp://localhost",
        "connect.example",
        "//connect.example",
        "https://",
        "https:///path",
        "https://connect.example:0",
        "https://connect.example:",
        "https://connect.example:99999",
        "https://connect.example:https",
        "https://[::1",
        "https://connect example",
        "https://connect.example;x",
        "https://connect\\example",
        "https://user:hunter22@connect.example",
        "https://@connect.example",
        "https://connect.example?",
        "https://connect.example?a=b",
        "https://connect.example#part",
    ],
)
def test_a_url_that_is_not_https_or_not_clean_is_refused(name: str, value: str) -> None:
    text = complaint(**{name: value})

    said = {line.removeprefix(f"{name} ") for line in text.splitlines()}
    assert said & {
        "must be an https:// URL (http:// on loopback only)",
        "must hold no user name, query or fragment",
        "is not a URL",
        "is not a URL: a host has letters, digits, '-' and '.'",
    }
    assert "hunter22" not in text


@pytest.mark.parametrize("value", LOOPBACK)
def test_plain_http_is_fine_on_this_machine_only(value: str) -> None:
    settings = read(
        PUBLIC_URL=value,
        LEAF_API_URL=value,
        DEERE_API_URL=f"{value}/platform",
        DEERE_METADATA_URL=f"{value}/oauth2/abc{WELL_KNOWN}",
    )

    assert settings.public_url == value
    assert settings.is_local
    assert settings.is_sandbox


@pytest.mark.parametrize("value", LOOPBACK)
def test_names_of_this_machine_are_known(value: str) -> None:
    assert is_loopback(value)


@pytest.mark.parametrize("value", [*ELSEWHERE, "https://example.com", "https://[2001:db8::1]", ""])
def test_names_of_other_machines_are_not_taken_for_this_one(value: str) -> None:
    assert not is_loopback(value)


SIMULATED = {
    "DEERE_METADATA_URL": f"http://127.0.0.1:8001/oauth2/abc{WELL_KNOWN}",
    "DEERE_API_URL": "http://127.0.0.1:8001/platform",
    "LEAF_API_URL": "http://127.0.0.1:8001",
}


def test_it_is_a_sandbox_if_all_services_are_on_this_machine() -> None:
    assert read(**SIMULATED).is_sandbox
    assert not read(PUBLIC_URL="http://localhost:8000").is_sandbox


@pytest.mark.parametrize("name", SIMULATED)
def test_a_mixture_of_real_and_simulated_services_is_refused(name: str) -> None:
    others = ", ".join(other for other in SIMULATED if other != name)

    alone = complaint(**{name: SIMULATED[name]})
    missing = complaint(**{key: value for key, value in SIMULATED.items() if key != name})

    assert f"{name}: on this machine, but not {others}; set all three to a sandbox, or" in alone
    assert f"{others}: on this machine, but not {name}; set all three to a sandbox, or" in missing


def test_the_clock_can_be_moved_in_the_sandbox_only() -> None:
    assert read().sandbox_clock is None
    assert read(**SIMULATED, SANDBOX_CLOCK="folder/clock").sandbox_clock == Path("folder/clock")

    refused = "SANDBOX_CLOCK moves the time and is for the sandbox alone: unset it"
    assert refused in complaint(SANDBOX_CLOCK="clock")
    assert refused in complaint(SANDBOX_CLOCK="clock", PUBLIC_URL="http://localhost:8000")


@pytest.mark.parametrize("name", SIMULATED)
def test_one_real_service_is_enough_that_the_clock_stands_still(name: str) -> None:
    others = {key: value for key, value in SIMULATED.items() if key != name}

    assert "SANDBOX_CLOCK moves the time" in complaint(**others, SANDBOX_CLOCK="clock")


def test_it_is_local_if_make_run_started_it_or_other_machines_cannot_open_it() -> None:
    assert read(LOCAL_RUN="1").is_local
    assert read(PUBLIC_URL="http://localhost:8000").is_local
    assert not read().is_local


@pytest.mark.parametrize(
    ("environment", "api"),
    [
        ("STAGE", "https://sandboxapi.deere.com/platform"),
        ("PRODUCTION", "https://api.deere.com/platform"),
    ],
)
def test_the_environment_chooses_john_deeres_api(environment: str, api: str) -> None:
    settings = read(DEERE_ENVIRONMENT=environment)

    assert settings.deere_environment is Environment(environment)
    assert settings.deere_api_url == api


def test_what_is_not_said_has_the_documented_default(tmp_path: Path) -> None:
    settings = read(tmp_path / "instance")

    assert settings.database_url == f"sqlite:///{tmp_path}/instance/onboarding.sqlite"
    assert settings.leaf_api_url == "https://api.withleaf.io"
    assert settings.deere_issuer == "https://signin.johndeere.com/oauth2/aus78tnlaysMraFhC1t7"
    assert settings.deere_scopes == (
        "ag1",
        "ag2",
        "ag3",
        "eq1",
        "org1",
        "files",
        "offline_access",
    )
    assert settings.leaf_requests_per_minute == 900
    assert settings.link_lifetime_days == 14
    assert settings.trusted_proxies == 0
    assert settings.leaf_alert_secret == ""
    assert settings.events_kept_days == 400
    assert settings.trouble_visible_after_minutes == 15
    assert settings.incident_share_percent == 20
    assert settings.incident_within_minutes == 10


def test_the_folder_of_the_default_database_is_made_for_its_owner_only(tmp_path: Path) -> None:
    read(tmp_path / "instance")

    assert (tmp_path / "instance").stat().st_mode & 0o777 == 0o700


def test_no_folder_is_made_when_the_database_is_elsewhere(tmp_path: Path) -> None:
    read(tmp_path / "instance", DATABASE_URL="postgresql://db.example/app")

    assert not (tmp_path / "instance").exists()


def test_no_folder_is_made_for_settings_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid):
        read(tmp_path / "instance", SECRET_KEY="short")

    assert not (tmp_path / "instance").exists()


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingsInvalid, match="DATABASE_URL"):
        read(tmp_path / "file" / "instance")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_a_postgresql_url_leads_to_one_driver(scheme: str) -> None:
    settings = read(DATABASE_URL=f"{scheme}://user:pass@db.example:5432/app?sslmode=require")

    assert settings.database_url == (
        "postgresql+psycopg://user:pass@db.example:5432/app?sslmode=require"
    )


@pytest.mark.parametrize(
    "url", ["postgresql:///app?host=/var/run/postgresql", "sqlite:////var/lib/app.sqlite"]
)
def test_a_database_on_this_machine_needs_no_host(url: str) -> None:
    assert read(DATABASE_URL=url).database_url.endswith(url.partition("://")[2])


def test_slashes_at_the_end_do_not_double_in_urls_built_from_a_setting() -> None:
    settings = read(PUBLIC_URL="https://connect.example/", DEERE_API_URL="https://a.example/p/")

    assert settings.callback_url == "https://connect.example/deere/callback"
    assert settings.organizations_url == "https://connect.example/deere/organizations"
    assert settings.deere_api_url == "https://a.example/p"


def test_keys_keep_their_order_whatever_stands_around_them() -> None:
    unpadded = OTHER_KEY.rstrip("=")

    assert read(ENCRYPTION_KEYS=f" {KEY} , {unpadded},").encryption_keys == (
        b"k" * 32,
        b"\xff" * 32,
    )


def test_scopes_are_separated_by_any_space() -> None:
    assert read(DEERE_SCOPES=" ag1  offline_access\t").deere_scopes == ("ag1", "offline_access")


def test_the_environment_outweighs_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = REQUIRED | {"LEAF_USERNAME": "of-the-file", "LINK_LIFETIME_DAYS": "3"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    for name in (*REQUIRED, "LINK_LIFETIME_DAYS", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEAF_USERNAME", "of-the-environment")

    settings = load()

    assert settings.leaf_username == "of-the-environment"
    assert settings.link_lifetime_days == 3
    assert settings.database_url == f"sqlite:///{tmp_path}/instance/onboarding.sqlite"


@pytest.mark.parametrize("by_flask", [False, True], ids=["by us", "by Flask before"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_dollar_in_the_file_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quote: str, by_flask: bool
) -> None:
    lines = REQUIRED | {"LEAF_PASSWORD": f"{quote}pa${{HOME}}ss$1{quote}"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    for name in REQUIRED:
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
    if by_flask:
        load_dotenv(tmp_path / ".env")
        assert os.environ["LEAF_USERNAME"] == REQUIRED["LEAF_USERNAME"]

    assert load().leaf_password == "pa${HOME}ss$1"


def test_an_empty_variable_takes_back_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("LINK_LIFETIME_DAYS=3\nLEAF_PASSWORD\n")
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LINK_LIFETIME_DAYS", "")

    assert load().link_lifetime_days == 14


def test_without_a_file_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)

    assert load().leaf_username == "owner@example.com"


def test_no_secret_shows_when_settings_are_printed() -> None:
    text = repr(read(DATABASE_URL="postgresql://user:pass-of-db-31@db.example/app"))

    assert "client-key" in text
    for secret in ("signing-", "k" * 32, "client-secret-7Hq2Zx81", "password-of-leaf", "pass-of"):
        assert secret not in text


@given(value=st.text(max_size=60))
@pytest.mark.parametrize("name", [*sorted(REQUIRED), *URLS, "DATABASE_URL", "TRUSTED_PROXIES"])
def test_whatever_is_written_is_accepted_or_complained_about(name: str, value: str) -> None:
    environ = {"DATABASE_URL": "sqlite:///unused.sqlite"} | REQUIRED | {name: value}
    try:
        load(environ)
    except SettingsInvalid as err:
        assert name in str(err)  # noqa: PT017


MAIL = {"MAIL_FROM": "Farm data <connect@onboarding.example>"}


def test_without_a_mail_server_mail_is_off() -> None:
    assert read().mail is None
    assert read(**MAIL).mail is None


@pytest.mark.parametrize(
    ("url", "host", "port", "implicit_tls", "is_here", "user", "password"),
    [
        ("smtp://mail.example", "mail.example", 587, False, False, "", ""),
        ("smtps://mail.example", "mail.example", 465, True, False, "", ""),
        ("smtp://localhost:25/", "localhost", 25, False, True, "", ""),
        ("smtp://[::1]:2525", "::1", 2525, False, True, "", ""),
        ("smtp://u:p@mail.example:2587", "mail.example", 2587, False, False, "u", "p"),
        (
            "smtps://u%40x.example:p%40%2F%23%25%3A@mail.example",
            *("mail.example", 465, True, False, "u@x.example", "p@/#%:"),
        ),
    ],
)
def test_a_mail_server_is_read_from_its_url(
    url: str, host: str, port: int, implicit_tls: bool, is_here: bool, user: str, password: str
) -> None:
    mail = read(MAIL_URL=url, **MAIL).mail

    assert mail is not None
    assert (mail.sender.name, mail.sender.address) == ("Farm data", "connect@onboarding.example")
    found = mail.server
    assert (found.host, found.port, found.implicit_tls) == (host, port, implicit_tls)
    assert (found.is_here, found.user, found.password) == (is_here, user, password)


@pytest.mark.parametrize(
    ("url", "what_to_write"),
    [
        ("mail.example", "must begin with smtp:// or smtps://"),
        ("https://mail.example", "must begin with smtp:// or smtps://"),
        ("smtp://", "names no host; write smtp://user:password@host:port"),
        ("smtp://user:hunter22@", "names no host"),
        ("smtp://mail.example:0", "names no host"),
        ("smtp://user:hun/ter22@mail.example", "percent-encoded"),
        ("smtp://user:hun#ter22@mail.example", "percent-encoded"),
        ("smtp://user:hunter22@mail.example/path", "must end behind the port"),
        ("smtp://user:hunter22@mail.example?tls=1", "must end behind the port"),
        ("smtp://user:hunter22%@mail.example", "write %25 for a percent sign"),
        ("smtp://user@mail.example", "a user without a password"),
        ("smtp://:hunter22@mail.example", "a password without a user"),
        ("smtp://user:hunter22ä@mail.example", "ASCII characters"),
        ("smtp://user:hunter22%0A@mail.example", "ASCII characters"),
        ("smtp://user:hunter22@mail.example:port", "can't be read"),
        ("smtp://user:hunter22@mail.example:99999", "can't be read"),
        ("smtp://user:hunter22@mail_server\u00a0.example", "names no host"),
    ],
)
def test_a_wrong_mail_server_says_what_to_write_and_never_the_password(
    url: str, what_to_write: str
) -> None:
    text = complaint(MAIL_URL=url, **MAIL)

    assert text.startswith("MAIL_URL ")
    assert what_to_write in text
    assert "hunter22" not in text
    assert "ter22" not in text


@pytest.mark.parametrize(
    ("text", "what_to_write"),
    [
        ("", "Missing settings: MAIL_FROM"),
        ("connect", "MAIL_FROM must be an address"),
        ("connect@localhost", "MAIL_FROM must be an address"),
        ("Farm data", "MAIL_FROM must be an address"),
        ("a@b.example, c@d.example", "MAIL_FROM must be an address"),
        ("Farm data <ü@b.example>", "MAIL_FROM must be an address"),
        ("Farm\rdata <a@b.example>", "MAIL_FROM must be one line"),
    ],
)
def test_a_wrong_sender_says_what_to_write(text: str, what_to_write: str) -> None:
    said = complaint(MAIL_URL="smtp://mail.example", MAIL_FROM=text)

    assert what_to_write in said.splitlines()[0]


def test_settings_with_a_mail_server_do_not_show_its_password() -> None:
    found = read(MAIL_URL="smtp://mailer-7:hunter22@mail.example", **MAIL)

    assert "hunter22" not in repr(found)
    assert "mailer-7" not in repr(found)


OIDC = {
    "STAFF_OIDC_METADATA_URL": "https://id.example/.well-known/openid-configuration",
    "STAFF_OIDC_CLIENT_ID": "connect",
    "STAFF_OIDC_CLIENT_SECRET": "company-secret-4Tq8",
}


def test_company_sign_in_is_off_whole_or_named_as_incomplete() -> None:
    assert read().company is None
    company = read(**OIDC).company
    assert company is not None
    assert "company-secret-4Tq8" not in repr(company)
    assert company.role_of(["viewer", "operator"]) is Role.OPERATOR
    told = complaint(STAFF_OIDC_CLIENT_ID="connect")
    assert "STAFF_OIDC_METADATA_URL, STAFF_OIDC_CLIENT_SECRET" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"STAFF_OIDC_METADATA_URL": "https://id.example"}, "must end with /.well-known/openid-c"),
        ({"STAFF_OIDC_ROLES": "team=boss"}, "STAFF_OIDC_ROLES has 'team=boss'; write VALUE=ROLE"),
        ({"STAFF_OIDC_VOUCHES_FOR_ADDRESSES": "true"}, "must be yes or no"),
        (
            {
                "STAFF_OIDC_METADATA_URL": "http://localhost:8001/company"
                "/.well-known/openid-configuration"
            },
            "is on this machine",
        ),
    ],
)
def test_company_sign_in_that_can_not_work_is_explained(changes: dict[str, str], told: str) -> None:
    assert told in complaint(**OIDC | changes)


def test_roles_are_those_that_the_settings_name() -> None:
    company = read(**OIDC, STAFF_OIDC_ROLES="CN=Team,OU=A=operator ; boss = administrator").company
    assert company is not None
    assert company.role_of(["operator"]) is None
    assert company.role_of(["CN=Team,OU=A"]) is Role.OPERATOR
    assert company.role_of(["boss"]) is Role.ADMINISTRATOR
