"""Modules and names that moved: version 0.2 finds them by the names of 0.1 with a DeprecationWarning, 0.3 will not."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

MOVED = {
    "salign.annotate.auto": "salign.machine.annotate",
    "salign.annotate.routes_owner": "salign.annotate.web.owner",
    "salign.annotate.seldom": "salign.web.limited_log",
    "salign.annotate.server": "salign.annotate.web.server",
    "salign.annotate.server_callers": "salign.annotate.web.callers",
    "salign.annotate.server_guard": "salign.web.guard",
    "salign.annotate.server_run": "salign.annotate.web.run",
    "salign.data.annotations": "salign.annotations.annotated",
    "salign.data.blur": "salign.train.steps.blur",
    "salign.data.bringing": "salign.annotations.write",
    "salign.data.check": "salign.data.checks.check",
    "salign.data.check_report": "salign.data.checks.report",
    "salign.data.combining": "salign.annotations.combine",
    "salign.data.datamodule": "salign.data.reading.datamodule",
    "salign.data.dataset": "salign.data.reading.dataset",
    "salign.data.decoy": "salign.data.shortcuts.decoy",
    "salign.data.deduplicating": "salign.data.checks.deduplicate",
    "salign.data.dicom": "salign.data.reading.dicom",
    "salign.data.duplicates": "salign.data.checks.duplicates",
    "salign.data.file_names": "salign.data.manifest.file_names",
    "salign.data.folder_layout": "salign.data.manifest.folder_layout",
    "salign.data.image": "salign.data.reading.image",
    "salign.data.image_files": "salign.data.manifest.image_files",
    "salign.data.labels": "salign.data.manifest.labels",
    "salign.data.manifest_checks": "salign.data.manifest.faults",
    "salign.data.manifest_root": "salign.data.manifest.root",
    "salign.data.map_changes": "salign.data.controls.pixels",
    "salign.data.map_similarity": "salign.data.checks.map_similarity",
    "salign.data.marks": "salign.data.shortcuts.marks",
    "salign.data.matching": "salign.annotations.match",
    "salign.data.plant": "salign.data.shortcuts.plant",
    "salign.data.rewriting": "salign.data.manifest.derive",
    "salign.data.runs": "salign.annotations.rle",
    "salign.data.settling": "salign.annotations.resolve",
    "salign.data.shape_files": "salign.annotations.shape_files",
    "salign.data.sources": "salign.annotations.formats",
    "salign.data.sources.cvrl": "salign.data.manifest.sources.cvrl",
    "salign.data.sources.folder": "salign.data.manifest.sources.folder",
    "salign.data.sources.table": "salign.data.manifest.sources.table",
    "salign.data.swap": "salign.train.steps.swap",
    "salign.data.tables": "salign.data.manifest.text_table",
    "salign.data.transforms": "salign.data.reading.transforms",
    "salign.explain.gallery": "salign.pages.gallery",
    "salign.models.places": "salign.models.layout",
    "salign.maps.page": "salign.pages.page",
    "salign.maps.sheet": "salign.pages.sheet",
    "salign.train.analyse": "salign.runs.analyse",
    "salign.train.compare": "salign.runs.compare",
    "salign.train.fit": "salign.runs.fit",
    "salign.train.inputs": "salign.runs.inputs",
    "salign.train.predict": "salign.runs.predict",
    "salign.train.presets": "salign.train.recipe.presets",
    "salign.train.report": "salign.runs.earlier",
    "salign.train.run": "salign.runs.folder",
    "salign.train.saliency": "salign.runs.earlier",
    "salign.train.saliency_recipe": "salign.runs.earlier",
    "salign.train.saliency_report": "salign.runs.saliency_report",
}
"""Module of version 0.1 -> the module that has its content now; the modules directly below it moved with it."""

MOVED_NAMES = {
    "salign.annotate.access": dict.fromkeys(
        ("HEADERS", "Rates", "host_allowed", "host_name", "is_loopback", "network_of"), "salign.web.access"
    ),
    "salign.annotate.seldom": {"Seldom": "salign.web.limited_log:LimitedLog"},
    "salign.annotate.server_run": {"Place": "salign.web.listen:Address"},
    "salign.annotate.export": {"Exported": "salign.annotate.export:ExportResult"},
    "salign.annotate.export_reading": {"Given": "salign.annotate.export_reading:ImageAnswer"},
    "salign.annotate.quality": {"compared_maps": "salign.annotate.quality:sample_maps"},
    "salign.annotate.reviewed": {
        "Reviewed": "salign.annotate.reviewed:Review",
        "reviewed": "salign.annotate.reviewed:summarise_review",
    },
    "salign.annotate.splits": {"drawn_splits": "salign.annotate.splits:draw_splits"},
    "salign.annotate.auto": {
        "Marked": "salign.machine.annotate:AutoAnnotation",
        "Ensemble": "salign.machine.makers",
        "METHODS": "salign.machine.makers",
        "NetMaker": "salign.machine.makers",
        "TeacherMaker": "salign.machine.makers",
        "maker_of": "salign.machine.makers",
    },
    "salign.data.check_report": {"print_report": "salign.cli.show"},
    "salign.data.labels": {
        "kept": "salign.data.manifest.labels:keep_classes",
        "ordered": "salign.data.manifest.labels:sort_names",
        "sets_named": "salign.data.manifest.labels:name_sets",
    },
    "salign.data.rewriting": {"moved": "salign.data.manifest.derive:move_root"},
    "salign.data.manifest": {"Makers": "salign.data.manifest.table"},
    "salign.data.bringing": {"Brought": "salign.annotations.write:ImportResult"},
    "salign.data.settling": {
        "Marked": "salign.annotations.resolve:MarkedImage",
        "Settled": "salign.annotations.resolve:Resolution",
        "drawn": "salign.annotations.draw:draw_marks",
    },
    "salign.data.shape_files": {"read_marked": "salign.annotations.read"},
    "salign.data.sources": {
        "SOURCES": "salign.data.manifest.sources",
        "from_csv": "salign.data.manifest.sources",
        "from_cvrl": "salign.data.manifest.sources",
        "from_folder": "salign.data.manifest.sources",
    },
    "salign.config": {"explained": "salign.config:explain_faults"},
    "salign.data.deduplicating": {"Kept": "salign.data.checks.deduplicate:Deduplication"},
    "salign.evaluate.annotators": {"normalised": "salign.evaluate.annotators:normalise"},
    "salign.evaluate.comparison": {"words": "salign.evaluate.comparison:describe"},
    "salign.evaluate.ranking": {"as_asked": "salign.evaluate.ranking:match_weights"},
    "salign.experiment.report.tables": {
        "places": "salign.experiment.report.tables:set_roles",
        "shown": "salign.experiment.report.tables:describe_main_table",
    },
    "salign.experiment.report.worse_maps": {"in_words": "salign.experiment.report.worse_maps:describe_maps"},
    "salign.explain": {"Item": "salign.pages.gallery"},
    "salign.losses": {
        "blended": "salign.losses.viser:blend_terms",
        "decomposed": "salign.losses.decomposition:decompose",
        "kept_and_destroyed": "salign.losses.sage:keep_and_destroy",
        "swapped": "salign.losses.swap:swap_regions",
    },
    "salign.models.running": {"running_statistics_kept": "salign.models.running:keep_running_statistics"},
    "salign.train.run": {"RunFolder": "salign.runs.run:Run"},
    "salign.types": {
        "SEPARATOR": "salign.class_names",
        "SalignError": "salign.errors",
        "names_in": "salign.class_names",
    },
}
"""Module of version 0.1 -> name that moved out of it -> where it is now: `module`, or `module:name` if renamed."""


class _Alias(Loader):
    """Loads a module under its old name, with a DeprecationWarning."""

    def __init__(self, home: str) -> None:
        self.home = home

    def create_module(self, spec: ModuleSpec) -> None:
        """Warn that the module has another name now; Python makes the module object as for any other module."""
        warnings.warn(f"{spec.name} is {self.home} now; the old name goes with version 0.3", DeprecationWarning, 2)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the old module with what the new module has; names that moved elsewhere are found when asked for."""
        elsewhere = MOVED_NAMES.get(module.__name__, {})
        for name, content in vars(importlib.import_module(self.home)).items():
            if not name.startswith("__") and name not in elsewhere:
                vars(module)[name] = content
        if elsewhere:
            vars(module)["__getattr__"] = moved_names(module.__name__)


