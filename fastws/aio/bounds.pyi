from fastws.limits import Limits

class Bounds:
    """The limits that an endpoint looks at, as C numbers; one for all with the same Limits."""

    limits: Limits
    def __init__(self, limits: Limits) -> None: ...
