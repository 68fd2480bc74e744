"""Build the image of a Dockerfile and run its container by Linux namespaces, without an engine.

The base image is substituted: Debian's packages make a root directory with the Debian release and
the Python version that the tag of ``python:3.13-slim-trixie`` names. Each instruction after FROM
runs as written, and an instruction that is unknown here fails.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.deploy.dockerfile import Instruction, context, parse
from tests.processes import PATIENCE, Process

CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
PACKAGES = "python3,python3-pip,python3-dev,python-is-python3"
# The tools, and the Debian packages that have them.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
}
# What an engine passes on to a build: the way to package registries.
PASSED = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """Return the Debian packages that this machine lacks, and ``root`` without its rights."""
    packages = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    return sorted(packages) + ([] if os.geteuid() == 0 else ["root"])


def make_base(tag: str, root: Path) -> None:
    """Make a root directory in place of the base image ``python:X.Y-slim-RELEASE``.

    Raises:
        ValueError: the tag has another form, or Debian's Python is not X.Y.
    """
    found = re.fullmatch(r"python:(3\.\d+)-slim-(\w+)", tag)
    if found is None:
        raise ValueError(f"base image {tag!r} is not python:X.Y-slim-RELEASE")
    version, release = found.groups()
    options = ("--quiet", "--mode=root", "--variant=minbase", f"--include={PACKAGES}")
    _check("mmdebstrap", *options, release, str(root))
    if not (root / f"usr/bin/python{version}").exists():
        raise ValueError(f"base image {tag!r}: Python of Debian {release} is not {version}")
    # Python's own image lets pip install into its prefix.
    (root / f"usr/lib/python{version}/EXTERNALLY-MANAGED").unlink()
    for path in (CERTIFICATES, Path("etc/resolv.conf")):
        if Path("/", path).exists():
            shutil.copyfile(Path("/", path), root / path)


class Image:
    """One stage of a Dockerfile.

    Attributes:
        root: its root directory.
        labels: what LABEL has set.
        settings: the last instruction of each other name.
    """

    def __init__(self, root: Path, stages: dict[str, "Image"], arguments: dict[str, str]) -> None:
        self.root = root
        self.labels: dict[str, str] = {}
        self.settings: dict[str, Instruction] = {}
        self._stages = stages
        self._given = arguments
        self._environment = {"PATH": PATH}
        self._arguments = {name: os.environ[name] for name in PASSED if name in os.environ}
        # Optimized code would take three times as long to compile, and changes no step.
        self._arguments["CFLAGS"] = "-O0 -g0"

    def setting(self, name: str, default: str = "") -> str:
        """Return the arguments of the last instruction of this name."""
        return self.settings[name].text if name in self.settings else default

    def apply(self, instruction: Instruction, source: Path) -> None:
        """Carry out one instruction.

        Args:
            instruction: any but FROM.
            source: the build context.

        Raises:
            ValueError: this instruction is not known here.
        """
        match instruction.name:
            case "RUN":
                self._run(instruction)
            case "COPY":
                self._copy(instruction, source)
            case "ARG":
                declared = instruction.pairs(self._arguments)
                self._arguments |= {key: self._given.get(key, declared[key]) for key in declared}
            case "ENV":
                self._environment |= instruction.pairs(self._environment | self._arguments)
            case "LABEL":
                self.labels |= instruction.pairs(self._environment | self._arguments)
            case "WORKDIR":
                (self.root / instruction.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "CMD" | "ENTRYPOINT" | "EXPOSE" | "HEALTHCHECK" | "STOPSIGNAL" | "USER":
                pass
            case name:
                raise ValueError(f"instruction {name} is not known to {__name__}")
        self.settings[instruction.name] = instruction

    def command(self, argv: Sequence[str], before: str = "", **variables: str) -> list[str]:
        """Return the command that runs `argv` as process 1 in this root, as USER in WORKDIR.

        Args:
            argv: a command of the image.
            before: shell commands of this machine that prepare the new namespaces.
            variables: environment beside that of ENV.
        """
        environment = {**self._environment, **variables}
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *(f"--mount-proc={self.root}/proc", "sh", "-ec", f'{before}exec "$@"', "sh"),
            *("chroot", f"--userspec={self.setting('USER', '0:0')}", str(self.root)),
            *("env", "--ignore-environment", f"--chdir={self.setting('WORKDIR', '/')}"),
            *(f"{name}={value}" for name, value in environment.items()),
            *argv,
        ]

    def _run(self, instruction: Instruction) -> None:
        before = ""
        if mount := instruction.flags.get("mount"):
            options = dict(part.split("=") for part in mount.split(","))
            source = self._stages[options["from"]].root / options["source"].lstrip("/")
            target = self.root / options["target"].lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            before = f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}; "
        shell = ["/bin/sh", "-c", instruction.text]
        _check(*self.command(shell, before, **self._arguments))

    def _copy(self, instruction: Instruction, source: Path) -> None:
        what, where = instruction.text.split()
        ignore = (source / ".dockerignore").read_text()
        for path in context(source / what, ignore):
            target = self.root / where.lstrip("/") / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def build(source: Path, file: str, arguments: dict[str, str], directory: Path) -> Image:
    """Build an image as ``docker build --file FILE --build-arg ... SOURCE`` does.

    Args:
        source: the build context.
        file: the Dockerfile, relative to it.
        arguments: values for ARG.
        directory: an existing directory for the roots of base image and stages.
    """
    stages: dict[str, Image] = {}
    for instruction in parse((source / file).read_text()):
        if instruction.name == "FROM":
            tag, *name = re.split(r"\s+AS\s+", instruction.text, flags=re.IGNORECASE)
            base, root = directory / re.sub(r"\W", "-", tag), directory / f"stage-{len(stages)}"
            if not base.exists():
                make_base(tag, base)
            _check("cp", "--archive", str(base), str(root))
            image = stages[name[0] if name else ""] = Image(root, stages, arguments)
        else:
            image.apply(instruction, source)
    return image


class Container:
    """A running container of an image, in a network of its own.

    Attributes:
        process: what started it; its output is that of the container.
        pid: process 1 of the container, as this machine numbers it.
    """

    def __init__(self, image: Image, spawn: Callable[..., Process]) -> None:
        self._image = image
        command = image.settings["ENTRYPOINT"].argv + image.settings["CMD"].argv
        self.process = spawn("unshare", "--net", *image.command(command, "ip link set lo up; "))
        self.process.wait_for("running on")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = int(children.read_text().split()[0])

    def execute(self, *argv: str) -> int:
        """Run a command in the container as ``docker exec`` does, and return its exit code."""
        user, group = self._image.setting("USER", "0:0").split(":")
        spaces = ("--net", "--pid", "--mount", "--root", "--wd")
        whose = (f"--target={self.pid}", f"--setuid={user}", f"--setgid={group}")
        command = ["nsenter", *spaces, *whose, "--", *argv]
        return subprocess.run(command, env={"PATH": PATH}, timeout=PATIENCE, check=False).returncode

    def healthy(self) -> bool:
        """Run HEALTHCHECK once, in its own time limit."""
        check = self._image.settings["HEALTHCHECK"]
        limit = check.flags["timeout"].removesuffix("s")
        argv: list[str] = json.loads(check.text.removeprefix("CMD"))
        return self.execute("timeout", limit, *argv) == 0

    def stop(self) -> int:
        """Send STOPSIGNAL to process 1 and return its exit code."""
        os.kill(self.pid, signal.Signals[self._image.setting("STOPSIGNAL", "SIGTERM")])
        return self.process.wait()


def _check(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, (
        f"{shlex.join(argv)}: exit code {done.returncode}\n{output[-4000:]}"
    )
