"""Typed messages with FastAPI: pydantic's discriminated union, JSON read and written in Rust."""

from typing import Annotated, Literal

from fastapi import FastAPI, WebSocket
from pydantic import BaseModel, Field, TypeAdapter


class Chat(BaseModel):
    type: Literal["Chat"] = "Chat"
    content: str


class Join(BaseModel):
    type: Literal["Join"] = "Join"
    room: str


class Leave(BaseModel):
    type: Literal["Leave"] = "Leave"
    room: str


class Said(BaseModel):
    type: Literal["Said"] = "Said"
    user: str
    content: str


class Joined(BaseModel):
    type: Literal["Joined"] = "Joined"
    room: str


class Left(BaseModel):
    type: Literal["Left"] = "Left"
    room: str


ClientMessage = TypeAdapter[Chat | Join | Leave](
    Annotated[Chat | Join | Leave, Field(discriminator="type")]
)
app = FastAPI()


@app.websocket("/ws")
async def talk(ws: WebSocket) -> None:
    """Answer each message with what it came to."""
    await ws.accept()
    async for text in ws.iter_text():
        match ClientMessage.validate_json(text):
            case Chat(content=content):
                await ws.send_text(Said(user="ada", content=content).model_dump_json())
            case Join(room=room):
                await ws.send_text(Joined(room=room).model_dump_json())
            case Leave(room=room):
                await ws.send_text(Left(room=room).model_dump_json())
