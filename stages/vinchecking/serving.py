"""The check station on the network: its address, its token, and how many connections it holds.

A connection that asks nothing is closed after `ASKS_WITHIN` seconds, and at once where a browser
needs its place: whoever opens thousands shuts nobody out and fills no log.
"""

import argparse
import asyncio
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vinchecking.app import Access, make_app
from vinchecking.desk import Desk
from vinchecking.store import Store
from vinreader.console import text
from vinreader.spec import UserError

MOST_CONNECTIONS = 400
ASKS_WITHIN = 10.0  # seconds after which a connection that has not asked anything is closed
ANSWERED_WITHIN = 600.0  # seconds in which a browser has to take an answer


class Connection(H11Protocol):
    """A browser's connection."""

    quiet: ClassVar[dict["Connection", None]] = {}  # those that are not asking, the oldest first
    _timer: asyncio.TimerHandle | None = None
    _asking: bool | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            next(iter(self.quiet), self)._drop()
        if not transport.is_closing():
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        asking = self.cycle is not None and not self.cycle.response_complete
        if asking == self._asking:
            return
        self._forget()
        self._asking = asking
        if not asking:
            self.quiet[self] = None
        self._timer = self.loop.call_later(ANSWERED_WITHIN if asking else ASKS_WITHIN, self._drop)

    def _forget(self) -> None:
        self.quiet.pop(self, None)
        if self._timer:
            self._timer.cancel()

    def _drop(self) -> None:
        self._forget()
        self.transport.abort()


def serve(store: Store, write_tables: Callable[[], Path], options: argparse.Namespace) -> None:
    """Answers until it is told to stop. Raises: UserError if the address cannot be had."""
    listening = _listen(options.host, options.port)
    address, used = listening.getsockname()[:2]
    token = "" if ip_address(address).is_loopback else _token(store, options.new_token)
    everywhere = ip_address(address).is_unspecified
    names = {"localhost", "127.0.0.1", "::1", options.host, socket.gethostname(), *options.name}
    access = Access(frozenset(name.lower() for name in names), everywhere, token, f"token-{used}")
    config = uvicorn.Config(
        make_app(Desk(store), access, write_tables),
        http=Connection,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody but the connection itself says where it comes from
        timeout_graceful_shutdown=5,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.certificate_key,
    )
    called = _address(address) if everywhere else options.host
    called = f"[{called}]" if ":" in called else called
    url = f"{'https' if options.certificate else 'http'}://{called}:{used}/"
    print(text("open_page", url=f"{url}?token={token}" if token else url), flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the store is to be closed then, too
    with listening, suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listening])


def _address(unspecified: str) -> str:
    """The address by which others in the network reach this machine, else its name."""
    v6 = ":" in unspecified
    family, far = (socket.AF_INET6, "2001:db8::1") if v6 else (socket.AF_INET, "192.0.2.1")
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way:
        way.connect((far, 9))  # sends nothing
        found: str = way.getsockname()[0]
        return found
    return socket.gethostname()


def _token(store: Store, new: bool) -> str:
    if new or not store.meta("token"):
        store.set_meta("token", secrets.token_urlsafe(24))
    return store.meta("token") or ""


def _listen(host: str, wanted: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, wanted), family=family, backlog=1024)
        # An answer is not to wait for the acknowledgement of its headers (40 ms); inherited.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        why = error.strerror or error
        raise UserError(text("not_listening", host=host, port=str(wanted), why=why)) from None
