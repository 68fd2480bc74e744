"""`fastws check-deploy`, on made-up machines and on this one."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fastws import deployment
from fastws.deployment import Bound, bounds
from fastws.limits import Limits
from tests.processes import Process, Server

FASTWS = "/opt/bin/python\0/opt/bin/fastws\0run\0shop:app\0"
SPAWNED = "/opt/bin/python\0-c\0from multiprocessing.spawn import spawn_main; ...\0"
NGINX = "nginx: worker process"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /proc of a machine where nothing runs."""
    for path, text in {
        "sys/fs/file-nr": "1000\t0\t91000\n",
        "meminfo": "MemTotal: 2000000 kB\nMemAvailable:   1024000 kB\n",
        "1/cmdline": "/sbin/init\0",
        "1/limits": "Max open files            1024                 524288               files\n",
    }.items():
        write(tmp_path / path, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add(proc: Path, pid: int, command: str, files: int = 1064, children: str = "") -> None:
    """Has a process run."""
    write(proc / f"{pid}/cmdline", command)
    write(proc / f"{pid}/limits", f"Limit\nMax open files            {files}   {files}   files\n")
    write(proc / f"{pid}/task/{pid}/children", children)


def connections(found: list[Bound], limit: str) -> int:
    (bound,) = (bound for bound in found if bound.limit.startswith(limit))
    return bound.connections


def test_what_the_kernel_allows(machine: Path) -> None:
    found = list(bounds(Limits(), machine))
    assert connections(found, "fs.file-max") == 90_000
    assert connections(found, "memory 1,000 MiB") == 85_333
    assert not any("nginx" in bound.limit or "conntrack" in bound.limit for bound in found)


def test_connection_tracking_counts_where_it_is(machine: Path) -> None:
    write(machine / "sys/net/netfilter/nf_conntrack_max", "65536\n")
    assert connections(list(bounds(Limits(), machine)), "nf_conntrack_max") == 65_536


def test_open_files_of_all_workers_add_up(machine: Path) -> None:
    add(machine, 10, FASTWS)
    add(machine, 11, FASTWS, files=2064)
    assert connections(list(bounds(Limits(), machine)), "open files 1,064, 2 of fastws") == 3000


def test_a_parent_of_workers_has_no_connections(machine: Path) -> None:
    add(machine, 10, FASTWS, children="11 12 13 ")
    add(machine, 11, "/opt/bin/python\0-c\0from multiprocessing.resource_tracker import main\0")
    add(machine, 12, SPAWNED)
    add(machine, 13, SPAWNED)
    assert connections(list(bounds(Limits(), machine)), "open files 1,064, 2 of fastws") == 2000


def test_a_limit_of_connections_is_one_of_each_process(machine: Path) -> None:
    add(machine, 10, FASTWS)
    add(machine, 11, FASTWS)
    found = list(bounds(Limits(max_connections=300), machine))
    assert connections(found, "max_connections 300, 2 of fastws") == 600


def test_behind_nginx_each_takes_more(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "worker_connections", lambda: 700)
    add(machine, 10, FASTWS)
    add(machine, 20, NGINX)
    add(machine, 21, NGINX)
    add(machine, 22, "nginx: master process /usr/sbin/nginx")
    found = list(bounds(Limits(), machine))
    assert connections(found, "open files 1,064, 2 of nginx") == 1000
    assert connections(found, "worker_connections 700, 2 of nginx") == 700
    assert connections(found, "fs.file-max") == 30_000
    assert connections(found, "memory") == 1024_000 // 38


def test_fewer_files_than_the_process_needs_itself(machine: Path) -> None:
    add(machine, 10, FASTWS, files=32)
    assert connections(list(bounds(Limits(), machine)), "open files 32") == 0


@pytest.mark.parametrize(
    ("configuration", "connections"),
    [
        ("events {\n    worker_connections 768;\n}", 768),
        ("events { worker_connections 4096; }", 4096),
        ("events {\n    # worker_connections 1;\n}", deployment.NGINX_DEFAULT),
    ],
)
def test_what_nginx_says_of_itself(
    configuration: str, connections: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nginx"
    program.write_text(f"#!/bin/sh\ncat <<'END'\nuser x;\n{configuration}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert deployment.worker_connections() == connections


def test_this_machine(serve: Callable[..., Server], spawn: Callable[..., Process]) -> None:
    serve("fastws.examples.echo:app")
    command = (sys.executable, "-m", "fastws", "check-deploy")
    process = spawn(*command, "--connections", "1")
    assert process.wait() == 0
    assert re.search(r"open files [\d,]+, \d+ of fastws", process.output)
    lines = process.output.splitlines()
    allowed = [int(line[:11].replace(",", "")) for line in lines[1:-2]]
    assert allowed == sorted(allowed)
    assert lines[-1].startswith(f"{allowed[0]:,} connections: the first to stop them is ")
    assert spawn(*command, "--connections", str(allowed[0] * 1000)).wait() == 1


def test_a_limit_that_is_none(spawn: Callable[..., Process]) -> None:
    process = spawn(
        sys.executable, "-m", "fastws", "check-deploy", env={"FASTWS_MAX_CONNECTIONS": "x"}
    )
    assert process.wait() == 1
    assert "FASTWS_MAX_CONNECTIONS" in process.output
