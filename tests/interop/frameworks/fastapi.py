"""FastAPI: the programs behind its dependency injection."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, Path, Query, WebSocket

from tests.interop.frameworks.starlette import Seen, StarletteSocket, lifespan
from tests.interop.programs import PROGRAMS
from tests.interop.serving import App


async def seen(
    websocket: WebSocket,
    q: Annotated[str | None, Query()] = None,
    x_test: Annotated[str | None, Header()] = None,
) -> Seen:
    """Depends on parameters of several kinds."""
    return websocket.path_params.get("rest"), q, x_test


async def endpoint(
    websocket: WebSocket,
    program: Annotated[str, Path()],
    parameters: Annotated[Seen, Depends(seen)],
) -> None:
    """Runs the program that the path names."""
    await PROGRAMS[program](StarletteSocket(websocket, parameters))


def make() -> App:
    """Makes the app."""
    app = FastAPI(lifespan=lifespan)
    for path in "/{program}", "/{program}/{rest}":
        app.add_api_websocket_route(path, endpoint)
    return app
