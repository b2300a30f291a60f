"""The command `salign serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from salign.cli.arguments import ModelArgument, ThresholdOption


def serve(
    run: ModelArgument,
    host: Annotated[
        str, typer.Option(help="The server listens at this address; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The server listens at this port; 0 takes a free one.")] = 8766,
    public: Annotated[
        str | None, typer.Option(help="Behind a proxy: people open this address, e.g. https://NAME.")
    ] = None,
    threshold: ThresholdOption = None,
    megabytes: Annotated[float, typer.Option(min=0.001, help="A request has at most so many million bytes.")] = 20,
    megapixels: Annotated[
        float, typer.Option(min=0.001, max=89, help="An image has at most so many million pixels.")
    ] = 40,
    images: Annotated[int, typer.Option(min=1, help="A request has at most so many images.")] = 16,
    rate: Annotated[
        float,
        typer.Option(
            min=0.001, help="Each address may send so many requests a second, and four times as many at once."
        ),
    ] = 5,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser, or do not.")] = True,
) -> None:
    """Let a model answer images in a browser and over HTTP, with all probabilities and the map of the evidence.

    Opens a page on which to drop an image, and an API: POST an image or a form with several to /api/predict;
    /openapi.json describes it. Writes nothing: what is sent is answered and forgotten. There is no password. A file of
    `salign export` is served without torch. Ctrl-C stops.
    """
    from salign.class_names import no_threshold
    from salign.errors import SalignError, check_installed
    from salign.models.config import describe_model
    from salign.web.listen import Address, listen, run_app

    check_installed("salign serve", "annotate", "fastapi", "uvicorn", "python_multipart")
    exported = run.suffix == ".onnx"
    if not exported:
        described = describe_model(run)
        if threshold is not None and "threshold" not in described:
            raise SalignError(no_threshold(described["classes"]))
    address = Address(host, public)
    with listen(host, port) as listening:
        if exported:
            from salign.runtime import load

            served = load(run)
        else:
            from salign.serve.by_torch import load_run

            served = load_run(run)
        if threshold is not None:
            served = served.with_threshold(threshold)
        from salign.serve.app import Limits, create_app

        limits = Limits(
            body=int(megabytes * 1e6),
            pixels=int(megapixels * 1e6),
            images=images,
            rate=rate,
            burst=max(1, int(4 * rate)),
        )
        app = create_app(served, limits, local_only=address.is_local, names=address.names)
        url = address.base(listening.getsockname()[1])
        typer.echo(f"{run}: {', '.join(served.classes)}{f'; {served.threshold}' if served.threshold else ''}")
        typer.echo(f"page: {url}/")
        typer.echo(f"API: curl --data-binary @photo.jpg {url}/api/predict; {url}/openapi.json describes it")
        if address.is_local:
            typer.echo("There is no password; only this machine reaches the server (--host 0.0.0.0 lets others in).")
        else:
            typer.secho("There is no password: whoever reaches this address may ask.", fg="yellow")
        typer.echo("Ctrl-C stops")
        if browser and address.is_local:
            import webbrowser

            webbrowser.open(f"{url}/")
        run_app(app, listening)
    typer.echo("stopped. Next: salign predict answers a whole folder of images")
