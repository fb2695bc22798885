"""`headstart serve`."""

import logging
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.apps.console import command, say
from headstart.apps.doors import Host, TokenFile, address_of, note_if_open, token_in
from headstart.errors import explains_missing_packages

if TYPE_CHECKING:
    from headstart.apps.http.limits import Limits


@dataclass(frozen=True, slots=True)
class _Doors:
    """Where a server listens, and which requests it accepts."""

    host: str
    port: int
    token: str
    origins: tuple[str, ...]  # of web pages
    names: tuple[str, ...]  # from --allow-host


@command
def serve(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="A run, model or export folder, or NAME=FOLDER.")],
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
    token_file: TokenFile = None,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="Origin of web pages that may use this server; can be repeated.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host name of this server, such as that of a proxy; can be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda ...")] = "cpu",
    max_batch: Annotated[int, typer.Option(min=1, max=1024, help="Most images in one batch.")] = 8,
    max_wait_ms: Annotated[
        float | None, typer.Option(min=0, max=1000, help="How long a batch waits for more images. [default: 0; 5 on a GPU]")
    ] = None,
    max_queue: Annotated[int, typer.Option(min=1, help="Most images that may wait; requests beyond that get 429.")] = 128,
    max_image_mb: Annotated[float, typer.Option(min=0.001, help="Largest size of a file; larger ones get 413.")] = 32,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Largest size of an image in megapixels; larger ones get 413.")
    ] = 64,
    max_request_mb: Annotated[float, typer.Option(min=0.001, help="Largest size of a request; larger ones get 413.")] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to answer; a request that takes longer gets 504.")] = 30,
) -> None:
    """Classify images over HTTP: POST them to /predict, or drop them on the page at /.

    Several models are served by name, at /models/NAME/predict. SIGHUP, or POST /reload with the token, reloads the models
    without dropping a request. GET /docs describes all endpoints.

    Examples:

      headstart serve runs/photos-probe-1

      curl --data-binary @photo.jpg http://127.0.0.1:8000/predict

      headstart serve ants=runs/ants-probe-1 cells=cells-onnx --host 0.0.0.0 --token-file token.txt
    """
    from headstart.apps.http.limits import MEGABYTE, Limits

    doors = _Doors(host, port, token_in(token_file), tuple(cors or ()), tuple(allow_host or ()))
    limits = Limits(
        image_bytes=round(max_image_mb * MEGABYTE),
        image_pixels=round(max_megapixels * 1_000_000),
        request_bytes=round(max_request_mb * MEGABYTE),
        waiting_images=max_queue,
        waiting_bytes=max(Limits().waiting_bytes, 2 * round(max_request_mb * MEGABYTE)),
        request_images=min(Limits().request_images, max_queue),
        upload_seconds=timeout,
        answer_seconds=timeout,
        batch_images=max_batch,
        batch_wait_seconds=None if max_wait_ms is None else max_wait_ms / 1000,
    )
    _serve(models, limits, doors, device)


@explains_missing_packages("serving")
def _serve(models: list[str], limits: "Limits", doors: _Doors, device: str) -> None:
    from headstart.apps.http.access import Access
    from headstart.apps.http.server import grace_seconds, is_public, listen, serve_forever
    from headstart.apps.serving.application import build_application
    from headstart.apps.serving.models import Served, load, named_models
    from headstart.apps.serving.service import Service

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the models are loaded: there is nothing to reload yet
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("headstart").setLevel(logging.INFO)
    places = named_models(models)
    host = doors.host
    with listen(host, doors.port) as listener:
        public = is_public(listener.getsockname()[0])  # the address, because a name does not show where it leads
        access = Access.of(host, is_public=public, token=doors.token, origins=doors.origins, names=doors.names)
        served = {name: Served(name, place, device, load(place, device)) for name, place in places.items()}
        service = Service(served, limits)
        note_if_open(host, public=public, token=doors.token)
        address = address_of(listener, host)

        def ready() -> None:
            say(f"serving {', '.join(served)} at {address}  (Ctrl-C to stop)")
            sys.stdout.flush()

        app, grace = build_application(service, access), grace_seconds(limits)
        serve_forever(app, listener, ready, grace=grace, on_hangup=service.reload_and_log)
