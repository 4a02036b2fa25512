"""`adkit ui`."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from typer import Option

from adkit.cli import options as o
from adkit.cli.output import tell
from adkit.errors import OptionError

_NEEDED = ("fastapi", "uvicorn", "multipart", "gradio")


def ui(
    port: Annotated[int, Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
    host: Annotated[str, Option(help="Other than this machine's own address needs a token.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        Option(
            envvar="ADKIT_TOKEN",
            show_envvar=False,
            help="A token or password that browsers and programs must give.",
            show_default="$ADKIT_TOKEN",
        ),
    ] = None,
    browser: Annotated[bool, Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    api_only: Annotated[bool, Option("--api-only", help="Serve /api to programs, without the page.")] = False,
    root: Annotated[
        Path | None,
        Option(
            help="Folder of the data to learn from; nothing outside it is read. Uploads are kept in it.",
            show_default="$ADKIT_DATA or ./data",
        ),
    ] = None,
    runs: o.RunsOption = None,
    device: o.DeviceOption = "auto",
    root_path: Annotated[
        str, Option(metavar="PATH", help="The path below which a proxy shows the page: /adkit.", show_default="none")
    ] = "",
    max_upload: Annotated[int, Option(metavar="MB", min=1, max=100_000, help="Of one request.")] = 500,
) -> None:
    """Serve a page to train, inspect and look at results, and a REST interface beside it.

    Trainings that were started from the page continue when it is closed, and when the server is stopped.

    Example: [bold]adkit ui[/bold]

    For others: [bold]ADKIT_TOKEN=… adkit ui --host 0.0.0.0 --no-browser[/bold]
    """
    missing = [name for name in (_NEEDED[:3] if api_only else _NEEDED) if find_spec(name) is None]
    if missing:
        hint = "pip install 'adkit-vision[ui]', or '.[ui]' in the folder of its source"
        raise OptionError(f"the page needs {', '.join(missing)}, not installed here", hint=hint)
    from adkit.ui.server import run_server
    from adkit.ui.settings import Limits, ServerSettings

    data = root or Path(os.environ.get("ADKIT_DATA") or "data")
    below, limits = root_path.strip("/"), Limits(request_bytes=max_upload * 1_000_000)
    settings = ServerSettings(
        o.runs_folder(runs), data, host, port, token, device, api_only, below and f"/{below}", limits
    )

    def started(address: str) -> None:
        what = f"{address}/api/openapi.json" if api_only else address
        tell(f"adkit ui: {what}   (runs: {settings.runs_root}, data: {settings.data_root}; Ctrl-C ends it)")

    try:
        run_server(settings, browser=browser, told=started)
    except KeyboardInterrupt:
        tell("stopped; trainings that were started continue")
