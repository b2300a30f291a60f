"""The command `salign graph`: labels from neighbours, text encoders in a graph, and templates of connectivity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salign.limits import LARGEST_SEED

if TYPE_CHECKING:
    import numpy as np

    from salign.graphs.neighbours import Neighbours
    from salign.graphs.tables import Links, Nodes

app = typer.Typer(
    no_args_is_help=True,
    help="Beyond images: labels that neighbours carry, texts in a graph, and templates of connectivity matrices.",
)
NodesTable = Annotated[
    Path, typer.Argument(help="Table with a row per node and the columns id and label: a manifest, or another.")
]
LinksTable = Annotated[
    Path | None,
    typer.Argument(help="Table of links with the columns source and target, ids of nodes; or leave it out for --link."),
]
Label = Annotated[str, typer.Option(help="Column with the class of a node; a cell may be empty.")]
Link = Annotated[
    str | None,
    typer.Option(help="Column such as patient, tile or device: nodes with the same cell are linked, all with all."),
]
ByRow = Annotated[
    bool, typer.Option("--by-row", help="The cells of the links are numbers of rows, the first being 0, and no ids.")
]
Train = Annotated[str, typer.Option(help="Nodes of this split are learned from.")]
Hops = Annotated[int, typer.Option(min=1, max=100, help="Labels are spread over so many links in a row.")]
Alpha = Annotated[float, typer.Option(min=0, max=1, help="Share of the spread labels in a target; 0 = plain labels.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of all that is drawn.")]


@app.command("labels")
def labels(
    nodes: NodesTable,
    links: LinksTable = None,
    link: Link = None,
    label: Label = "label",
    by_row: ByRow = False,
    split: Train = "train",
    hops: Hops = 3,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="The first, second, ... hop counts so much; repeat for each (default: all alike)."),
    ] = None,
    alpha: Alpha = 0.5,
    out: Annotated[
        Path | None, typer.Option(help="Write the targets to this .csv or .parquet (default: NODES-targets.csv).")
    ] = None,
) -> None:
    """Write soft targets with which an encoder expects that its neighbours are averaged (label deconvolution).

    Each training node gets a part of the labels of the training nodes near it. Any image classifier trains with them
    by data.targets; `salign graph train` does it for texts. Writes a table, and a page with a picture beside it.
    """
    from salign.errors import SalignError
    from salign.files import check_output

    if weight and len(weight) != hops:
        raise SalignError(f"--weight: expected one number for each of {hops} hops, got {len(weight)}.")
    target = out or nodes.with_name(f"{nodes.stem}-targets.csv")
    page = target.with_suffix(".html")
    for file in (target, page):
        check_output(file)
    table, rows, graph = _read(nodes, links, link, label, by_row, split)

    from salign.data.manifest.text_table import write_table
    from salign.graphs.labels import target_table
    from salign.graphs.pages import own_shares, write_labels_page

    weights = tuple(weight or [1.0] * hops)
    targets = target_table(table, rows, _neighbours(graph, len(table)), weights=weights, alpha=alpha)
    write_table(targets, target)
    shares = own_shares(targets, [table.classes[k] for k in table.labels[rows]])
    words = _describe(graph, table, link)
    settings = f"Targets of {len(rows):,} training nodes, over {hops} hops, with alpha {alpha:g}."
    write_labels_page(page, shares, words, settings)
    unchanged = int(shares["unchanged"].sum())
    typer.echo(f"{words}; the target of {unchanged:,} of {len(rows):,} training nodes is their label alone")
    if unchanged == len(rows):
        typer.echo("so neighbours have the label of the node everywhere, and training with these targets is plain")
    typer.echo(f"wrote {page}: open it in a browser")
    typer.echo(f"wrote {target}. Next: train with data.targets: {target}")


@app.command("train")
def train(
    nodes: NodesTable,
    links: LinksTable = None,
    text: Annotated[str, typer.Option(help="Column with the text of a node.")] = "text",
    link: Link = None,
    label: Label = "label",
    by_row: ByRow = False,
    way: Annotated[
        str,
        typer.Option(
            help="plain: the encoder learns labels; deconvolved: it learns deconvolved ones; then the head learns on "
            "what it gives. joint: both learn at once."
        ),
    ] = "deconvolved",
    head: Annotated[str, typer.Option(help="gcn: graph convolutions; mean: a node and its neighbours' mean.")] = "gcn",
    learned: Annotated[
        bool, typer.Option("--learned", help="Learn how much each hop counts; else all count alike.")
    ] = False,
    words: Annotated[str, typer.Option(help="Texts are counted in this way: tfidf or hashed.")] = "tfidf",
    hops: Hops = 3,
    alpha: Alpha = 0.5,
    rounds: Annotated[
        int,
        typer.Option(
            min=1,
            max=100,
            help="Train encoder and head so often in turn; from the second time on all nodes teach, by the head's "
            "answers.",
        ),
    ] = 1,
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Epochs of the encoder.")] = 30,
    head_epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Epochs of the head, or of both at once.")] = 100,
    shares: Annotated[
        str | None,
        typer.Option(
            help="Draw new splits with these shares, such as 0.6/0.2/0.2 for train, val and test; nodes with equal "
            "texts stay together (default: the column split)."
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Write answers and page into this folder.")] = Path("graph"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Train a small network on the texts of a graph and their links, and answer for every node.

    Writes OUT/predictions.csv, with the split and the probabilities of every node, and OUT/page.html with a picture
    of what neighbours add.
    """
    from salign.data.manifest.split import read_shares
    from salign.errors import SalignError, one_of
    from salign.files import check_output

    for name, value, known in (
        ("--way", way, ("plain", "deconvolved", "joint")),
        ("--head", head, ("gcn", "mean")),
        ("--words", words, ("tfidf", "hashed")),
    ):
        one_of(value, known, name)
    drawn_shares = read_shares(shares) if shares else None
    if drawn_shares and set(drawn_shares) != {"train", "val", "test"}:
        raise SalignError(f"--shares: expected train, val and test, got {', '.join(drawn_shares)}.")
    check_output(out, folder=True)
    table, _, graph = _read(nodes, links, link, label, by_row, "train", text=text, shares=drawn_shares, seed=seed)

    from salign.graphs.texts import train_texts, write_trained

    neighbours = _neighbours(graph, len(table))
    trained = train_texts(
        table, neighbours, text=text, words=words, way=way, head=head, learned=learned, hops=hops,
        alpha=alpha, rounds=rounds, epochs=(epochs, head_epochs), seed=seed, progress=not quiet,
    )  # fmt: skip
    words_of = _describe(graph, table, link)
    degree = neighbours.degree.numpy()
    lines = write_trained(out, table, trained, degree, words_of, f"way {way}, head {head}, seed {seed}")
    for line in (words_of, *lines):
        typer.echo(line)
    typer.echo(f"wrote {out / 'predictions.csv'} and {out / 'page.html'}: open the page in a browser")