class _WithOldNames(SourceFileLoader):
    """Loads a module out of which names moved; a moved name is found elsewhere if the module does not define it."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, and let it find the names that moved out of it."""
        super().exec_module(module)
        vars(module).setdefault("__getattr__", moved_names(module.__name__))


class _Finder(MetaPathFinder):
    """Finds modules that moved, and modules out of which names moved."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how to load a module of `MOVED`, a module below it, or a module of `MOVED_NAMES`; None for others."""
        if name in MOVED_NAMES and name not in MOVED:
            spec = PathFinder.find_spec(name, path, target)
            if spec is not None and isinstance(spec.loader, SourceFileLoader) and not spec.loader.is_package(name):
                spec.loader = _WithOldNames(spec.loader.name, spec.loader.path)
            return spec
        parent, _, stem = name.rpartition(".")
        home = MOVED.get(name) or (f"{MOVED[parent]}.{stem}" if parent in MOVED else None)
        spec = None if home is None else importlib.util.find_spec(home)
        if home is None or spec is None:
            return None
        return ModuleSpec(name, _Alias(home), is_package=spec.submodule_search_locations is not None)


def find_moved_modules() -> None:
    """Let imports find the old names; `salign` itself calls this once."""
    sys.meta_path.insert(0, _Finder())


def moved_names(module: str, stacklevel: int = 2) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module, which finds the names that moved out of it, with a DeprecationWarning.

    Args:
        module: name of the module.
        stacklevel: how many calls above the warning the user's line is; 2 if the function is the `__getattr__` itself.
    """

    def get(name: str) -> Any:
        if name not in MOVED_NAMES[module]:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = MOVED_NAMES[module][name].partition(":")
        message = f"{module}.{name} is {home}.{new or name} now; the old name goes with version 0.3"
        warnings.warn(message, DeprecationWarning, stacklevel)
        return getattr(importlib.import_module(home), new or name)

    return get
