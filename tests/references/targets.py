"""Soft targets from answers, one answer at a time."""

from __future__ import annotations


def shares(answers: list[tuple[str, str, str]]) -> dict[str, dict[str, float]]:
    """`(image, person, answer)` of everybody -> image -> answer -> share of the people, each of whom counts once."""
    said: dict[str, dict[str, list[str]]] = {}
    for image, person, answer in answers:
        said.setdefault(image, {}).setdefault(person, []).append(answer)
    found: dict[str, dict[str, float]] = {}
    for image, people in said.items():
        found[image] = {}
        for own in people.values():
            for answer in own:
                found[image][answer] = found[image].get(answer, 0.0) + 1 / len(own) / len(people)
    return found
