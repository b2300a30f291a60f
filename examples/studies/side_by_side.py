"""Images of a study, each beside the class activation maps of some of its arms.

    python examples/studies/side_by_side.py STUDY OUT.png --arm ce --arm teacher --arm student

A row shows an image of the target set: first the image itself, then the image under the map of each arm's first seed,
for the class that this run predicts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from salign.experiment.store import StudyFolder, read_results
from salign.experiment.study import Study
from salign.explain import cam
from salign.maps import min_max
from salign.maps.render import overlay, to_picture
from salign.runs.run import Run

SIDE, GAP = 128, 8


def draw(
    study: Annotated[Path, typer.Argument(help="The study.")],
    written: Annotated[Path, typer.Argument(help="The PNG to write.")],
    arm: Annotated[list[str], typer.Option(help="An arm; repeat.")],
    out: Annotated[Path, typer.Option(help="The folder with the studies that were run.")] = Path("studies"),
    images: Annotated[int, typer.Option(help="So many images are shown, the first of the set.")] = 3,
) -> None:
    """Draw the picture, and say what each arm answers."""
    asked = Study.read(study)
    runs = read_results(asked, StudyFolder.of(asked, out)).runs
    models = []
    for name in arm:
        paths = runs.loc[runs["arm"] == name].sort_values("seed")["path"]
        models.append(Run.open(paths.iloc[0]))
    data = models[0].data(asked.target)
    picture = Image.new("RGB", ((len(arm) + 1) * (SIDE + GAP) - GAP, images * (SIDE + GAP) - GAP), "white")
    for row in range(images):
        shown = data[row].images
        picture.paste(_fit(to_picture(shown)), (0, row * (SIDE + GAP)))
        for column, run in enumerate(models, start=1):
            model = run.model()
            answer = model(shown[None]).logits.argmax(1)
            values = min_max(cam(model, shown[None], answer))[0].detach()
            picture.paste(_fit(overlay(shown, values)), (column * (SIDE + GAP), row * (SIDE + GAP)))
            typer.echo(f"{arm[column - 1]}: {run.classes[int(answer)]}")
    picture.save(written)
    typer.echo(f"wrote {written}")


def _fit(picture: Image.Image) -> Image.Image:
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    typer.run(draw)
