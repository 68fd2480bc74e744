"""Check deploy/Dockerfile: its text, and its build and container in clean root directories."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastws
from tests.deploy.dockerfile import Instruction, context, parse
from tests.deploy.image import Container, Image, build, missing
from tests.processes import Process

TREE = Path(__file__).resolve().parents[2]
ARGUMENTS = {"VERSION": "1.2.3", "REVISION": "0f0f0f", "SOURCE": "urn:example:fastws"}
TALK = """
import asyncio, fastws

async def main():
    async with fastws.connect("ws://127.0.0.1:8000/chat") as ws:
        await ws.ping()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    return parse((TREE / "deploy" / "Dockerfile").read_text())


def last(instructions: list[Instruction], name: str) -> Instruction:
    return [each for each in instructions if each.name == name][-1]


def test_processes_get_signals_themselves(instructions: list[Instruction]) -> None:
    # The shell form would make a shell process 1, which passes no signal on.
    assert last(instructions, "ENTRYPOINT").argv[:2] == ["fastws", "run"]
    assert len(last(instructions, "CMD").argv) == 1
    assert last(instructions, "STOPSIGNAL").text == "SIGTERM"


def test_the_user_is_a_number(instructions: list[Instruction]) -> None:
    user, group = map(int, last(instructions, "USER").text.split(":"))
    assert user > 0
    assert group > 0


def test_the_base_images_are_one(instructions: list[Instruction]) -> None:
    tags = {each.text.split()[0] for each in instructions if each.name == "FROM"}
    assert len(tags) == 1


def test_secrets_and_builds_stay_outside(tmp_path: Path) -> None:
    wanted = ["fastws/app/app.py", "fastws/wire/frames.pyx", "pyproject.toml", "setup.py"]
    unwanted = [".env", ".git/config", ".venv/bin/python", "build/x.py", "tests/test_x.py"]
    built = ["fastws/wire/frames.c", "fastws/wire/frames.so", "fastws/app/__pycache__/app.pyc"]
    for name in wanted + unwanted + built:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = context(tmp_path, (TREE / ".dockerignore").read_text())
    assert sorted(str(path.relative_to(tmp_path)) for path in found) == wanted


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The image, built from the tree with the sources that the installed fastws has."""
    if missing():
        pytest.skip(f"missing: {', '.join(missing())}")
    with tempfile.TemporaryDirectory(prefix="fastws-image") as directory:
        source = Path(directory, "context")
        shutil.copytree(Path(fastws.__file__).parent, source / "fastws")
        for path in context(
            TREE, (TREE / ".dockerignore").read_text() + "\nfastws\n!deploy\n!.dockerignore"
        ):
            (source / path.relative_to(TREE)).parent.mkdir(exist_ok=True)
            shutil.copy(path, source / path.relative_to(TREE))
        yield build(source, "deploy/Dockerfile", ARGUMENTS, Path(directory))


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_the_image(image: Image, spawn: Callable[..., Process]) -> None:
    labels = {
        name.removeprefix("org.opencontainers.image."): text for name, text in image.labels.items()
    }
    for name, text in ARGUMENTS.items():
        assert labels[name.lower()] == text
    for compiler in ("cc", "gcc", "make"):
        assert not (image.root / "usr/bin" / compiler).exists()

    container = Container(image, spawn)
    assert container.execute("python", "-c", "import jwt, prometheus_client, redis, nats") == 0
    assert container.healthy()
    assert container.execute("python", "-c", TALK) == 0
    assert Path(f"/proc/{container.pid}").stat().st_uid > 0

    os.kill(container.pid, signal.SIGSTOP)
    assert not container.healthy()
    os.kill(container.pid, signal.SIGCONT)
    assert container.healthy()

    assert container.stop() == 0
