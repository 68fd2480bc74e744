"""What JetStream keeps: one stream for all channels that have the same history.

A stream takes what is published to it, numbers it, answers, and passes it on to where it would have
gone without a stream, with the numbers as headers. So who listens needs no consumer.

The numbers are those of the stream, and a channel has holes in them. That nothing is missing after
one of its messages is known if that message is still there itself: what the stream forgets, it
forgets from the beginning. So it keeps one message more of each channel than may be missed, and
each for a day, since the last one that a client has heard in a quiet room may be that old.

An epoch is the life of a stream. A stream may be replicated, and then a replica answers that has
not got everything yet; what is the newest message the leader tells.
"""

import asyncio
import hashlib
from typing import Any, TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from fastws.errors import BrokerUnavailable
from fastws.rooms.brokers.engine import Wanted
from fastws.rooms.brokers.history import (
    CHUNK_SIZE,
    ID_WINDOW,
    REMEMBER,
    History,
    Kept,
    Log,
    Position,
    Receipt,
)
from fastws.rooms.brokers.nats_requests import Requests, status_of
from fastws.rooms.brokers.nats_subjects import Subjects
from fastws.rooms.brokers.numbering import Numbered
from fastws.rooms.brokers.outgoing import Parcel

# Of JetStream's errors.
NO_MESSAGE = 10037
OTHER_CONFIG = 10058
# How an answer of several messages ends.
NOT_FOUND = "404"
END_OF_BATCH = "204"
NANO = 10**9


class _Error(msgspec.Struct, frozen=True):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Error | None = None


class _Ack(_Answer, frozen=True):
    seq: int = 0
    duplicate: bool = False


class _State(msgspec.Struct, frozen=True):
    first_seq: int
    last_seq: int


class _Info(_Answer, frozen=True):
    created: str = ""
    config: dict[str, Any] = {}
    state: _State = _State(0, 0)


class _Stored(msgspec.Struct, frozen=True):
    seq: int = 0


class _Newest(_Answer, frozen=True):
    message: _Stored = _Stored()


A = TypeVar("A", bound=_Answer)
_decode_ack = msgspec.json.Decoder(_Ack).decode
_encode = msgspec.json.Encoder().encode


class Streams:
    """The streams, by one connection.

    Args:
        client: it is connected.
        subjects: the names.
        max_size: bytes that the server takes as one message.
    """

    def __init__(self, client: Client, subjects: Subjects, max_size: int) -> None:
        self._requests = Requests(client)
        self._subjects = subjects
        # Two messages at least, since the first is known already when there is more to read.
        self._chunk_size = CHUNK_SIZE + 2 * max_size + 1024
        # The epochs, by the names of streams.
        self._epochs: dict[str, str] = {}

    async def open(self, histories: list[History]) -> None:
        """Sees to it that there are streams for these.

        Raises:
            ConnectionError: the server refuses.
        """
        if not histories:
            return
        await self._requests.open()
        for history in histories:
            name = self._subjects.stream(history)
            self._epochs[name] = _epoch(name, await self._ensure(history))

    async def _ensure(self, history: History) -> _Info:
        name = self._subjects.stream(history)
        config = {
            "name": name,
            "subjects": [self._subjects.all_kept(history)],
            "republish": {
                "src": self._subjects.all_kept(history),
                "dest": self._subjects.passed_on(),
            },
            "retention": "limits",
            "discard": "old",
            "max_msgs_per_subject": history.count + 1,
            "max_age": int(max(REMEMBER, history.ttl) * NANO),
            "duplicate_window": ID_WINDOW * NANO,
            "allow_direct": True,
        }
        info = await self._call(f"STREAM.CREATE.{name}", _Info, **config)
        if info.error is not None and info.error.err_code == OTHER_CONFIG:
            info = await self._call(f"STREAM.INFO.{name}", _Info)
            # Replicas, a place, a size: that is the operator's.
            if any(info.config.get(key) != value for key, value in config.items()):
                config = {**info.config, **config}
                info = await self._call(f"STREAM.UPDATE.{name}", _Info, **config)
        if info.error is not None:
            raise ConnectionError(f"it refuses the stream {name}: {info.error.description}")
        return info

    async def verify(self) -> None:
        """Raises a ConnectionError if a stream is not the one that it was."""
        for name, epoch in self._epochs.items():
            await self._verified(name, epoch)

    async def _verified(self, name: str, epoch: str) -> _Info:
        info = await self._call(f"STREAM.INFO.{name}", _Info)
        if info.error is not None:
            raise ConnectionError(f"the stream {name}: {info.error.description}")
        if _epoch(name, info) != epoch:
            raise ConnectionError(f"the stream {name} is another one")
        return info

    # Both ways.

    async def publish(self, parcel: Parcel, history: History) -> asyncio.Future[list[Msg]]:
        """Publishes a message; gives what the answer comes to, for `receipt`."""
        headers = None if parcel.message_id is None else {"Nats-Msg-Id": parcel.message_id}
        subject = self._subjects.kept(history, parcel.channel)
        return await self._requests.ask(subject, parcel.payload, headers)

    def receipt(self, history: History, answer: list[Msg]) -> Receipt | str:
        """Reads what a stream has answered; a str is why it has not taken the message."""
        if status_of(answer[0]) is not None:
            return "there is no stream that takes it"
        ack = _decode_ack(answer[0].data)
        if ack.error is not None:
            return f"NATS refuses: {ack.error.description}"
        epoch = self._epochs[self._subjects.stream(history)]
        return Receipt(Position(epoch, ack.seq), ack.duplicate)

    def read(self, headers: dict[str, str], payload: bytes) -> Numbered | None:
        """Reads what a stream has passed on; gives None if it was none."""
        stream = headers.get("Nats-Stream", "")
        number, previous = headers.get("Nats-Sequence", ""), headers.get("Nats-Last-Sequence", "")
        if not (stream and _is_number(number) and _is_number(previous)):
            return None
        # One that is not ours is that of a worker which keeps more, or less.
        epoch = self._epochs.get(stream, stream).encode()
        return Numbered(epoch, int(number), payload, int(previous))

    # What is kept.

    async def recall(self, wanted: list[Wanted]) -> list[Log]:
        """See `fastws.rooms.brokers.engine.Engine`."""
        names = {self._subjects.stream(one.history) for one in wanted}
        before = {name: await self._verified(name, self._epochs[name]) for name in names}
        newest = [await self._ask_newest(one) for one in wanted]
        parts = [await self._ask_part(one) for one in wanted]
        answers = [
            (_decoded(_Newest, await last), [] if part is None else await part)
            for last, part in zip(newest, parts, strict=True)
        ]
        for i, (one, (last, part)) in enumerate(zip(wanted, answers, strict=True)):
            if _is_behind(one, last, part):
                # The two answers come in any order, and from different servers.
                again = await self._ask_part(one)
                assert again is not None
                answers[i] = (last, await again)
        after = {name: await self._verified(name, self._epochs[name]) for name in names}
        logs = []
        for one, (last, messages) in zip(wanted, answers, strict=True):
            name = self._subjects.stream(one.history)
            # Who has no message yet is where the stream was before.
            number = _sequence(last) or before[name].state.last_seq
            first = after[name].state.first_seq
            if _is_behind(one, last, messages):
                logs.append(Log(Position(self._epochs[name], number), number, []))
            else:
                logs.append(_log(one, self._epochs[name], number, first, messages))
        return logs

    async def _ask_newest(self, wanted: Wanted) -> asyncio.Future[list[Msg]]:
        subject = f"$JS.API.STREAM.MSG.GET.{self._subjects.stream(wanted.history)}"
        kept = self._subjects.kept(wanted.history, wanted.channel)
        return await self._requests.ask(subject, _encode({"last_by_subj": kept}))

    async def _ask_part(self, wanted: Wanted) -> asyncio.Future[list[Msg]] | None:
        if wanted.after is None:
            return None
        subject = f"$JS.API.DIRECT.GET.{self._subjects.stream(wanted.history)}"
        question = {
            "seq": max(wanted.after, 1),
            "next_by_subj": self._subjects.kept(wanted.history, wanted.channel),
            "batch": wanted.history.count + 1,
            "max_bytes": self._chunk_size,
        }
        return await self._requests.ask(subject, _encode(question), several=True)

    async def _call(self, what: str, kind: type[A], **question: Any) -> A:
        answer = await self._requests.ask(f"$JS.API.{what}", _encode(question))
        return _decoded(kind, await answer)


