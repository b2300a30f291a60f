"""The command `salign annotate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.location import command_of, quote

if TYPE_CHECKING:
    from socket import socket

    from salign.annotate.collection import Collection
    from salign.annotate.rows import Invite
    from salign.data.manifest import Manifest
    from salign.web.listen import Address


def annotate(
    folder: Annotated[
        Path, typer.Argument(help="Folder of images; a manifest.csv and an annotate.yaml in it are used.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help=("The study goes into this folder: database, settings, secret (default: FOLDER/annotations).")
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings of the study, as YAML; docs/annotate-server.md lists the keys.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="An answer that people choose from; repeat (default: the labels of the manifest)."
        ),
    ] = None,
    question: Annotated[str | None, typer.Option(help="This question is shown with every image.")] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help=(
                "People do this: single (answer one image), pair (choose one of two), review (judge "
                "maps), assisted (with help) or reveal (click on a blurred image to see parts of it)."
            )
        ),
    ] = None,
    unmarked: Annotated[
        bool | None, typer.Option("--unmarked/--all", help="Ask only about images that have no map in the manifest.")
    ] = None,
    annotators_per_image: Annotated[
        int | None, typer.Option(help="So many people see each image (default: 1).")
    ] = None,
    enough: Annotated[
        float | None,
        typer.Option(help="Mode review: people may stop once drafts and accepted maps have this mean IoU."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help=("The images, with labels and splits (default: FOLDER/manifest.csv, else all images of the folder).")
        ),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option(
            help=("Keep the answers in this database, e.g. postgresql://USER@HOST/NAME (default: SQLite in --out).")
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help=("The server listens at this address; everybody needs a link unless it is this machine's own.")
        ),
    ] = "127.0.0.1",
    folders: Annotated[
        str | None,
        typer.Option(
            help="The folders above the images name split/class, class/split, class, split or none; salign looks."
        ),
    ] = None,
    public: Annotated[
        str | None,
        typer.Option(help="Behind a proxy: people open this address, e.g. https://NAME, each with a link."),
    ] = None,
    port: Annotated[int, typer.Option(help="The server listens at this port; 0 takes a free one.")] = 8765,
    annotator: Annotated[
        list[str] | None, typer.Option(help="Print a link for the annotator of this name; repeat.")
    ] = None,
    invite: Annotated[
        str | None, typer.Option(help="Print a link of this name that several people join by, each under a name.")
    ] = None,
    people: Annotated[int | None, typer.Option(min=1, help="With --invite: at most so many people join.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="With --invite: each gets at most so many images.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="With --invite: the link ends so many days after it was made.")
    ] = None,
    stop_link: Annotated[
        list[str] | None,
        typer.Option(help="The link of this annotator or invite works no more; the server may go on. Repeat."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser, or do not.")] = True,
    export: Annotated[Path | None, typer.Option(help="Export manifest and maps into this folder, and stop.")] = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge", help="Put what people marked into FOLDER/manifest.csv, and stop; labels and splits stay."
        ),
    ] = False,
    into: Annotated[
        Path | None,
        typer.Option(help=("With --export: write this manifest anew; images that were annotated get their new rows.")),
    ] = None,
) -> None:
    """Let people answer a question on images and mark what supports the answer, in a browser.

    Every answer is on disk before the page says so. By default only this machine reaches the page, and anybody there
    joins by a name. With --host or --public, everybody needs a link: one is printed for each --annotator, one for
    --invite, by which several people join, and one for the owner, who sees annotations, agreement and links at /owner.
    Ctrl-C stops; the same command goes on.
    """
    from salign.errors import SalignError, check_installed

    check_installed("salign annotate", "annotate", "fastapi", "uvicorn", "sqlalchemy")
    if not folder.is_dir():
        raise SalignError(f"no such folder: {folder}; expected a folder of images")
    from salign.annotate.opening import open_collection

    if into is not None and export is None:
        raise SalignError("--into says what an export is written into; give --export FOLDER as well")

    if merge and (export is not None or into is not None):
        raise SalignError("--merge exports beside the answers and into the manifest; leave --export and --into out")
    if merge:
        export, into = (out or folder / "annotations") / "export", manifest or folder / "manifest.csv"

    def opened() -> Collection:
        collection = open_collection(
            folder,
            out=out,
            config=config,
            manifest=manifest,
            url=db,
            classes=classes or None,
            question=question,
            mode=mode,
            unmarked=unmarked,
            annotators_per_image=annotators_per_image,
            enough=enough,
            folders=folders,
            begin=export is None and not stop_link,
        )
        _tell_folders(collection)
        return collection

    if invite is None and (people, images, days) != (None, None, None):
        raise SalignError("--people, --images and --days limit a link; give --invite NAME as well")
    if export is not None:
        _export(opened(), export, into if into is None or into.is_file() or not merge else None, tell=not merge)
        if merge and into is not None:
            _replace(export / "manifest.csv", into)
            following = "run" if (folder / "study.yaml").is_file() else "init"
            typer.echo(f"wrote {into}. Next: salign {following} {quote(folder)}")
        return
    if stop_link:
        _stop_links(opened(), stop_link)
        return
    from salign.annotate.records import read_name
    from salign.web.listen import Address, listen

    address, names = Address(host, public), [read_name(name) for name in annotator or []]
    again = _command(folder, {"--manifest": manifest, "--out": out, "--db": "URL" if db is not None else None})
    limits = None if invite is None else (read_name(invite), people, images, days)
    with listen(host, port) as listening:  # all options are checked before the study is changed
        collection = opened()
        invites = [] if limits is None else [_invite(collection, *limits)]
        _serve(again, collection, address, listening, names, invites, browser)


def _invite(collection: Collection, name: str, people: int | None, images: int | None, days: float | None) -> Invite:
    """Make or change the invite of that name; without any limit, return an existing one as it is.

    Its days count from when the invite was first made, so that a restart with the same options does not extend it.
    """
    import time

    before = {invite.name: invite for invite in collection.links.invites()}.get(name)
    if before is not None and (people, images, days) == (None, None, None):
        return before
    begin = time.time() if before is None else before.created
    until = None if days is None else begin + days * 24 * 3600
    return collection.links.make_invite(name, people=people, images=images, until=until)


def _stop_links(collection: Collection, names: list[str]) -> None:
    """Stop the links of these annotators and invites; all names are checked before any link is stopped.

    Raises:
        SalignError: a name has no link.
    """
    from salign.errors import SalignError

    invites = {invite.name: invite.id for invite in collection.links.invites()}
    people = {person.name: person.id for person in collection.store.people()}
    if unknown := sorted(set(names) - set(invites) - set(people)):
        known = ", ".join(sorted([*invites, *people])) or "nobody so far"
        raise SalignError(f"--stop-link: no link is for {', '.join(unknown)}; there are links for {known}")
    for name in names:
        if name in invites:
            collection.links.stop_invite(invites[name], True)
            typer.echo(f"nobody joins by the link {name} any more; those who joined go on")
        if name in people:
            collection.store.stop_person(people[name], True)
            typer.echo(f"the link of {name} works no more, also where the server runs; saved answers stay")
    collection.store.close()
    typer.echo("Links are opened again on the page of the owner, under Links")


def _command(folder: Path, options: dict[str, Path | str | None]) -> str:
    """Return the command that opens the same study again.

    Only the folder and where the study's files lie are given, because the study itself stores its settings.
    """
    words = [part for name, value in options.items() if value is not None for part in (name, str(value))]
    return command_of(["salign", "annotate", folder, *words])


def _tell_folders(collection: Collection) -> None:
    layout = collection.catalog.layout
    if layout is None or str(layout) == "none":
        return
    pictures = collection.catalog.pictures.values()
    known = {"splits": {picture.split for picture in pictures}, "classes": {picture.label for picture in pictures}}
    summary = "; ".join(
        f"{what} {', '.join(sorted(filter(None, names)))}" for what, names in known.items() if any(names)
    )
    typer.echo(f"folders say {layout}: {summary}. If they do not, give --folders none")


def _serve(
    again: str,
    collection: Collection,
    address: Address,
    listening: socket,
    names: list[str],
    invites: list[Invite],
    browser: bool,
) -> None:
    import logging
    import webbrowser

    from salign.annotate.web.run import is_open, links, run
    from salign.annotate.web.server import create_app  # noqa: F401  loaded now, so that printed links work at once

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if broken := collection.broken.look():
        first = "; ".join(list(broken.values())[:3])
        typer.echo(f"left out until they are mended, {len(broken)} files that cannot be read: {first}")
    typer.echo(f"{len(collection.units)} to annotate; answers: {', '.join(collection.classes) or 'none, only marks'}")
    urls = links(collection, listening, address, names, invites)
    for who, url in urls:
        typer.echo(f"{who}: {url}")
    typer.echo(f"annotations go to {collection.store.shown_url}; Ctrl-C stops")
    if browser and is_open(address, collection):  # otherwise the list of processes would show a secret link
        webbrowser.open(urls[-1][1])
    run(collection, listening, address)
    into = " (and --into the manifest that the drafts come from)" if collection.study.mode == "review" else ""
    typer.echo(
        f"stopped. Next: {again} --merge puts the marks into the images' manifest, --export DIR{into} writes them "
        "elsewhere; or the same command to go on"
    )


def _replace(exported: Path, manifest: Path) -> None:
    """Replace the manifest by the exported one; keep the first replaced version as `NAME-before.csv`."""
    import shutil

    from salign.data.manifest import Manifest
    from salign.data.manifest.derive import move_root

    before = manifest.with_stem(f"{manifest.stem}-before")
    if manifest.is_file() and not before.exists():
        shutil.copyfile(manifest, before)
    whole = Manifest.read(exported)
    root = manifest.parent.resolve() if whole.root.is_relative_to(manifest.parent.resolve()) else whole.root
    Manifest.of(move_root(whole, root).drop(columns="row"), root, manifest.name).write(manifest)


def _export(collection: Collection, out: Path, into: Path | None, *, tell: bool = True) -> None:
    from salign.annotate.answers import answers_of
    from salign.annotate.export import export_to, write_differing
    from salign.annotate.reviewed import summarise_review
    from salign.data.manifest import Manifest
    from salign.data.manifest.root import root_option

    base = None if into is None else Manifest.read(into)  # read before maps of an earlier export in it are replaced
    done = export_to(collection, out)
    answers, _ = answers_of(collection, collection.store.snapshot())
    collection.store.close()
    if done.unlabelled:
        what = "neither a label nor an answer that most people gave"
        first = f"first {done.unlabelled[0]}; all are in {out / 'left_out.csv'}"
        typer.echo(f"left out of the manifest, {what}: {len(done.unlabelled)} images, {first}")
    if done.unreadable:
        path, (_, why) = next(iter(done.unreadable.items()))
        typer.echo(
            f"left out, since they cannot be read or were changed: {len(done.unreadable)} files, first {path} ({why}); "
            f"all are in {out / 'left_out.csv'}, and the answers in annotations.csv and shapes.json"
        )
    if done.strange:
        typer.echo(f"left out: {done.strange} answers on images that the study no longer has")
    manifest, root, differing = out / "manifest.csv", done.root, done.differing
    if base is not None:
        whole = _merge(manifest, root, base)
        root, differing = whole.root, write_differing(whole.table, out)
    if differing:
        typer.echo(
            f"answered otherwise than labelled: {len(differing)} images, first {differing[0]}; all are in "
            f"{out / 'differing.csv'}. Labels stay as they were, answers stand in the column answer"
        )
    for sentence in summarise_review(collection, answers).sentences(collection.study.enough):
        typer.echo(sentence)
    for sentence in done.summary:
        typer.echo(sentence)
    apart = root_option(manifest, root)
    use = f"data.manifest={manifest}" + apart.replace(" --root ", " and data.root=")
    following = f" Next: `salign data check {quote(manifest)}{apart}`, then train with {use}" if tell else ""
    typer.echo(
        f"wrote {done.answers} answers to {out}; {done.maps} of its {done.images} images were marked.{following}"
    )


def _merge(manifest: Path, root: Path, base: Manifest) -> Manifest:
    """Insert the rows of an export into the manifest that they come from, and print whose the maps are."""
    from salign.data.manifest import Manifest
    from salign.data.manifest.derive import with_rows

    whole = with_rows(base, Manifest.read(manifest, root), manifest)
    people, machines, unknown = whole.makers
    rest = f", {unknown} of unknown origin" if unknown else ""
    typer.echo(f"{manifest}: {len(whole)} images, {people} maps of people and {machines} of machines{rest}")
    return whole
