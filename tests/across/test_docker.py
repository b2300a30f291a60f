"""The files for containers, as far as they can be checked without an engine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import typer
import yaml

from salign.cli import app

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SETTINGS = dict(
    line.split("=") for line in (ROOT / "docker/example.env").read_text().splitlines() if not line.startswith("#")
)


def filled(text: str) -> str:
    """Compose's text with the values of example.env, as compose itself reads `${NAME:?word}` and `${NAME:-value}`."""
    return re.sub(r"\$\{(\w+)(?::[?-][^}]*)?\}", lambda found: SETTINGS[found[1]] or "word", text)


def test_the_server_is_started_by_a_command_that_there_is() -> None:
    words = [filled(word) for word in COMPOSE["services"]["annotate"]["command"]]
    command: Any = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    options = command.make_context(command.name, words[1:]).params
    assert (options["host"], options["public"], options["browser"]) == (
        "0.0.0.0",
        "https://annotate.example.org",
        False,
    )
    assert (options["db"], options["people"]) == ("postgresql://salign@database/salign", 20)
    assert str(options["folder"]) == "/data"


def test_every_variable_has_a_line_in_the_example() -> None:
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "docker/compose.yaml").read_text()))
    assert named == set(SETTINGS)
    assert SETTINGS["DATABASE_PASSWORD"] == ""  # nobody starts with a password that everybody knows


def test_only_the_proxy_is_reached_from_outside() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["proxy"]
    command = [filled(word) for word in COMPOSE["services"]["proxy"]["command"]]
    assert command == ["caddy", "reverse-proxy", "--from", "annotate.example.org", "--to", "annotate:8765"]


def test_the_server_is_no_root_and_answers_are_kept() -> None:
    server = COMPOSE["services"]["annotate"]
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, flags=re.MULTILINE) == ["1000"]
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])
    assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert COMPOSE["services"]["database"]["volumes"] == ["database:/var/lib/postgresql/data"]
    assert "database" in COMPOSE["volumes"]


def test_what_the_image_is_built_from_is_there() -> None:
    copied = [word for line in re.findall(r"^COPY (.+)$", DOCKERFILE, flags=re.MULTILINE) for word in line.split()[:-1]]
    assert copied == ["constraints.txt", "pyproject.toml", "README.md", "LICENSE", "src"]
    assert all((ROOT / name).exists() for name in copied)
    kept = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert kept == set(copied)
    extras = re.search(r"/build\[([\w,]+)\]", DOCKERFILE)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])
    version = re.search(r"^FROM python:(\d+\.\d+)-slim$", DOCKERFILE, flags=re.MULTILINE)
    assert version is not None
    assert f">={version[1]}" == PROJECT["requires-python"]
