"""What packages export lazily is really there, and no module of theirs hides it."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = (
    "search_spaces",
    "supernets",
    "supernets.training",
    "nas",
    "nas.data",
    "nas.hardware",
    "nas.objectives",
    "nas.predictors",
    "nas.search",
    "nas.searchers",
)


@pytest.mark.parametrize("name", PACKAGES)
def test_exports_are_there_and_not_hidden_by_modules(name):
    package = importlib.import_module(name)
    modules = {found.name for found in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    assert all(getattr(package, exported) is not None for exported in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.integration
def test_importing_packages_imports_no_torch():
    code = f"import sys, {', '.join(PACKAGES)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
