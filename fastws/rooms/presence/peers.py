"""The other workers, as far as one has heard of them."""


class Peer:
    """Another worker.

    Attributes:
        silent: beats since it was heard of.
        met: whether it has said that it is alive.
        gone: whether it has said that it stops.
    """

    __slots__ = ("gone", "met", "silent")

    def __init__(self) -> None:
        self.silent = 0
        self.met = False
        self.gone = False


class Peers:
    """The other workers, by name.

    Args:
        lease: beats for which a worker may be silent.
    """

    def __init__(self, lease: int) -> None:
        self._lease = lease
        self._peers: dict[str, Peer] = {}

    def present(self) -> set[str]:
        """Gives those who are there."""
        return {worker for worker, peer in self._peers.items() if not peer.gone}

    def hear(self, worker: str) -> Peer | None:
        """Notes that a worker has said something; gives None if it had said that it is gone."""
        peer = self._peers.setdefault(worker, Peer())
        if peer.gone:
            return None
        peer.silent = 0
        return peer

    def beat(self) -> list[str]:
        """Counts on; gives those whose lease has run out."""
        expired = []
        for worker, peer in tuple(self._peers.items()):
            peer.silent += 1
            if peer.silent > self._lease:
                del self._peers[worker]
                if not peer.gone:
                    expired.append(worker)
        return expired

    def clear(self) -> set[str]:
        """Forgets all; gives those who were there."""
        present = self.present()
        self._peers.clear()
        return present
