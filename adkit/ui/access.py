"""Who may ask, and how much may be sent: an ASGI layer before the page and the REST interface."""

import asyncio
import hashlib
import hmac
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from adkit.ui.markup import render
from adkit.ui.settings import ServerSettings, is_loopback

LOGIN = "/login"
_COOKIE = "adkit_entry"
_MOST_LOGIN_BYTES = 4096
LOGIN_S = 10.0
"""So long may it take to send a token."""
SILENT_S = 60.0
"""So long may the rest of a body be waited for without a byte of it."""
_WRONG_TOKEN_S = 0.5  # whoever tries them all shall need long
_POLICY_REFUSED = 1008  # the code that closes a websocket

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
"""Pages load nothing from other hosts, whatever they contain."""


class AccessMiddleware:
    """Let a request through, or answer it with 400, 401, 403, 408 or 413.

    Without a token, only names of this machine are answered as the host: a page elsewhere could else reach the
    server through a name of its own. Websockets, and requests that change something, must come from the server's own
    pages.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        below = self.settings.root_path  # which a proxy takes away, or not
        if f"{scope['path']}/".startswith(f"{below}/"):
            scope = {**scope, "path": scope["path"].removeprefix(below) or "/"}
        connection = HTTPConnection(scope)
        answer: ASGIApp | None = self._refusal(connection)
        if answer is None and scope["type"] == "http" and scope["path"] == LOGIN and self.settings.token is not None:
            try:
                async with asyncio.timeout(LOGIN_S):
                    answer = await self._log_in(Request(scope, receive), self.settings.token)
            except TimeoutError:
                answer = _too_slow()
        elif answer is None and not self._has_entry(connection):
            answer = _turned_away(connection)
        if answer is None:
            await self._let_through(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(_POLICY_REFUSED)(scope, receive, send)
        else:
            await answer(scope, receive, send)

    def _refusal(self, connection: HTTPConnection) -> Response | None:
        headers = connection.headers
        host, origin, length = headers.get("host", ""), headers.get("origin"), headers.get("content-length", "0")
        if self.settings.token is None and not is_loopback(_parts(f"//{host}")[0]):
            told = f"the host {host[:80]!r} is not this machine"
            return fault_response(403, told, "use the address that adkit ui printed")
        # What arrives over a websocket is not looked at one by one, so that it counts as something that changes.
        changes = connection.scope.get("method") not in ("GET", "HEAD", "OPTIONS")
        # A page that is opened from a file, or in a sandbox, sends "null".
        if changes and origin is not None and _parts(origin)[1] != host:
            return fault_response(403, "the request comes from another site's page", "use the server's own page")
        if not length.isdecimal():
            return fault_response(400, "the content length is no number", "send it as digits")
        return self._too_large() if int(length) > self.settings.limits.request_bytes else None

    def _too_large(self) -> Response:
        megabytes = self.settings.limits.request_bytes / 1e6
        told = f"the upload is larger than {megabytes:,.0f} MB"
        return fault_response(413, told, "send fewer or smaller files at once")

    def _has_entry(self, connection: HTTPConnection) -> bool:
        token = self.settings.token
        if token is None:
            return True
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), token):
            return True
        return _same(connection.cookies.get(_COOKIE, ""), _entry(token))

    async def _log_in(self, request: Request, token: str) -> Response:
        body = b""
        if request.method == "POST":
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MOST_LOGIN_BYTES:
                    break
        given = parse_qs(body[:_MOST_LOGIN_BYTES].decode(errors="replace")).get("token", [""])[0]
        if _same(given, token):
            cookie = f"{_COOKIE}={_entry(token)}; Path=/; HttpOnly; SameSite=Strict"
            return RedirectResponse("./", 303, {"set-cookie": cookie, "content-security-policy": POLICY})
        await asyncio.sleep(_WRONG_TOKEN_S)
        return _login_page(request, "That is not the token." if given else "")

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body counted, whose length need not be told, and the policy in the answer."""
        most = self.settings.limits.request_bytes
        if scope.get("method") == "HEAD":  # most routes know GET alone; who sends the answer leaves its body out
            scope = {**scope, "method": "GET"}
        taken = 0
        began = slow = False
        more = scope["type"] == "http"  # is to come of the body

        async def counted() -> Message:
            nonlocal taken, more, slow
            try:
                async with asyncio.timeout(SILENT_S if more else None):
                    message = await receive()
            except TimeoutError:
                slow = True
                raise _RefusedError from None
            more = more and message.get("more_body", False)
            taken += len(message.get("body", b""))
            if taken > most:
                raise _RefusedError
            return message

        async def protected(message: Message) -> None:
            nonlocal began
            if (slow or taken > most) and not began:
                return  # what the application makes of it; ours is said below
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                headers.setdefault("content-security-policy", POLICY)
            await send(message)

        with suppress(_RefusedError):
            await self.app(scope, counted, protected)
        if (slow or taken > most) and not began:
            await (_too_slow() if slow else self._too_large())(scope, receive, send)


class _RefusedError(Exception):
    pass


def fault_response(status: int, message: str, hint: str) -> JSONResponse:
    """Return what programs are told of a fault, in two lines."""
    headers = {"content-security-policy": POLICY}
    if status in (408, 413):
        headers["connection"] = "close"  # the rest of a refused body is not read: it cannot be used again
    if status == 503:
        headers["retry-after"] = "1"
    return JSONResponse({"error": message, "hint": hint}, status, headers)


def _too_slow() -> Response:
    return fault_response(408, "the rest of the request did not arrive", "send it again")


def _turned_away(connection: HTTPConnection) -> Response:
    if connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", ""):
        return _login_page(connection)
    return fault_response(401, "a token is needed", "send the header: Authorization: Bearer TOKEN")


def _login_page(asked: HTTPConnection, note: str = "") -> Response:
    address = "../" * (asked.scope["path"].count("/") - 1) + LOGIN[1:]  # a proxy may show it below some path
    return HTMLResponse(render("login.html", note=note, address=address), 401, {"content-security-policy": POLICY})


def _entry(token: str) -> str:
    """Return what the cookie holds: it lets in, but does not tell the token."""
    return hmac.new(token.encode(), b"adkit entry", hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _parts(address: str) -> tuple[str, str]:
    """Return an address's host without and with its port; empty ones for what is no address."""
    try:
        found = urlsplit(address)
        return found.hostname or "", found.netloc
    except ValueError:
        return "", ""
