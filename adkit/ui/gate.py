"""Who may ask, and how much may be sent: an ASGI layer before the page and the REST interface."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from adkit.ui.settings import Settings, is_loopback
from adkit.ui.texts import text_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOGIN = "/login"
_COOKIE = "adkit_entry"
_MOST_LOGIN_BYTES = 4096
_WRONG_TOKEN_S = 0.5  # whoever tries them all shall need long

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
"""Pages load nothing from other hosts, whatever they contain."""


class AccessMiddleware:
    """Lets a request through, or answers it itself: 400, 401, 403, 413.

    Without a token, only names of this machine are answered as the host: a page elsewhere could else reach the
    server through a name of its own. Requests that change something must come from the server's own pages.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is None and self._has_entry(headers):
                await self.app(scope, receive, send)
        elif refusal is not None:
            await _answer(send, *refusal)
        elif scope["path"] == LOGIN and self.settings.token is not None:
            await self._log_in(scope, receive, send)
        elif not self._has_entry(headers):
            await self._turn_away(scope, headers, send)
        else:
            await self._let_through(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if self.settings.token is None and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return 403, f"the host {host[:80]!r} is not this machine", "use the address that adkit ui printed"
        origin = headers.get("origin")
        changes = scope.get("method", "GET") not in ("GET", "HEAD", "OPTIONS")
        # A page that is opened from a file, or in a sandbox, sends "null".
        if changes and origin is not None and urlsplit(origin).netloc != host:
            return 403, "the request comes from another site's page", "use the server's own page"
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return 400, "the content length is no number", "send it as digits"
        if int(length) > self.settings.limits.request_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> tuple[int, str, str]:
        megabytes = self.settings.limits.request_bytes / 1e6
        return 413, f"the upload is larger than {megabytes:,.0f} MB", "send fewer or smaller files at once"

    def _has_entry(self, headers: dict[str, str]) -> bool:
        token = self.settings.token
        if token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), _entry(token).encode())

    async def _turn_away(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            await _respond(send, 401, _login_page(""), "text/html; charset=utf-8")
            return
        await _answer(send, 401, "a token is needed", "send the header: Authorization: Bearer TOKEN")

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.settings.token is not None
        body = b""
        while scope["method"] == "POST":
            message = await receive()
            body += message.get("body", b"")
            if len(body) > _MOST_LOGIN_BYTES or not message.get("more_body"):
                break
        given = parse_qs(body[:_MOST_LOGIN_BYTES].decode(errors="replace")).get("token", [""])[0]
        if hmac.compare_digest(given.encode(), self.settings.token.encode()):
            cookie = f"{_COOKIE}={_entry(self.settings.token)}; Path=/; HttpOnly; SameSite=Strict"
            await _respond(send, 303, b"", "text/plain", {"location": "/", "set-cookie": cookie})
            return
        await asyncio.sleep(_WRONG_TOKEN_S)
        await _respond(send, 401, _login_page("That is not the token." if given else ""), "text/html; charset=utf-8")

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """With the body counted, because a length need not be told, and with the policy in the answer."""
        most = self.settings.limits.request_bytes
        taken = 0
        began = False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLargeError
            return message

        async def protected(message: MutableMapping[str, Any]) -> None:
            nonlocal began
            if taken > most and not began:
                return  # what the application makes of it; ours is said below
            if message["type"] == "http.response.start":
                began = True
                known = {name.lower() for name, _ in message["headers"]}
                added = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin"}
                if b"content-security-policy" not in known:
                    added[b"content-security-policy"] = POLICY.encode()
                message["headers"] = [*message["headers"], *added.items()]
            await send(message)

        with suppress(_TooLargeError):
            await self.app(scope, counted, protected)
        if taken > most and not began:
            await _answer(send, *self._too_large())


def _login_page(note: str) -> bytes:
    return text_of("login.html").replace("{{note}}", note).encode()


class _TooLargeError(Exception):
    pass


def _entry(token: str) -> str:
    """What the cookie holds: it lets in, but does not tell the token."""
    return hmac.new(token.encode(), b"adkit entry", hashlib.sha256).hexdigest()


async def _answer(send: Send, status: int, message: str, hint: str) -> None:
    import json

    await _respond(send, status, json.dumps({"error": message, "hint": hint}).encode(), "application/json")


async def _respond(send: Send, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
    told = {
        "content-type": kind,
        "content-length": str(len(body)),
        "content-security-policy": POLICY,
        **(headers or {}),
    }
    # The rest of a refused body is not read: the connection cannot be used again.
    told |= {"connection": "close"} if status == 413 else {}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in told.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
