"""Who may import whom, checked on every import in the code."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "search_spaces": {"search_spaces"},
    "proxies": {"proxies"},
    "supernets": {"supernets", "search_spaces"},
    "nas": {"nas", "supernets", "search_spaces", "proxies"},
    "service": {"service", "nas", "supernets", "search_spaces", "proxies"},
}
HOMES = {
    "pymoo": ("nas/searchers/",),
    "optuna": ("nas/searchers/",),
    "timm": ("search_spaces/", "nas/data/"),
    "onnx": ("nas/export/", "nas/hardware/", "service/tracking"),
    "onnxruntime": ("nas/export/", "nas/hardware/"),
    "mlflow": ("service/tracking", "service/tracking/store.py"),
    "submitit": ("service/queue/executors/slurm",),
}
FILES = sorted(path for package in ALLOWED for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def test_imports_point_downward_and_third_parties_stay_at_home():
    wrong = []
    for path in FILES:
        here = path.relative_to(ROOT).as_posix()
        package = here.partition("/")[0]
        for name in imported(path):
            top = name.partition(".")[0]
            if (top in ALLOWED and top not in ALLOWED[package]) or (top in HOMES and not here.startswith(HOMES[top])):
                wrong.append(f"{here} imports {name}")
    assert wrong == []
    assert len(FILES) > 200


def test_there_is_no_utils_module_and_no_long_one():
    for path in FILES:
        assert path.name not in ("utils.py", "helpers.py", "common.py")
        assert len(path.read_text().splitlines()) <= 600, f"{path} is too long"


@pytest.mark.integration
def test_importing_the_library_imports_no_tracker():
    import subprocess
    import sys

    code = (
        "import sys, nas.search.loop, nas.data.load, nas.retraining, nas.export, supernets, search_spaces, proxies;"
        "print(sorted(m for m in ('mlflow', 'grpc', 'optuna', 'onnx', 'onnxruntime') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
