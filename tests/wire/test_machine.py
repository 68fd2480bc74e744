"""Two connections, and everything that may happen between them, in any order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastws.errors import Disconnected
from fastws.wire import Opcode, Params, Role, State
from tests.wire.drive import SHARED, TAKEOVER, Event, connect, events
from tests.wire.reference import BINARY, CLOSE, CONTINUATION, KEY, PING, Frame, frame, frames
from tests.wire.streams import EXAMPLES, PROFILE, TEXTS

SIDES = st.sampled_from(Role)
PAYLOADS = st.binary(max_size=30) | st.just(b"x" * 1000) | st.just(b"")
CODES = st.sampled_from([1000, 1001, 1005, 1011, 3000, 4999])


class Pair(RuleBasedStateMachine):
    """A server and a client; `wire` is what one has sent and the other has not received."""

    @initialize(params=st.sampled_from([None, SHARED, TAKEOVER]))
    def open(self, params: Params | None) -> None:
        self.connections = {role: connect(role, params) for role in Role}
        self.wire = dict.fromkeys(Role, b"")
        self.output = dict.fromkeys(Role, b"")  # all that a connection itself has written
        self.sent: dict[Role, list[Event]] = {role: [] for role in Role}
        self.found: dict[Role, list[Event]] = {role: [] for role in Role}
        self.corrupted: set[Role] = set()  # whose output was

    def flush(self, role: Role) -> None:
        data = self.connections[role].data_to_send()
        self.output[role] += data
        self.wire[role] += data

    @rule(role=SIDES, text=TEXTS.map(bytes.decode))
    def send_text(self, role: Role, text: str) -> None:
        try:
            self.connections[role].send_text(text)
            self.sent[role].append((Opcode.TEXT, text))
        except Disconnected:
            self.check_over(role)
        self.flush(role)

    @rule(role=SIDES, data=PAYLOADS, compress=st.booleans())
    def send_binary(self, role: Role, data: bytes, compress: bool) -> None:
        try:
            self.connections[role].send_binary(data, compress=compress)
            self.sent[role].append((Opcode.BINARY, data))
        except Disconnected:
            self.check_over(role)
        self.flush(role)

    @rule(role=SIDES, parts=st.lists(PAYLOADS, min_size=1, max_size=4), ping=st.booleans())
    def send_fragments(self, role: Role, parts: list[bytes], ping: bool) -> None:
        """By hand, since a connection of ours never sends any."""
        if self.connections[role].state is not State.OPEN:
            return
        key = KEY if role is Role.CLIENT else None
        data = frame(BINARY, fin=False, key=key)
        for part in parts:
            data += frame(CONTINUATION, part, fin=False, key=key)
            data += frame(PING, b"inside", key=key) if ping else b""
        self.wire[role] += data + frame(CONTINUATION, key=key)
        self.sent[role].append((Opcode.BINARY, b"".join(parts)))

    @rule(role=SIDES, data=st.binary(max_size=10))
    def ping(self, role: Role, data: bytes) -> None:
        try:
            self.connections[role].send_ping(data)
        except Disconnected:
            self.check_over(role)
        self.flush(role)

    @rule(role=SIDES, code=CODES, reason=st.text(max_size=50))
    def close(self, role: Role, code: int, reason: str) -> None:
        try:
            self.connections[role].send_close(code, reason)
        except UnicodeEncodeError:
            assert self.connections[role].state is State.OPEN
        self.flush(role)

    @rule(role=SIDES, data=st.binary(min_size=1, max_size=20))
    def corrupt(self, role: Role, data: bytes) -> None:
        self.wire[role] += data
        self.corrupted.add(role)

    @precondition(lambda self: any(self.wire.values()))
    @rule(role=SIDES, size=st.integers(1, 40) | st.just(100_000), whole=st.booleans())
    def deliver(self, role: Role, size: int, whole: bool) -> None:
        """Some of what one side sent reaches the other; which looks at all events, or at one."""
        other = Role(1 - role)
        data, self.wire[role] = self.wire[role][:size], self.wire[role][size:]
        self.connections[other].receive_data(data)
        self.take(other, whole=whole)
        self.flush(other)

    def take(self, role: Role, *, whole: bool) -> None:
        if whole:
            self.found[role] += events(self.connections[role])
        elif (event := self.connections[role].next_event()) is not None:
            self.found[role].append(event)

    def check_over(self, role: Role) -> None:
        assert self.connections[role].state in {State.CLOSE_SENT, State.CLOSED}
        assert self.written(role)[-1].opcode == CLOSE

    def written(self, role: Role) -> list[Frame]:
        return list(frames(self.output[role]))

    @invariant()
    def nothing_follows_a_close(self) -> None:
        for role in Role if hasattr(self, "found") else ():
            opcodes = [written.opcode for written in self.written(role)]
            assert CLOSE not in opcodes[:-1]
            kinds = [event[0] for event in self.found[role]]
            assert Opcode.CLOSE not in kinds[:-1]

    @invariant()
    def messages_are_those_that_were_sent(self) -> None:
        for role in Role if hasattr(self, "found") else ():
            if Role(1 - role) not in self.corrupted:
                found = [event for event in self.found[role] if event[0] is not Opcode.CLOSE]
                assert found == self.sent[Role(1 - role)][: len(found)]

    def teardown(self) -> None:
        if not hasattr(self, "found"):
            return
        for role in Role:
            self.connections[role].send_close(1000)
            self.flush(role)
        for role in (*Role, *Role):
            self.deliver(role, 1 << 30, True)
        self.nothing_follows_a_close()
        self.messages_are_those_that_were_sent()
        for role, connection in self.connections.items():
            if not self.corrupted:
                assert connection.state is State.CLOSED
                assert self.found[role][-1][0] is Opcode.CLOSE
            assert (connection.inbox.count, connection.inbox.size) == (0, 0)
            assert connection.data_to_send() == b""


TestPair = Pair.TestCase
TestPair.settings = settings(PROFILE, max_examples=EXAMPLES, stateful_step_count=30)
