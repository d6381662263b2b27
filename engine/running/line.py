"""The lines between workers and the process that waits for what they find.

A line is a socket: a local one for processes of this host, TCP for those of others.
Who does not know the key of the run, which goes with the work, is not listened to.
"""

import os
import pickle
import queue
import secrets
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    answer_challenge,
    deliver_challenge,
)
from typing import Any, NamedTuple

#: What may wait to be written: a worker that is quicker than the disk waits.
_WAITING = 256
_KEY_BYTES = 32
_BACKLOG = 1024


class Address(NamedTuple):
    """Where a run listens: names of sockets, of which the first that answers is it."""

    places: tuple[Any, ...]
    key: bytes


class Message(NamedTuple):
    """What a worker says: ``kind`` is ``hello``, ``gone``, or what the worker chose.

    number  of the work that it does
    line    by which it may be answered
    """

    number: int
    kind: str
    values: tuple[Any, ...]
    line: Connection


class Switchboard:
    """Takes the lines of workers; what they say lies in ``messages``, in order.

    local  whether only processes of this host are expected
    """

    def __init__(self, local: bool) -> None:
        self.messages: queue.Queue[Message] = queue.Queue(_WAITING)
        self._closed = threading.Event()
        self._lines: set[Connection] = set()
        self._socket, places = _local() if local else _anywhere()
        self._socket.listen(_BACKLOG)
        self.address = Address(places, secrets.token_bytes(_KEY_BYTES))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut all lines."""
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # or accept would go on
        self._socket.close()
        for line in list(self._lines):
            cut(line)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                found, _ = self._socket.accept()
            except OSError:
                return
            line = Connection(found.detach())
            threading.Thread(target=self._listen, args=(line,), daemon=True).start()

    def _listen(self, line: Connection) -> None:
        """Hand on what comes by a line until it is cut."""
        number = -1
        self._lines.add(line)
        try:
            deliver_challenge(line, self.address.key)
            answer_challenge(line, self.address.key)
            number = line.recv()
            self._say(Message(number, "hello", (), line))
            while True:
                kind, values = line.recv()
                self._say(Message(number, kind, values, line))
        except (AuthenticationError, EOFError, OSError, pickle.UnpicklingError):
            pass
        finally:
            if number >= 0:
                self._say(Message(number, "gone", (), line))
            self._lines.discard(line)
            line.close()

    def _say(self, message: Message) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self.messages.put(message, timeout=0.1)
                return


def call(address: Address, number: int) -> Connection:
    """Return a line to the run at an address, by which work ``number`` is done.

    Raises OSError if nobody answers there, and EOFError if the work is not wanted.
    """
    refused: Sequence[Exception] = ()
    for place in address.places:
        try:
            line = Client(place, authkey=address.key)
        except (OSError, EOFError, AuthenticationError) as error:
            refused = (*refused, error)
            continue
        line.send(number)
        line.recv()  # the word to begin
        return line
    raise OSError(f"run must answer at {address.places}, got {refused}")


def cut(line: Connection) -> None:
    """End a line from any thread: who reads or writes it sees its end."""
    with suppress(OSError, ValueError):
        held = socket.socket(fileno=os.dup(line.fileno()))
        with suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
        held.close()


def _local() -> tuple[socket.socket, tuple[Any, ...]]:
    """Return a socket that has no file, and its name."""
    name = f"\0lazynuma-{secrets.token_hex(16)}"
    found = socket.socket(socket.AF_UNIX)
    found.bind(name)
    return found, (name,)


def _anywhere() -> tuple[socket.socket, tuple[Any, ...]]:
    """Return a socket that other hosts reach, and where it may be reached."""
    found = socket.socket(socket.AF_INET)
    found.bind(("", 0))
    port = found.getsockname()[1]
    return found, tuple((host, port) for host in dict.fromkeys(_hosts()))


def _hosts() -> list[str]:
    """Return the addresses that this host may have, the likeliest first."""
    hosts = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.connect(("192.0.2.1", 9))  # says the way out, and sends nothing
        hosts.append(found.getsockname()[0])
    with suppress(OSError):
        hosts.append(socket.gethostbyname(socket.gethostname()))
    return [*hosts, "127.0.0.1"]
