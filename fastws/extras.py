"""Extras: packages that some features need, and what to install where one is missing."""

import re
from importlib import import_module

# The modules that a feature imports, by the extra that installs them.
_MODULES = {
    "env-file": ("dotenv",),
    "jwt": ("jwt", "cryptography"),
    "metrics": ("prometheus_client",),
    "nats": ("nats",),
    "redis": ("redis",),
}


class MissingPackage(ModuleNotFoundError):
    """A package of an extra is not installed; the text says what to install."""


def need(extra: str, feature: str) -> None:
    """Import the packages of an extra, or say in one line what to install.

        need("redis", "redis://")
        import redis

    A package that is installed and broken is not missing: its own error passes.

    Args:
        extra: the name of the extra.
        feature: what needs it, in the user's words.

    Raises:
        MissingPackage: a package is not installed.
    """
    for module in _MODULES[extra]:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            line = f"{feature} needs the module {module}: {_installation(extra)}"
            raise MissingPackage(line, name=module) from None


def _installation(extra: str) -> str:
    """Return the command that installs an extra, by the metadata of the installed fastws."""
    # Here, since it takes 20 ms to load.
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("fastws-asgi") or []
    except PackageNotFoundError:
        requirements = []
    marker = re.compile(rf"\bextra == ['\"]{extra}['\"]")
    wanted = [text.partition(";")[0].strip() for text in requirements if marker.search(text)]
    if not wanted:
        return f'pip install ".[{extra}]" in the sources of fastws'
    return " ".join(["pip install", *(f'"{requirement}"' for requirement in wanted)])
