"""Redis URLs: every scheme, their parts and options, and errors that quote no part that may hold a password."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.redis_url import SCHEMES, parse_redis_url

S = "s3cret"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", ("server", False, (("localhost", 6379),), "", "", 0)),
        ("redis://cache:6380/2", ("server", False, (("cache", 6380),), "", "", 2)),
        ("rediss://[::1]:1?db=3", ("server", True, (("::1", 1),), "", "", 3)),
        ("unix:///run/my%20redis.sock?db=1", ("socket", False, (), "/run/my redis.sock", "", 1)),
        ("redis+cluster://a,b:1,[::1]:2/0", ("cluster", False, (("a", 6379), ("b", 1), ("::1", 2)), "", "", 0)),
        ("rediss+cluster://a:1", ("cluster", True, (("a", 1),), "", "", 0)),
        ("redis+sentinel://a,b:1/my%2Fshop/3", ("sentinel", False, (("a", 26379), ("b", 1)), "", "my/shop", 3)),
        ("rediss+sentinel://a/shop", ("sentinel", True, (("a", 26379),), "", "shop", 0)),
    ],
)
def test_url_is_parsed_into_its_parts(url: str, expected: tuple[object, ...]) -> None:
    target = parse_redis_url(url)
    assert (target.kind, target.tls, target.hosts, target.socket, target.service, target.db) == expected


def test_user_and_password_are_decoded_and_not_shown() -> None:
    target = parse_redis_url(f"redis+sentinel://u:%40{S}%2F@a:1/shop/3")
    assert (target.username, target.password) == ("u", f"@{S}/")
    assert target.text == "redis+sentinel://***@a:1/shop/3"
    assert parse_redis_url(f"redis://h/0?password={S}&db=0").text == "redis://***@h/0"
    assert parse_redis_url(f"unix://:{S}@/run/a%40b.sock").socket == "/run/a@b.sock"
    assert parse_redis_url("unix:///run/a@b.sock").socket == "/run/a@b.sock"
    assert parse_redis_url(f"redis+cluster://:{S}@a").username is None
    assert S not in repr(target)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://:{S}@host", "must begin with redis://"),
        (f"unix://:a@/{S}@/run/redis.sock", "the @ of the path as %40"),
        (f"{S}@host:6379", "must begin with redis://"),
        (f'"redis://:{S}@host"', "has quotes or blanks around it"),
        (f"redis://:{S}@host ", "has quotes or blanks around it"),
        (f"redis://:{S}#1@host:6379", "write it as %23"),
        (f"redis://:{S}/1@host:6379", "write a / of the password as %2F"),
        (f"redis://:{S}?1@host:6379", "write a . of the password as %3F"),
        (f"redis://{S}@host:6379", "names a user without a password"),
        (f"redis://me:{S}", "host 1 is not host:port"),
        (f"redis://host:{S}", "host 1 is not host:port"),
        (f"redis://{S}@{S}:me@ho st", "host 1 is not host:port"),
        ("redis://host:70000", "host 1 is not host:port"),
        ("redis://host:0", "host 1 is not host:port"),
        ("redis://a,b", r"several hosts need redis\+cluster://"),
        (f"redis://host/{S}", "not the number of a database"),
        (f"redis://host/0/{S}", "not the number of a database"),
        ("redis://host/1?db=2", "two different databases"),
        ("redis://host?db=one", "db must be the number of a database"),
        ("redis://host?db=1&db=1", "the option db twice"),
        ("redis://host?socket_timeout=3", "NEXTUP_REDIS_TIMEOUT_MS"),
        ("redis://host?max_connections=3", "NEXTUP_REDIS_POOL"),
        ("redis://host?clientname=x", "unknown option; the nearest one is client_name"),
        (f"redis://host?{S}=x", "unknown option; options are db, "),
        ("redis://host?ssl_ca_certs=/etc/hosts", "ssl_ca_certs, which needs TLS"),
        ("rediss://host?ssl_ca_certs=/nothing", "ssl_ca_certs must be the path of a file"),
        ("rediss://host?ssl_cert_reqs=never", "ssl_cert_reqs must be required, optional or none"),
        ("rediss://host?ssl_check_hostname=2", "ssl_check_hostname must be true or false"),
        ("unix://run/redis.sock", "after three slashes"),
        ("unix:///", "after three slashes"),
        (f"unix:///{'x' * 200}", "which no Unix socket can have"),
        ("redis+sentinel://host:1", "must name the service"),
        ("redis+sentinel://host:1/shop/two", "not the number of a database"),
        ("redis+sentinel://host:1/shop/0/1", "not the number of a database"),
        ("redis+sentinel:///shop", "host 1 is not host:port"),
        ("redis+cluster://", "host 1 is not host:port"),
        ("rediss+cluster://a:1,b:70000", "host 2 is not host:port"),
        ("redis+cluster://host:1/3", "only database 0"),
        ("redis+cluster://host:1?ssl=true", "use a scheme with rediss"),
    ],
)
def test_error_states_the_reason_and_quotes_no_secret(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_redis_url(url)
    assert S not in str(caught.value)


def test_option_that_names_a_file_is_judged_before_use(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    with pytest.raises(ValueError, match="must be the path of a file"):
        parse_redis_url(f"rediss://host?ssl_ca_certs={file}")
    file.write_text("")
    assert parse_redis_url(f"rediss://host?ssl_ca_certs={file}").options == {"ssl_ca_certs": str(file)}


@example(scheme="unix", before="@/", after="")
@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    before=st.text("aB0:/?#@%[],=&", max_size=6),
    after=st.text("aB0:/?#@%[],=&", max_size=6),
)
def test_no_malformed_url_shows_its_password(scheme: str, before: str, after: str) -> None:
    secret, shown, password = "zQ9xW7vK", "", ""
    try:
        target = parse_redis_url(f"{scheme}://:{before}{secret}{after}@host:1/0")
        shown, password = target.text, target.password or ""
    except ValueError as error:
        shown = str(error)
    assert secret not in shown
    assert secret in password or not password