def _decoded(kind: type[A], answer: list[Msg]) -> A:
    if status_of(answer[0]) is not None:
        raise ConnectionError("JetStream is not enabled, which rooms with a history need")
    return msgspec.json.decode(answer[0].data, type=kind)


def _sequence(newest: _Newest) -> int:
    """Gives the number of the newest message; 0 if there is none."""
    if newest.error is None:
        return newest.message.seq
    if newest.error.err_code == NO_MESSAGE:
        return 0
    raise BrokerUnavailable(f"NATS refuses: {newest.error.description}")


def _is_behind(wanted: Wanted, newest: _Newest, answer: list[Msg]) -> bool:
    """Whether a stream has told nothing new of a channel in which there is something new."""
    if wanted.after is None or _sequence(newest) <= wanted.after:
        return False
    return not any(_number_of(message) > wanted.after for message in answer[:-1])


def _number_of(message: Msg) -> int:
    return int((message.headers or {})["Nats-Sequence"])


def _log(wanted: Wanted, epoch: str, newest: int, first: int, answer: list[Msg]) -> Log:
    """Gives what was read of a channel, and from where on it is complete.

    Args:
        wanted: what was asked.
        epoch: that of the stream.
        newest: the number of the newest message, or of none.
        first: that of the first message of all that the stream has.
        answer: the messages, and one with a `STATUS`; nothing if `wanted.after` is None.
    """
    if wanted.after is None:
        return Log(Position(epoch, newest), newest, [])
    end = answer[-1]
    if status_of(end) not in (END_OF_BATCH, NOT_FOUND):
        raise BrokerUnavailable(f"NATS refuses: {(end.headers or {}).get('Description')}")
    messages = [Kept(_number_of(message), message.data) for message in answer[:-1]]
    left = int((end.headers or {}).get("Nats-Num-Pending", 0))
    newest = max(newest, messages[-1].number if messages else 0)
    position = Position(epoch, newest)
    all_there = len(messages) + left <= wanted.history.count and first <= wanted.after + 1
    if all_there and not (messages and messages[0].number == wanted.after):
        return Log(position, wanted.after, messages)
    if not messages:
        return Log(position, newest, [])
    return Log(position, messages[0].number, messages[1:])


def _epoch(name: str, info: _Info) -> str:
    return hashlib.blake2b(f"{name} {info.created}".encode(), digest_size=8).hexdigest()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
