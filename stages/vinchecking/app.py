"""The check station: the page of `review.html` served to several clerks, on top of `desk.py`.

Answers only requests that name this machine as their host, come from its own page, and, where it
listens on more than this machine, carry its token.
"""

import asyncio
import base64
import hashlib
import html
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vinchecking.desk import Desk
from vinchecking.events import NAME_LENGTH, EventError
from vinchecking.report import report
from vinchecking.store import StoreError, StoreGone
from vinreader import template
from vinreader.spec import CHARACTERS
from vinreader.tables import VinRow

MOST_BYTES = 1 << 20  # of a request's body
MOST_EVENTS, MOST_CARDS, MOST_BOXES = 1000, 1000, 200  # of a request, or of its answer
SLOWEST = 30.0  # seconds that a request's body may take
TABLES_EVERY = 30.0  # seconds between two writings of the tables, if anything has changed

log = logging.getLogger("vinchecking")


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask. names: by which this machine is called, lower case, without port. any_address:
    it may be called by any IP address, too. token: needed if not empty. cookie: its name."""

    names: frozenset[str]
    any_address: bool = False
    token: str = ""
    cookie: str = "token"

    def host(self, host: str) -> bool:
        """Whether a Host header names this machine: another name may have been bound to its
        address by a foreign page (DNS rebinding)."""
        with suppress(ValueError):  # "[" begins an IPv6 address; no IP address
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or (self.any_address and bool(ip_address(name)))
        return False

    def opens(self, token: str) -> bool:
        return bool(self.token) and secrets.compare_digest(token.encode(), self.token.encode())


class Guard:
    """Refuses what does not come from this station's page; adds the headers of every answer."""

    def __init__(self, app: ASGIApp, access: Access, policy: str):
        self.app, self.access = app, access
        self.headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        app = self._refusal(Request(scope)) or self.app
        await app(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers, client = request.headers, request.client.host if request.client else "?"
        if not self.access.host(headers.get("host", "")):
            log.warning("%s: refused, host %.100r is not this station", client, headers.get("host"))
            return _refuse(request, 403, "host")
        origin = headers.get("origin")
        own = (f"{scheme}://{headers.get('host')}" for scheme in ("http", "https"))
        is_page, site = request.url.path == "/", headers.get("sec-fetch-site")
        embedded = site in ("cross-site", "same-site") and not is_page
        if embedded or (origin is not None and origin not in own):
            log.warning("%s: refused, from the foreign origin %.100r", client, origin)
            return _refuse(request, 403, "origin")
        if is_page and self.access.opens(request.query_params.get("token", "")):
            return self._remember(request)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        known = bearer, request.cookies.get(self.access.cookie, "")
        if not self.access.token or any(map(self.access.opens, known)):
            return None
        log.warning("%s: refused, without the token or with a wrong one", client)
        if is_page:  # a person, with a browser
            why = html.escape(told(request, "token"))
            return HTMLResponse(f"<!doctype html><title>VIN</title><p>{why}</p>", 401)
        return _refuse(request, 401, "token")

    def _remember(self, request: Request) -> Response:
        """The page without the token in its address: the browser keeps that from now on."""
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self.access.cookie,
            self.access.token,
            max_age=30 * 24 * 3600,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer


def make_app(desk: Desk, access: Access, write_tables: Callable[[], Path]) -> Starlette:
    """write_tables: writes the tables from the store, if anything has changed, and gives the path
    of vins.csv; called every now and then, when it is asked for, and at the end."""
    station = _Station(desk, write_tables)
    counts = {"cards": desk.store.cards, "doubtful": sum(desk.store.tallies("status").values())}
    page = template.served_page(counts | {"served": True, "key": desk.store.meta("key") or ""})
    return Starlette(
        routes=[
            Route("/", lambda _: HTMLResponse(page)),
            Route("/api/cards", station.cards),
            Route("/api/cards/{card:int}", station.card),
            Route("/api/next", station.next),
            Route("/api/lease", station.lease, methods=["POST"]),
            Route("/api/mosaic", station.mosaic),
            Route("/api/events", station.events, methods=["POST"]),
            Route("/api/sign-in", station.sign_in, methods=["POST"]),
            Route("/api/progress", station.progress),
            Route("/api/report", lambda _: JSONResponse(report(desk.store))),
            Route("/api/vins.csv", station.table),
        ],
        middleware=[Middleware(Guard, access=access, policy=policy(page))],
        exception_handlers={
            HTTPException: _http_error,
            EventError: lambda request, _: _refuse(request, 400, "clerk", most=NAME_LENGTH),
            StoreError: _store_error,
            OSError: _store_error,
            Exception: lambda request, _: _refuse(request, 500, "failure"),
        },
        lifespan=station.lifespan,
    )


class _Station:
    """What is answered to each request."""

    def __init__(self, desk: Desk, write_tables: Callable[[], Path]):
        self.desk, self.store, self.write_tables = desk, desk.store, write_tables

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        writing = asyncio.create_task(self._keep_tables())
        yield
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await run_in_threadpool(self._write)

    async def _keep_tables(self) -> None:
        pause = TABLES_EVERY
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            await run_in_threadpool(self._write)
            pause = max(TABLES_EVERY, 20 * (time.monotonic() - began))  # a large one more rarely

    def _write(self) -> None:
        try:
            self.write_tables()
        except (StoreError, OSError) as error:
            log.warning("the tables could not be written and will be tried again: %s", error)

    def cards(self, request: Request) -> Response:
        start, count = _number(request, "from", 0), _number(request, "count", 100, MOST_CARDS)
        find = request.query_params.get("find", "")[:200]
        found = self.desk.list_cards(self._clerk(request), start, count, find)
        return JSONResponse({"total": self.store.cards, "cards": found})

    def card(self, request: Request) -> Response:
        clerk, number = self._clerk(request), request.path_params["card"]
        card = self.store.card(number) if number < self.store.cards else None
        if card is None:
            raise _not_so(404, "missing")
        view = self.store.view(card, clerk)
        entry = card.entry | {
            "id": card.id,
            "position": card.turn,
            "doubtful": card.doubtful,
            "row": (VinRow(card.name) if view.blind else card.row)._asdict(),
            "boxes": self.store.pictures(card.id),
            "blind": view.blind,
            "start": view.start,
            "events": view.events,
            "state": asdict(view.state) | {"settled": sorted(view.state.settled)},
        }
        if view.blind:
            entry |= {"reading": view.start, "confidences": [], "alternatives": [], "marked": []}
        if view.answers:
            entry["answers"] = [{"reading": s.reading, "status": s.status} for s in view.answers]
        return JSONResponse(entry)

    def next(self, request: Request) -> Response:
        clerk = self._clerk(request)
        number = self.desk.next(clerk, _number(request, "after", -1))
        waiting = self.desk.waiting(clerk) if number is None else 0
        return JSONResponse({"card": number, "waiting": waiting})

    async def lease(self, request: Request) -> Response:
        body = await _body(request)
        card = body.get("card") if isinstance(body, dict) else None
        if type(card) is not int or not 0 <= card < self.store.cards:
            raise _not_so(404, "missing")
        return JSONResponse(await run_in_threadpool(self.desk.lease, card, self._clerk(request)))

    def mosaic(self, request: Request) -> Response:
        clerk, character = self._clerk(request), request.query_params.get("character")
        if character is None:
            left = self.store.tallies
            return JSONResponse({"all": left("to see"), "doubtful": left("doubtful")})
        if len(character) != 1 or character not in CHARACTERS:
            raise _not_so(400, "invalid", why="character is none of the 33")
        count, doubtful = _number(request, "count", 80, MOST_BOXES), _number(request, "doubtful", 0)
        return JSONResponse(self.desk.mosaic(clerk, character, count, bool(doubtful)))

    async def events(self, request: Request) -> Response:
        sent = await _body(request)
        if not isinstance(sent, list) or len(sent) > MOST_EVENTS:
            raise _not_so(400, "invalid", why=f"not a list of at most {MOST_EVENTS} events")
        if "x-clerk" in request.headers:
            self._clerk(request)
        answer = await run_in_threadpool(self.desk.take_in, sent)
        for refusal in answer["refused"]:
            log.warning("an event was refused: %.200s", refusal["why"])
            refusal["why"] = told(request, **{"by": "", **refusal})
        return JSONResponse(answer)

    def sign_in(self, request: Request) -> Response:
        """The clerk's name as it is used here, from now on in this browser."""
        return JSONResponse({"clerk": self._clerk(request, "take" in request.query_params)})

    def progress(self, request: Request) -> Response:
        return JSONResponse(self.desk.progress(self._clerk(request)))

    def table(self, _: Request) -> Response:
        return FileResponse(self.write_tables(), media_type="text/csv", filename="vins.csv")

    def _clerk(self, request: Request, take: bool = False) -> str:
        """Raises: EventError, HTTPException if who asks has no name, or another browser's."""
        name = self.desk.name(unquote(request.headers.get("x-clerk", "")))
        browser = request.headers.get("x-browser")
        if browser and not self.desk.greet(name, browser, take):
            raise _not_so(409, "name", name=name)
        return name


def policy(page: str) -> str:
    """The content policy by which a page runs its own scripts, asks its server, and no more."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _number(request: Request, name: str, default: int, most: int = 1 << 53) -> int:
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,15}", text) and text != str(default):
        raise _not_so(400, "invalid", why=f"{name} is no number")
    return min(int(text), most)


async def _body(request: Request) -> Any:
    """The JSON of a request's body, of which never more than `MOST_BYTES` are held."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise _not_so(415, "type")
    body = bytearray()
    try:
        async with asyncio.timeout(SLOWEST):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise _not_so(413, "size", most=f"{MOST_BYTES:,}")
    except TimeoutError:
        raise _not_so(408, "slow") from None
    try:
        return json.loads(bytes(body), parse_constant=int)  # which refuses NaN and Infinity
    except (ValueError, RecursionError):
        raise _not_so(400, "invalid", why="the body is no JSON") from None


def _refuse(request: Request, status: int, code: str, **values: object) -> JSONResponse:
    return JSONResponse({"error": told(request, code, **values), "code": code}, status)


def told(request: Request, code: str, **values: object) -> str:
    """What a refusal says, in the language of who asks."""
    asked = request.headers.get("x-language") or request.headers.get("accept-language", "")
    language = next((one for one in template.LANGUAGES if asked.startswith(one)), "en")
    said: str = template.texts(language)[f"refusal_{code}"]
    return said.format(**values)


def _not_so(status: int, code: str, **values: object) -> HTTPException:
    return HTTPException(status, {"code": code, **values})  # type: ignore[arg-type]


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail: Any = error.detail
    if not isinstance(detail, dict):  # Starlette's own
        codes = {404: "missing", 405: "method"}
        detail = {"code": codes.get(error.status_code, "invalid"), "why": detail}
    if error.status_code == 413:
        log.warning("a body of more than %d bytes was refused", MOST_BYTES)
    return _refuse(request, error.status_code, **detail)


def _store_error(request: Request, error: Exception) -> Response:
    if isinstance(error, StoreGone):
        log.error("%s: nothing is kept until the station is started again", error)
        return _refuse(request, 503, "gone")
    log.warning("%s", error)
    return _refuse(request, 503, "store")
