"""The list of faults fits the source: each can be made, and makes another program. ``run.py`` makes them."""

import ast
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from mutants import MUTANTS

SOURCE = Path(__file__).resolve().parents[2] / "src" / "reglab"


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{mutant.file}: {mutant.what}" for mutant in MUTANTS])
def test_a_fault_can_be_made_and_is_another_program(mutant):
    before = ast.dump(ast.parse((SOURCE / mutant.file).read_text(encoding="utf-8")))
    after = ast.dump(ast.parse(mutant.applied(SOURCE)))
    assert before != after
    root = Path(__file__).resolve().parents[1]
    assert all((root / name).exists() for name in mutant.tests)


def test_the_test_that_noticed_a_fault_is_still_there():
    """A test that was renamed: ``run.py --scope fast --only ... --write`` finds who notices the fault now."""
    noticed = json.loads((Path(__file__).parent / "noticed.json").read_text(encoding="utf-8"))
    assert set(noticed) <= {mutant.called for mutant in MUTANTS}
    root = Path(__file__).resolve().parents[2]
    texts: dict[str, str] = {}
    for test in (test for tests in noticed.values() for test in tests):
        file, *names = test.partition("[")[0].split("::")
        text = texts.setdefault(file, (root / file).read_text(encoding="utf-8"))
        assert all(f"def {name}(" in text or f"class {name}" in text for name in names), test


def test_the_faults_lie_in_every_package_that_results_depend_on():
    packages = {mutant.file.partition("/")[0] for mutant in MUTANTS}
    assert {"study", "regularized", "strategies", "analysis", "export", "tuning", "data"} <= packages
    assert len(MUTANTS) >= 60
