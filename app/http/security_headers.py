"""Headers that tell browsers and caches what not to do with a response."""

NOSNIFF = (b"x-content-type-options", b"nosniff")
"""On every response: a browser takes the media type as it is."""
NO_STORE = (b"cache-control", b"no-store")
"""On JSON: answers depend on stored events, and may contain them."""
JSON_TYPES = frozenset(
    (b"content-type", media_type) for media_type in (b"application/json", b"application/problem+json")
)
PAGE_HEADERS = {"Referrer-Policy": "same-origin", "X-Frame-Options": "DENY"}
STRICT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Of the page at `/`: nothing inline, nothing of other hosts, and no text that becomes HTML."""
STRICT_PAGE_HEADERS = {
    "Content-Security-Policy": STRICT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    **PAGE_HEADERS,
}


def add_security_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Add the headers of every response, and those of JSON to JSON."""
    if not JSON_TYPES.isdisjoint(headers):
        headers.append(NO_STORE)
    headers.append(NOSNIFF)


def build_page_headers(sources: str) -> dict[str, str]:
    """Build the headers of a page: its own sources and `sources`, in no frame of another page."""
    policy = f"default-src 'self' 'unsafe-inline'; {sources}; base-uri 'self'; form-action 'self'; object-src 'none'"
    return {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'", **PAGE_HEADERS}
