"""Which small changes of the source do the tests of a package not notice? A sample of the mutants of mutmut.

    python benchmarks/mutation.py train evaluate --sample 60 --seed 0 --out /tmp/mutants

mutmut (`[tool.mutmut]` in pyproject.toml) makes the changes and runs the tests that reach each of them. This program
adds two things: it draws a sample of the mutants, and it runs the tests of each package alone, in a copy of the tracked
files. It writes `OUT/PACKAGE.json` (mutant -> status) and `OUT/PACKAGE.diff` (the mutants that survived or ran out of
time). mutmut's time limit does not include the time of a fixture that trains a network, so check the mutants that ran
out of time by hand. To try all mutants, use `mutmut run` in a clone of the repository; it takes days.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    str(folder.relative_to(ROOT / "src/salign"))
    for folder in (ROOT / "src/salign").rglob("*")
    if any(folder.glob("*.py"))
)
ALSO = {package: ["test_checks.py"] for package in ("maps", "models", "explain", "evaluate")}
ALSO["losses"] = ["test_contracts.py", "test_checks.py"]
"""Test modules of a package outside of the folder of its name."""


def tests_of(package: str) -> list[str]:
    """The test modules of a package, relative to the repository; those marked slow are left out later."""
    inside = sorted(Path("tests", package).glob("test_*.py"))
    return [*map(str, inside), *(f"tests/{name}" for name in ALSO.get(package, []))]


def run_package(package: str, sample: int, seed: int, out: Path, only: str) -> None:
    """Draw, test and write down mutants of one package; the working directory is a copy of the repository."""
    from mutmut import __main__ as mutmut
    from mutmut.configuration import config
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.format_utils import get_mutant_name

    files = sorted(path for path in Path("src/salign", package).glob("*.py") if only in path.name)
    config().only_mutate = [str(path) for path in files]
    config().pytest_add_cli_args_test_selection = tests_of(package)
    names = [
        get_mutant_name(path, name)
        for path in files
        for name in mutate_file_contents(str(path), path.read_text()).mutant_names
    ]
    get_runner = mutmut.get_mutant_runner

    def get_quick_runner(children: int) -> Any:
        runner = get_runner(children)
        runner.run_clean_tests = lambda tests: 0  # they passed before, when they were timed
        return runner

    mutmut.get_mutant_runner = get_quick_runner
    sampled = [names[i] for i in np.sort(np.random.default_rng(seed).permutation(len(names))[:sample])]
    mutmut._run(sampled, max_children=1)
    results, _ = mutmut.collect_source_file_mutation_data(mutant_names=sampled)
    statuses = {name: status_by_exit_code[code] for _, name, code in results}
    target = out / package.replace("/", "-")
    target.with_suffix(".json").write_text(json.dumps({"of": len(names), "mutants": statuses}, indent=1))
    survivors = [name for name, status in statuses.items() if status in ("survived", "no tests", "timeout")]
    diffs = [f"# {name}: {statuses[name]}\n{mutmut.get_diff_for_mutant(name)}" for name in survivors]
    target.with_suffix(".diff").write_text("\n".join(diffs))
    print(
        f"{package}: {len(survivors)} of {len(sampled)} sampled mutants survived ({len(names)} in all): {target}.diff",
        file=sys.stderr,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", choices=PACKAGES, metavar="PACKAGE", help=", ".join(PACKAGES))
    parser.add_argument("--sample", type=int, default=60, help="mutants per package")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--only", default="", help="files whose name contains this")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for package in arguments.packages:
        with tempfile.TemporaryDirectory() as folder:
            for name in tracked.stdout.splitlines():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, Path(folder) / name)
            if (pid := os.fork()) == 0:  # a new process, because mutmut keeps its configuration and state
                os.chdir(folder)
                run_package(package, arguments.sample, arguments.seed, arguments.out, arguments.only)
                os._exit(0)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
