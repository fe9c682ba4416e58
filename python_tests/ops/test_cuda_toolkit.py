"""Whether the CUDA ops are built, beside compilers and torches that fit or do not."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "build_support"))
from cuda_toolkit import wants_cuda


@pytest.fixture
def toolkit(tmp_path, monkeypatch):
    """Puts an nvcc of a version on an otherwise empty PATH."""

    def install(version):
        compiler = tmp_path / "nvcc"
        compiler.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {version}, V1'\n")
        compiler.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("TEDG_CUDA", raising=False)
    return install


def test_a_compiler_of_torchs_major_version_is_used(toolkit):
    toolkit("12.4")
    assert wants_cuda("12.8")


@pytest.mark.parametrize(("compiler", "torch_cuda"), [("13.0", "12.8"), ("12.8", "13.0")])
def test_another_major_version_is_refused(toolkit, monkeypatch, capsys, compiler, torch_cuda):
    toolkit(compiler)
    assert not wants_cuda(torch_cuda)
    message = capsys.readouterr().err
    assert f"nvcc {compiler}" in message and f"CUDA {torch_cuda}" in message, message
    assert "CPU ops only" in message and message.count("\n") == 1, message
    monkeypatch.setenv("TEDG_CUDA", "1")
    with pytest.raises(SystemExit, match="differ in the major version"):
        wants_cuda(torch_cuda)


def test_a_torch_without_cuda_takes_any_compiler_that_is_asked_for(toolkit, monkeypatch):
    toolkit("13.0")
    assert not wants_cuda(None)
    monkeypatch.setenv("TEDG_CUDA", "1")
    assert wants_cuda(None)


def test_without_a_compiler_a_line_says_so(toolkit, monkeypatch, capsys):
    assert not wants_cuda("13.0")
    assert "no nvcc" in capsys.readouterr().err
    monkeypatch.setenv("TEDG_CUDA", "1")
    with pytest.raises(SystemExit, match="no nvcc"):
        wants_cuda("13.0")


@pytest.mark.parametrize("asked", ["yes", "2"])
def test_an_unknown_wish_is_refused(toolkit, monkeypatch, asked):
    monkeypatch.setenv("TEDG_CUDA", asked)
    with pytest.raises(SystemExit, match="must be 0 or 1"):
        wants_cuda("13.0")