@app.command("template")
def template(
    matrices: Annotated[
        Path, typer.Argument(help="A .npy or .npz of symmetric matrices (N, R, R), or of their upper triangles (N, T).")
    ],
    subjects: Annotated[
        Path, typer.Argument(help="Table with the columns split and label; row i belongs to row i of the array.")
    ],
    label: Annotated[str, typer.Option(help="Column with the class of a subject.")] = "label",
    array: Annotated[
        list[str] | None, typer.Option(help="Name of the array in a .npz; repeat for views of the same subjects.")
    ] = None,
    fisher: Annotated[
        bool, typer.Option("--fisher", help="Take Fisher's z of correlations, whose spread is the same everywhere.")
    ] = False,
    dgn: Annotated[
        bool, typer.Option("--dgn", help="Train the template network DGN, too; this takes minutes for 100 regions.")
    ] = False,
    later: Annotated[
        Path | None, typer.Option("--follow-up", help="Matrices of the same subjects at a later time, to be predicted.")
    ] = None,
    split: Annotated[str, typer.Option(help="Templates are made of the subjects with this split.")] = "train",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Write templates, figures and page into this folder.")] = Path("template"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")] = False,
) -> None:
    """Let one matrix stand for all of a class: mean, element-wise and geometric median; classify by templates alone.

    Writes OUT/templates.npz, OUT/figures.csv and OUT/page.html, with pictures. Beside the templates stand a random
    subject and the medoid of each class, and a logistic regression on all subjects.
    """
    from salign.errors import SalignError
    from salign.files import check_output
    from salign.graphs.matrices import read_matrices, read_subjects

    check_output(out, folder=True)
    if array and matrices.suffix.lower() == ".npy":
        raise SalignError(f"--array: {matrices} holds one array without a name; leave the option out.")
    people = read_subjects(subjects, label, split)
    views = read_matrices(matrices, people, array or (), fisher=fisher)
    follow = read_matrices(later, people, array or (), fisher=fisher) if later else None

    from salign.graphs.connectivity import compare_templates, write_templates

    compared = compare_templates(people, views, follow, dgn=dgn, seed=seed, progress=not quiet)
    for line in write_templates(out, people, compared):
        typer.echo(line)
    typer.echo(
        f"wrote {out / 'templates.npz'}, {out / 'figures.csv'} and {out / 'page.html'}: open the page in a browser"
    )


def _read(
    nodes: Path,
    links: Path | None,
    link: str | None,
    label: str,
    by_row: bool,
    split: str,
    *,
    text: str | None = None,
    shares: dict[str, float] | None = None,
    seed: int = 0,
) -> tuple[Nodes, np.ndarray, Links | np.ndarray]:
    """Read the nodes, the row numbers of the training nodes, and the links, without importing torch.

    Raises:
        SalignError: there is not exactly one source of links, or a table is wrong.
    """
    from dataclasses import replace

    from salign.errors import SalignError
    from salign.graphs import tables

    if (links is None) == (link is None):
        raise SalignError("expected either a table of links, or --link COLUMN, whose equal cells are links; give one")
    columns = [*filter(None, [link, text]), *([] if shares else ["split"])]
    table = tables.read_nodes(nodes, columns, label=label)
    if text is not None and shares:
        splits = tables.draw_splits(table.table[text], shares, seed)
        table = replace(table, table=table.table.assign(split=splits).astype({"split": table.table["id"].dtype}))
    rows = tables.training_rows(table, split)
    if text is not None:
        tables.labelled_rows(table, "val")
        tables.check_texts(table, text)
    if links is None:
        return table, rows, tables.group_numbers(table, str(link))
    return table, rows, tables.read_links(links, table, by_row=by_row)


def _neighbours(graph: Links | np.ndarray, nodes: int) -> Neighbours:
    import torch

    from salign.graphs import from_groups, from_links
    from salign.graphs.tables import Links

    if isinstance(graph, Links):
        return from_links(torch.from_numpy(graph.pairs), nodes)
    return from_groups(torch.from_numpy(graph))


def _describe(graph: Links | np.ndarray, nodes: Nodes, column: str | None) -> str:
    from salign.graphs.tables import Links

    if isinstance(graph, Links):
        return graph.describe(len(nodes))
    return f"{len(nodes):,} nodes in {graph.max() + 1:,} groups by {column}"
