"""From a folder of images as people have it to a study: what lies in the folder, what is written, and what is next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.project.choices import Choices as Choices
    from salign.project.look import Look as Look, look as look
    from salign.project.plan import Plan as Plan, make_plan as make_plan
    from salign.project.state import State as State, state_of as state_of
    from salign.project.write import Written as Written, write_plan as write_plan

lazy_index(__name__)
