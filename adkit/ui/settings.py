"""What a server may read, write and be asked, fixed when it starts."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from adkit.errors import OptionError

LEAST_TOKEN = 8
TOKEN_VARIABLE = "ADKIT_TOKEN"
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is taken from a browser or a program."""

    request_bytes: int = 500 * _MEGABYTE  # of one request; a folder of images is uploaded file by file
    pixels: int = 100 * _MEGABYTE  # of one image
    files: int = 1000  # of one batch
    video_s: float = 600.0  # seconds of one video
    video_pixels: int = 9 * _MEGABYTE  # of one of its frames; 4K has 8.3 million
    waiting: int = 200  # requests to the REST interface that wait for their turn


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server was started. Nothing outside `runs_root` and `data_root` is read or written."""

    runs_root: Path
    data_root: Path
    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None  # None: whoever reaches the address may use it
    device: str = "auto"
    api_only: bool = False
    root_path: str = ""  # the path below which a proxy shows it: /adkit
    limits: Limits = field(default_factory=Limits)

    @property
    def uploads(self) -> Path:
        """Return the folder of the data that came by browser to learn from."""
        return self.data_root / "uploads"


def require_token(host: str, token: str | None) -> None:
    """Raise OptionError where others could reach the server without a token, and for one that is soon guessed."""
    if token is not None and len(token) < LEAST_TOKEN:
        hint = "for example the output of: python -c 'import secrets; print(secrets.token_urlsafe())'"
        raise OptionError(f"the token has {len(token)} characters; {LEAST_TOKEN} or more were expected", hint=hint)
    if token is None and not is_loopback(host):
        hint = f"set one: {TOKEN_VARIABLE}=… adkit ui --host {host}"
        raise OptionError(f"--host {host} can be reached from other machines, and no token is set", hint=hint)


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
