"""The known errors: each is found in a text of the field, none in its look-alikes, and the page is their data."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path

import pytest
import troubleshooting_page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit import cli
from imagekit.diagnose import find, load, text
from imagekit.diagnose.model import Fault
from imagekit.errors import Error

DOCS = Path(__file__).parents[2] / "docs"
FAULTS = load.faults()
IDS = [fault.id for fault in FAULTS]
PATTERNS = [(fault.id, pattern) for fault in FAULTS for pattern in fault.patterns]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The YAML files alone, to be damaged."""
    for path in load.DATA.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def ids(text: str) -> list[str]:
    return [finding.fault.id for finding in find.find(text.splitlines())]


# Texts


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_its_example_is_recognised_first(fault: Fault) -> None:
    assert ids(fault.example)[:1] == [fault.id]


MORE = [
    ("no-kernel-image", "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
    ("driver-too-old", "RuntimeError: cuda runtime error (35) : CUDA driver version is insufficient for CUDA runtime version at THCGeneral.cpp:51"),
    ("torch-without-cuda", 'raise AssertionError("Torch not compiled with CUDA enabled")'),
    ("no-gpu-visible", "AssertionError:\nFound no NVIDIA driver on your system. Please check that you"),
    ("no-gpu-visible", "RuntimeError: No CUDA GPUs are available"),
    ("no-gpu-visible", ">>> torch.cuda.is_available()\nFalse"),
    ("no-gpu-visible", "torch.cuda.is_available() returns False"),
    ("no-gpu-visible", "PyTorch 2.4.1, CUDA available: False"),
    ("no-gpu-runtime", 'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]'),
    ("nvidia-require-cuda", "nvidia-container-cli: requirement error: unsatisfied condition: cuda >= 9.0"),
    ("nvml-mismatch", "nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown."),
    ("fabric-manager", "CUDA error at bandwidthTest.cu:256 code=802(cudaErrorSystemNotReady)"),
    ("gpu-busy", "CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    ("ptx-toolchain", "Search for `cudaErrorUnsupportedPtxVersion' in the CUDA manual"),
    ("cuda-out-of-memory", "RuntimeError: CUDA out of memory. Tried to allocate 12.50 MiB (GPU 0; 10.92 GiB total capacity)"),
    ("shared-memory", "RuntimeError: DataLoader worker (pid 46794) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit."),
    ("worker-killed", "RuntimeError: DataLoader worker (pid 8102) is killed by signal: Terminated."),
    ("worker-died", "RuntimeError: DataLoader worker (pid(s) 9740, 9741) exited unexpectedly"),
    ("out-of-memory-killed", "ERROR: process \"/bin/sh -c pip install flash-attn\" did not complete successfully: exit code: 137"),
    ("out-of-memory-killed", "The command '/bin/sh -c make' returned a non-zero code: 137"),
    ("out-of-memory-killed", "Process finished with exit code 137 (interrupted by signal 9: SIGKILL)"),
    ("too-many-files", "OSError: [Errno 24] Too many open files: '/data/train/0001.jpg'"),
    ("nccl-shared-memory", "include/shm.h:28 NCCL WARN Call to posix_fallocate failed : No space left on device"),
    ("nccl-shared-memory", "misc/shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-UbzKZ9 to 9637892 bytes"),
    ("rdma-memlock", "misc/ibvwrap.cc:190 NCCL WARN Call to ibv_create_cq failed with error Cannot allocate memory"),
    ("rdma-memlock", "ERROR mlx5_0: ibv_create_cq() failed: Cannot allocate memory"),
    ("nccl-system-error", "NCCL_ERROR_SYSTEM_ERROR: unhandled system error (run with NCCL_DEBUG=INFO for details)"),
    ("nccl-no-infiniband", "lmdeploy-7666548865-hbpt4:1:112 [1] NCCL INFO Failed to open libibverbs.so[.1]"),
    ("cudnn-not-found", "ImportError: libcudnn.so.8: cannot open shared object file: No such file or directory"),
    ("cudnn-version", "RuntimeError: cuDNN version mismatch: PyTorch was compiled against 7102 but linked against 7600"),
    ("extension-for-another-torch", "flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: _ZN2at4_ops5zeros4callEN3c108ArrayRef"),
    ("cuda-library-mixed", "ImportError: torch/lib/libtorch_cuda.so: undefined symbol: ncclCommRegister"),
    ("torchvision-operators", "RuntimeError: No such operator torchvision::nms"),
    ("torchvision-operators", "NotImplementedError: Could not run 'torchvision::nms' with arguments from the 'CUDA' backend."),
    ("numpy-abi", "UserWarning: Failed to initialize NumPy: _ARRAY_API not found"),
    ("numpy-abi", "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from PyObject"),
    ("numpy-abi", "RuntimeError: Numpy is not available"),
    ("glibcxx", "ImportError: /lib64/libstdc++.so.6: version `CXXABI_1.3.13' not found"),
    ("libgl", "bot_1  | ImportError: libgthread-2.0.so.0: cannot open shared object file: No such file or directory"),
    ("libnvcuvid", 'dlopen "libnvcuvid.so" failed!'),
    ("libnvcuvid", "[h264_cuvid @ 0x55] Cannot load libnvcuvid.so.1"),
    ("libcuda", "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: cannot open shared object file: No such file or directory"),
    ("pkg-resources", "ImportError: cannot import name 'packaging' from 'pkg_resources' (/usr/lib/python3/dist-packages/pkg_resources/__init__.py)"),
    ("no-compiler", "torch._inductor.exc.InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')"),
    ("cuda-home", "[WARNING] CUDA_HOME does not exist, unable to compile CUDA op(s)"),
    ("recompile-limit", "torch._dynamo hit config.cache_size_limit (8)"),
    ("uid-not-found", "OSError: No username set in the environment"),
    ("cache-not-writable", "There was a problem when trying to write in your cache folder (/nonexistent/.cache/huggingface/hub)."),
    ("cache-not-writable", "Error: [Errno 13] Permission denied: '/cache/huggingface/hub/models--x'"),
    ("threads", "curl: (6) getaddrinfo() thread failed to start"),
    ("threads", "OS can't spawn a new worker thread: Operation not permitted"),
    ("exec-format", 'standard_init_linux.go:211: exec user process caused "exec format error"'),
    ("docker-not-running", "Couldn't connect to Docker daemon at http+unix://var/run/docker.sock - is it running?"),
    ("registry-certificate", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    ("manifest-unknown", "docker: Error response from daemon: manifest for kaixhin/cuda-torch:latest not found."),
    ("pull-denied", "denied: requested access to the resource is denied"),
    ("pull-rate-limit", "Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit."),
    ("immutable-tag", "unexpected status from HEAD request to https://registry.example/v2/x/manifests/sha256:1: 412 Precondition Failed"),
    ("no-space", "OSError: [Errno 28] No space left on device"),
    ("untrusted-certificate", "  Caused by: invalid peer certificate: UnknownIssuer"),
    ("untrusted-certificate", "curl: (60) SSL certificate problem: unable to get local issuer certificate"),
    ("index-login", "ERROR: HTTP error 401 Client Error: Unauthorized for url: https://index.example/simple/"),
    ("hash-mismatch", "error: Hash mismatch for `six==1.17.0`"),
    ("no-version-fits", "ERROR: Could not find a version that satisfies the requirement torch==1.7 (from versions: 2.0.0)"),
    ("name-resolution", "W: Failed to fetch: Temporary failure resolving 'deb.example'"),
    ("name-resolution", "curl: (6) Could not resolve host: index.example"),
    ("apt-package", "E: Unable to locate package icecast2"),
    ("no-gpu-visible", "RuntimeError: cuda runtime error (38) : no CUDA-capable device is detected at THCGeneral.cpp:50"),
    ("cudnn-not-found", "Could not load dynamic library 'libcudnn.so.8'; dlerror: libcudnn.so.8: cannot open shared object file"),
    ("module-not-found", "ImportError: No module named torch"),
    ("recompile-limit", "FailOnRecompileLimitHit: Hard failure due to fullgraph=True"),
    ("out-of-memory-killed", "[ 4412.1] Out of memory: Killed process 2219 (cicc) total-vm:9203044kB"),
    ("registry-certificate", "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"),
    ("pull-denied", "server message: insufficient_scope: authorization failed"),
    ("immutable-tag", "TAG_INVALID: The image tag '1' already exists in the 'x' repository and cannot be overwritten because the tag is immutable."),
    ("untrusted-certificate", "fatal: unable to access 'https://git.example/x/': server certificate verification failed. CAfile: none"),
    ("name-resolution", "[Errno -2] Name or service not known"),
    ("name-resolution", "dns error: failed to lookup address information: Try again"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), MORE, ids=[f"{name}-{text[:20]}" for name, text in MORE])
def test_its_other_wordings_are_recognised_first(name: str, text: str) -> None:
    assert ids(text)[:1] == [name]


@pytest.mark.parametrize("text", [
    "cuda-out-of-memory is what we test",
    "epoch 3: loss 0.137, exit code: 1",
    "step 1370 of 2000, code 13700",
    "Requirement already satisfied: pkg_resources in /opt/venv",
    "imagekit: no GPU visible; going on with the CPU",
    "torch.cuda.is_available() -> True",
    "lmdeploy:1:1 [0] NCCL INFO NET/Plugin: Plugin load returned 2 : libnccl-net.so: cannot open shared object file: No such file or directory",
    "NCCL INFO NET/IB : Using [0]mlx5_0:1/IB [RO]; OOB eth0:172.25.30.42<0>",
    "BrokenPipeError: [Errno 32] Broken pipe",
    "    print(line)\nBrokenPipeError: [Errno 32] Broken pipe",
    "version GLIBC_2.34 is what this wheel was built for",
    "Successfully installed torchvision-0.19.1",
    "/opt/lib/libfoo.so: undefined symbol: foo_bar",
    "HTTP/1.1 200 OK, 401 ms",
    "container exited with code 0",
    "the tag is moved, the immutable name is new",
    "no space in the name of a tag",
    "Setting the cache size limit to 8",
    "Using the pull rate of 100 images",
    "FAILED tests/test_x.py::test_y - AssertionError: assert 1 == 2",
])  # fmt: skip
def test_a_look_alike_is_not_recognised(text: str) -> None:
    assert ids(text) == []


def test_every_wording_has_a_text_that_it_is_found_in() -> None:
    """A pattern that nothing here matches could be dead."""
    texts = [fault.example for fault in FAULTS] + [text for _, text in MORE]
    lines = [line for text in texts for line in text.splitlines()]
    dead = [(id, p) for id, p in PATTERNS if not any(re.search(p, line, re.IGNORECASE) for line in lines)]
    assert {pattern for _, pattern in dead} <= NAMES


NAMES = {
    "cudaErrorNoKernelImageForDevice", "cudaErrorInvalidDeviceFunction", "cudaErrorInsufficientDriver",
    "cudaErrorIllegalAddress", r"cudaErrorAssert\b", "CUDA_ERROR_SYSTEM_NOT_READY", "CUDA_ERROR_OUT_OF_MEMORY",
    r"\bENOSPC\b",
}  # fmt: skip
"""Patterns that are the name of an error as its library spells it, and match nothing else."""


@pytest.mark.parametrize("pattern", sorted({pattern for _, pattern in PATTERNS}))
def test_what_matches_has_the_words_that_are_looked_for_first(pattern: str) -> None:
    words = find.literal(pattern).lower()
    assert len(words) >= 4, "looked for in every line of a long log"

    @settings(max_examples=10, suppress_health_check=list(HealthCheck), database=None)
    @given(st.from_regex(re.compile(pattern, re.ASCII)))
    def has_them(text: str) -> None:
        assert words in text.lower()

    has_them()


@pytest.mark.parametrize(
    "pattern", sorted({pattern for _, pattern in PATTERNS} | {text._LOGIN.pattern, text._SECRET.pattern})
)
def test_no_pattern_begins_with_a_repetition(pattern: str) -> None:
    """It would be tried from every character of a long line to its end."""
    first = r"(?:\\.|\[[^\]]*\]|[^\\\[])"
    assert not re.search(rf"(?:^|\|)(?:\((?:\?:)?)*{first}[*+]", pattern)


# Rows


def test_there_are_at_least_thirty() -> None:
    assert len(FAULTS) >= 30 and len(set(IDS)) == len(IDS)


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_a_row_is_whole(fault: Fault) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fault.id) and fault.patterns
    for said in (fault.title, fault.cause, fault.check, fault.fix, fault.docs):
        assert said.strip() == said != ""
    assert fault.title.isascii() and len(fault.title) <= 75 and not fault.title.endswith(".")
    assert fault.cause.endswith(".") and fault.fix[-1] in ".:e1h", fault.fix
    assert fault.sources and all(source.startswith(("https://", "http://")) for source in fault.sources)


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_a_row_leads_to_a_heading_that_is_there(fault: Fault) -> None:
    page, _, anchor = fault.docs.partition("#")
    headings = re.findall(r"^#+ (.*)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert anchor in anchors, sorted(anchors)


@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_a_row_names_verbs_and_options_that_are_there(fault: Fault) -> None:
    verbs = {verb for group in cli.GROUPS.values() for verb in group}
    told = " ".join((fault.cause, fault.check, fault.fix))
    named = set(re.findall(r"\bimagekit ([a-z]+)(?= [A-Z-]|[,;:)]| says| test| check| on th| shows| names)", told))
    assert {verb for verb in named if verb not in ("run", "adds")} <= verbs, named
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for verb, options in re.findall(r"imagekit ([a-z]+(?: check)?)((?: PROFILE| IMAGE| --[a-z-]+(?: [A-Z]+)?)+)", told):
        section = text.partition(f"### {verb}\n")[2].partition("\n### ")[0]
        for option in re.findall(r"--[a-z-]+", options):
            assert option in section, (verb, option)


def test_no_host_of_a_package_index_is_named() -> None:
    hosts = re.compile(r"(?:\b|\.)(?:pypi|pythonhosted|debian|npmjs|ubuntu)\.(?:org|com)\b")
    for path in [*load.DATA.glob("*.yaml"), DOCS / "troubleshooting.md"]:
        assert not hosts.search(path.read_text(encoding="utf-8")), path.name


def test_what_hides_another_hides_all_that_it_hides_and_never_itself() -> None:
    hides = {fault.id: set(fault.hides) for fault in FAULTS}
    for id, hidden in hides.items():
        assert id not in hidden
        for other in hidden:
            assert hides[other] <= hidden, (id, other)


def test_the_page_is_what_the_data_say() -> None:
    page = troubleshooting_page.page()
    assert troubleshooting_page.FILE.read_text(encoding="utf-8") == page, "make golden writes docs/troubleshooting.md"
    assert all(f"\n### {id}\n" in page for id in IDS)


# Loading


def test_the_compiled_errors_are_the_same(folder: Path) -> None:
    text = load.compile_json(folder)
    assert text == load.compile_json(folder)
    (folder / "errors.json").write_text(text, encoding="utf-8")
    for path in folder.glob("*.yaml"):
        path.unlink()
    assert load.read(folder) == FAULTS


def test_a_changed_yaml_file_wins_over_older_compiled_errors(folder: Path) -> None:
    compiled = folder / "errors.json"
    compiled.write_text(load.compile_json(folder), encoding="utf-8")
    path = folder / "gpu.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("id: gpu-busy", "id: gpu-bisy"), encoding="utf-8")
    os.utime(compiled, (1, 1))
    assert "gpu-bisy" in [fault.id for fault in load.read(folder)]
    os.utime(compiled, (2**32, 2**32))
    assert "gpu-busy" in [fault.id for fault in load.read(folder)]


@pytest.mark.parametrize(("file", "old", "new", "says"), [
    ("gpu", "    title: torch sees no GPU\n", "", "gpu.yaml: no-gpu-visible: title is missing"),
    ("gpu", "    title: torch sees no GPU\n", "    title: 3\n", "gpu.yaml: no-gpu-visible: title: 3 is no str"),
    ("gpu", "hides: [no-gpu-visible]", "hidden: [x]", "unknown field hidden"),
    ("gpu", "hides: [no-gpu-visible]", "hides: [nothing]", "driver-too-old hides nothing, which is not there"),
    ("gpu", "- invalid device function", "- invalid (device", "'invalid (device' is no regular expression"),
    ("gpu", "- invalid device function", "- {a: b}", "patterns: {'a': 'b'} is no text"),
    ("gpu", "id: gpu-busy", "id: glibc", "glibc is there twice"),
    ("gpu", "group: GPU and driver", "groups: x", "gpu.yaml: not the two keys group and errors"),
    ("gpu", "  - id: gpu-busy\n", "  -\n", "gpu.yaml: a row without an id: id is missing"),
    ("gpu", "errors:", "errors:\n  - x", "gpu.yaml: 'x': a row is a mapping"),
    ("gpu", "errors:", "errors: [", "gpu.yaml cannot be read"),
])  # fmt: skip
def test_damage_is_named_with_its_row(folder: Path, file: str, old: str, new: str, says: str) -> None:
    path = folder / f"{file}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Error, match=re.escape(says)):
        load.compile_json(folder)


def test_a_file_whose_errors_are_no_list_is_named(folder: Path) -> None:
    (folder / "gpu.yaml").write_text("group: x\nerrors: 3\n", encoding="utf-8")
    with pytest.raises(Error, match=r"gpu\.yaml: errors is no list"):
        load.compile_json(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"id": "x"}]', "7"])
def test_damaged_compiled_errors_are_named(folder: Path, text: str) -> None:
    compiled = folder / "errors.json"
    compiled.write_text(text, encoding="utf-8")
    os.utime(compiled, (2**32, 2**32))
    with pytest.raises(Error, match=r"errors\.json"):
        load.read(folder)


def test_a_row_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FAULTS[0].id = "x"  # type: ignore[misc]
