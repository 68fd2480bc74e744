"""The chat, mounted below a path by a framework."""

from starlette.applications import Starlette
from starlette.routing import Mount

from fastws.examples.chat import app as chat

app = Starlette(routes=[Mount("/below", chat)])
