"""The two distributions of the sources: the whole package, and its kernels alone."""

import re
import shutil
import subprocess
import sys
import tarfile
from email.parser import Parser
from pathlib import Path

import pytest

import tedg_fast

ROOT = Path(tedg_fast.__file__).resolve().parent.parent
if not (ROOT / "kernels").is_dir():
    pytest.skip("the package is not installed from its sources", allow_module_level=True)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what the two are built from, native libraries included."""
    folder = tmp_path_factory.mktemp("sources")
    ignore = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for name in ("build_support", "csrc", "kernels", "tedg_fast"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in (
        "pyproject.toml", "setup.py", "README.md", "constraints.txt", "CMakeLists.txt",
        "MANIFEST.in", "CHANGELOG.md", "LICENSE",
    ):  # fmt: skip
        shutil.copy(ROOT / name, folder / name)
    return folder


def metadata(project: Path, backend: str, search: Path, out: Path) -> dict[str, list[str]]:
    program = (
        f"import sys; sys.path.insert(0, {str(search)!r}); import {backend}; "
        f"print({backend}.prepare_metadata_for_build_wheel({str(out)!r}))"
    )
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True
    )
    name = done.stdout.strip().splitlines()[-1]
    message = Parser().parsestr((out / name / "METADATA").read_text())
    needs = [need for need in message.get_all("Requires-Dist", []) if "extra ==" not in need]
    names = {re.match(r"[\w.-]+", need).group() for need in needs}
    return {"name": message["Name"], "version": message["Version"], "needs": names}


def test_what_each_needs(sources, tmp_path):
    whole = metadata(sources, "tedg_build", sources / "build_support", tmp_path / "whole")
    kernels = metadata(sources / "kernels", "backend", sources / "kernels", tmp_path / "kernels")
    assert kernels["name"] == "tedg_fast_kernels" and kernels["needs"] == {"torch", "numpy"}
    assert whole["name"] == "tedg_fast" and {"torch", "numpy", "nle", "gymnasium"} <= whole["needs"]
    assert whole["version"] == kernels["version"] == tedg_fast.__version__


def test_an_sdist_has_all_that_a_wheel_is_built_from(sources, tmp_path):
    command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", tmp_path]
    subprocess.run(command, cwd=sources, check=True)
    (path,) = tmp_path.glob("tedg_fast-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    compiled = re.findall(r"csrc/\S+\.(?:cpp|cu)", (sources / "CMakeLists.txt").read_text())
    assert len(compiled) > 30
    needed = {
        "CMakeLists.txt",
        "constraints.txt",
        "build_support/tedg_build.py",
        "csrc/ops/checks.h",
        "kernels/setup.py",
    }
    assert {*compiled, *needed} <= names
    assert not any(name.endswith(".so") for name in names)


def test_the_kernels_wheel_serves_every_python(sources, tmp_path):
    command = [sys.executable, "setup.py", "-q", "bdist_wheel", "--skip-build", "-d", tmp_path]
    subprocess.run(command, cwd=sources / "kernels", check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(r"tedg_fast_kernels-.*-py3-none-linux_\w+\.whl", wheel.name)


def test_the_kernels_alone_are_a_package(sources, tmp_path):
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path]
    subprocess.run(command, cwd=sources / "kernels", check=True)
    package = tmp_path / "tedg_fast"
    own = {"__init__.py", "info.py", "py.typed", "nn", "ops"}
    assert {p.name for p in package.iterdir()} == own
    program = (
        "import tedg_fast.nn, tedg_fast.ops, torch; print(tedg_fast.__file__); "
        "conv = tedg_fast.nn.GATConv(3, 2); "
        "print(conv(torch.ones(2, 3), torch.tensor([[0], [1]])).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == [str(package / "__init__.py"), "torch.Size([2, 2])"]
