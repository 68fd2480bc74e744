from fastws.limits import Limits

class Bounds:
    """Limits as C numbers; one for all connections with the same `Limits`."""

    limits: Limits
    def __init__(self, limits: Limits) -> None: ...
