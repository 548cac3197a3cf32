"""Triton compiles a small C extension for each kernel's launcher: without a C compiler or Python's headers
torch.compile on the GPU fails, and no CPU test shows it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from ..check import Check, Failure, Figures, Image, shorten

SOURCE = """
#define PY_SSIZE_T_CLEAN
%s
#include <Python.h>
static PyObject *launch(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"launch", launch, METH_VARARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "stub", NULL, -1, methods};
PyMODINIT_FUNC PyInit_stub(void) { return PyModule_Create(&module); }
"""


def run(image: Image) -> Figures:
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        _fail("neither CC nor gcc nor clang")
    headers = _cuda_headers(image)
    Path("stub.c").write_text(SOURCE % ("#include <cuda.h>" if headers else ""), encoding="utf-8")
    library = Path("stub" + str(sysconfig.get_config_var("EXT_SUFFIX"))).absolute()
    include = sysconfig.get_paths(scheme="posix_prefix")["include"]
    folders = [f"-I{folder}" for folder in (*headers, ".", include)]
    # The command of triton/runtime/build.py, less -lcuda: the driver comes with the node.
    done = subprocess.run(
        [str(compiler), "stub.c", "-O3", "-shared", "-fPIC", "-o", str(library), *folders],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        _fail(shorten(done.stderr))
    spec = importlib.util.spec_from_file_location("stub", library)
    if spec is None or spec.loader is None:
        raise RuntimeError("no loader for " + str(library))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.launch() != 42:
        _fail(f"the stub returned {module.launch()}")
    return {"compiler": compiler, "cuda_headers": bool(headers)}


def _cuda_headers(image: Image) -> list[str]:
    """Where triton keeps its cuda.h; it moved between versions."""
    return [str(path.parent) for path in sorted(image.site.glob("triton/**/include/cuda.h"))[:1]]


def _fail(found: str) -> None:
    raise Failure(
        found=found,
        expected="a C extension builds and imports",
        because="the compiler or Python.h is missing",
        fix="keep the feature compile: gcc and Python's headers",
        on_gpu="torch._dynamo.exc.BackendCompilerFailed at the first compiled step",
    )


CHECK = Check(
    "compile-triton-stub",
    "cpu",
    run,
    covers=("triton", "setuptools"),
    applies=lambda image: "compile" in image.features,
)
