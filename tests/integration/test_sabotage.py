"""Images that are broken in one way each: the check for it finds it, and no check complains for another reason.

The sets are exact. What several checks see is listed with all of them: an edited file is not the wheel's, and if it
was compiled before, its bytecode is stale too.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagekit.engines.docker_api import Engine

TINY, IMAGE = "pytorch:2.4.1-cuda12.1-tiny", "pytorch:2.4.1-cuda12.1-video-llm"
SITE = "/opt/venv/lib/python/site-packages"


def root(*lines: str) -> tuple[str, ...]:
    return ("USER root", *lines, "USER 1000:0")


def pip(*arguments: str) -> tuple[str, ...]:
    mount = "--mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt"
    call = "PIP_CONSTRAINT= PIP_CERT=/etc/ssl/certs/ca-certificates.crt pip install -q --no-cache-dir --no-compile"
    return root(f"RUN {mount} {call} {' '.join(arguments)}")


def edited(file: str, text: str) -> tuple[str, ...]:
    return root(f"RUN echo '{text}' >>{SITE}/{file}")


@dataclass(frozen=True)
class Sabotage:
    name: str
    lines: tuple[str, ...]
    caught: frozenset[str]
    """Exactly the checks that fail."""
    says: str
    """Part of what the first of them in the report says."""
    stage: str = "static"


def case(name: str, lines: tuple[str, ...], caught: str, says: str, stage: str = "static") -> Sabotage:
    return Sabotage(name, lines, frozenset(caught.split()), says, stage)


ON_TINY = (
    case("root", ("USER root",), "user", "USER 1000:0"),
    case("token in history", ("ARG TOKEN=tok-12345678", "RUN : $TOKEN"), "history", "TOKEN"),
    case("label", ('LABEL io.imagekit.cuda="12.4"',), "labels tag", "12.4"),
    case("every GPU", ("ENV NVIDIA_VISIBLE_DEVICES=all",), "env", "NVIDIA_VISIBLE_DEVICES"),
    case("no user name", ("ENV USER= LOGNAME=",), "env user-id", "getpwuid"),
    case("read-only caches", root("RUN chmod -R g-w,o-w /cache"), "caches-writable", "Permission denied"),
    case("open venv", root(f"RUN chmod o+w {SITE}/six.py"), "read-only", "six.py"),
    case("setuid", root("RUN cp /usr/bin/tini /usr/local/bin/up && chmod u+s /usr/local/bin/up"), "setuid",
         "/usr/local/bin/up"),
    case("leaked CA", root("RUN printf -- '-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n'"
                           " >/usr/local/share/ca-certificates/corp.crt"), "no-leftovers", "corp.crt"),
    case("package lists", root("RUN touch /var/lib/apt/lists/x_Packages.lz4"), "no-leftovers", "_Packages"),
    case("edited file", edited("six.py", "EDITED = True"), "installed-files bytecode", "six.py"),
    case("missing file", root(f"RUN rm {SITE}/idna/compat.py"), "installed-files", "idna/compat.py"),
    case("segfault at import", edited("markupsafe/__init__.py", "import ctypes; ctypes.string_at(0)"),
         "installed-files bytecode imports", "import markupsafe"),
)  # fmt: skip

ON_VIDEO_LLM = (
    case("other cuDNN on the path",
         (*root(f"RUN mkdir /opt/acme && cp {SITE}/nvidia/cudnn/lib/libcudnn.so.9 /opt/acme/"),
          "ENV LD_LIBRARY_PATH=/opt/acme"), "cuda-libraries", "/opt/acme/libcudnn.so.9"),
    case("undefined symbol", root(
        "RUN echo 'extern int nowhere(void); int f(void) { return nowhere(); }' >/tmp/x.c"
        f" && gcc -shared -fPIC -o {SITE}/PIL/_imagingmath.cpython-311-x86_64-linux-gnu.so /tmp/x.c && rm /tmp/x.c"),
        "installed-files libraries replaced", "undefined symbol: nowhere"),
    case("torchvision of another torch", pip("--no-deps", "torchvision==0.18.1"), "versions imports libraries pip-check",
         "0.18.1"),
    case("plain pillow", pip("--no-deps", "--force-reinstall", "pillow==12.1.1"),
         "overlapping-files replaced pillow-simd bytecode", "pillow"),
    case("no gcc", root("RUN rm /usr/bin/gcc*"), "compile-triton-stub", "gcc", stage="cpu"),
)  # fmt: skip

IN_ACCEPTANCE = (
    case("second CUDA", root("RUN mkdir -p /usr/local/cuda-12.4/lib64 && touch /usr/local/cuda-12.4/lib64/libcublas.so.12"),
         "one-cuda", "libcublas.so.12"),
    case("CUDA library gone", root(f"RUN rm {SITE}/nvidia/cudnn/lib/libcudnn_ops.so.9"), "installed-files cuda-libraries",
         "libcudnn_ops.so.9"),
    case("torch of the CPU", root(f"RUN sed -i \"s/^cuda:.*/cuda: Optional[str] = None/\" {SITE}/torch/version.py"),
         "installed-files bytecode cuda-tag", "12.1"),
    case("damaged library", root(
        f"RUN dd if=/dev/zero of={SITE}/nvidia/cublas/lib/libcublasLt.so.12 bs=1 seek=200000000 count=64 conv=notrunc"),
        "installed-files", "libcublasLt.so.12"),
    case("library cut short", root(f"RUN truncate -s 100K {SITE}/torchvision/image.so"), "installed-files libraries imports",
         "torchvision/image.so"),
    case("two opencvs", pip("--no-deps", "opencv-python==4.10.0.84"), "overlapping-files bytecode", "opencv"),
    case("missing system library", root("RUN rm /usr/lib/x86_64-linux-gnu/libjpeg.so.62*"),
         "imports pillow-simd", "libjpeg.so.62"),
    case("no ffmpeg", root("RUN rm /usr/bin/ffmpeg"), "ffmpeg nvdec", "ffmpeg", stage="cpu"),
)  # fmt: skip


@pytest.fixture(scope="module")
def image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("video")
    done = subprocess.run(["imagekit", "build", "video-llm"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return IMAGE


def _derived(image: str, folder: Path, *lines: str) -> str:
    name = f"{image}-sabotaged"
    (folder / "Dockerfile").write_text("\n".join([f"FROM {image}", *lines]) + "\n")
    ca = os.environ.get("SSL_CERT_FILE", "")
    secret = [f"--secret=id=ca,src={ca}"] if ca else []
    call = ["docker", "buildx", "build", "-q", "--load", "-t", name, *secret, str(folder)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return name


@pytest.fixture
def derive(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Build an image FROM another one out of Dockerfile lines; its name."""
    made = []

    def make(image: str, *lines: str) -> str:
        made.append(_derived(image, tmp_path, *lines))
        return made[-1]

    yield make
    subprocess.run(["docker", "rmi", "-f", *made], capture_output=True, check=False)


def failing(image: str, *options: str) -> dict[str, str]:
    """Check -> all that it says, of those that failed, in the order of the report."""
    call = ["imagekit", "test", image, "--keep-going", "--json", *options]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    rows = json.loads(done.stdout)["checks"]
    bad = {row["check"]: json.dumps(row) for row in rows if row["status"] in ("FAIL", "ERROR")}
    assert done.returncode == (5 if bad else 0), done.stderr
    return bad


def judge(it: Sabotage, derived: str) -> None:
    found = failing(derived, "--stage", it.stage)
    assert found.keys() == it.caught, found
    assert any(it.says in text for text in found.values()), found


@pytest.mark.parametrize("it", ON_TINY, ids=lambda it: it.name)
def test_a_small_image_is_caught(it: Sabotage, built: object, derive: Callable[..., str]) -> None:
    judge(it, derive(TINY, *it.lines))


@pytest.mark.image
@pytest.mark.parametrize("it", ON_VIDEO_LLM, ids=lambda it: it.name)
def test_a_real_image_is_caught(it: Sabotage, image: str, derive: Callable[..., str]) -> None:
    judge(it, derive(image, *it.lines))


@pytest.mark.acceptance
@pytest.mark.parametrize("it", IN_ACCEPTANCE, ids=lambda it: it.name)
def test_a_real_image_is_caught_too(it: Sabotage, image: str, derive: Callable[..., str]) -> None:
    judge(it, derive(image, *it.lines))


def test_the_wrong_tag(built: object) -> None:
    wrong = "pytorch:2.4.1-cuda12.4-tiny-derived"
    subprocess.run(["docker", "tag", TINY, wrong], check=True)
    try:
        assert failing(wrong, "--check", "tag").keys() == {"tag"}
    finally:
        subprocess.run(["docker", "rmi", wrong], capture_output=True, check=True)


def test_what_a_later_layer_hides(built: object, derive: Callable[..., str]) -> None:
    assert failing(TINY, "--check", "layers") == {}
    lines = ("RUN echo 'machine a login b password c' >/root/.netrc", "RUN rm /root/.netrc")
    found = failing(derive(TINY, *root(*lines)), "--stage", "deep")
    assert found.keys() == {"layers"}, found
    assert "/root/.netrc, which a later layer hides" in found["layers"]


@pytest.mark.acceptance
def test_no_layer_of_a_real_image_hides_anything(image: str) -> None:
    assert failing(image, "--check", "layers") == {}


OWN = "/opt/imagekit/checks/team"
EATS = "def check_eats():\\n    held = []\\n    while True: held.append(bytearray(2**26))\\n"
FLOODS = "def check_floods():\\n    while True: print(1000 * str(10**9))\\n"


def test_checks_that_eat_memory_or_flood_the_log_are_one_error_each(built: object, derive: Callable[..., str]) -> None:
    image = derive(TINY, *root(f"RUN mkdir -p {OWN} && printf '{EATS}' >{OWN}/a.py && printf '{FLOODS}' >{OWN}/b.py"))
    found = failing(image, "--stage", "cpu")
    assert found.keys() == {"team/eats", "team/floods"}, found
    assert "SIGKILL (out of memory?)" in found["team/eats"]
    assert "it printed more than 16 MB" in found["team/floods"]


@pytest.mark.image
def test_a_small_shared_memory_is_told_and_how_to_get_more(image: str) -> None:
    call = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        "--shm-size=64m",
        "-e",
        "IMAGEKIT_PREFLIGHT=off",
        "-u",
        "12345:0",
    ]
    program = ["/opt/venv/bin/python", "-B", "/opt/imagekit/smoke", "--check", "loader"]
    done = subprocess.run([*call, image, *program], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout.splitlines()[-1])
    assert (row["check"], row["status"]) == ("loader", "SKIP")
    assert "/dev/shm" in row["reason"] and "--shm-size" in row["reason"]


@pytest.mark.acceptance
def test_an_import_that_hangs(built: object, derive: Callable[..., str]) -> None:
    found = failing(
        derive(TINY, *edited("markupsafe/__init__.py", "import time; time.sleep(10000)")), "--check", "imports"
    )
    assert "no end after 120 s" in found["imports"] and "it was at: import markupsafe" in found["imports"]


@pytest.mark.acceptance
def test_numpy_2_under_a_torch_that_was_compiled_for_numpy_1(
    engine: Engine, derive: Callable[..., str], tmp_path: Path
) -> None:
    """multimodal has torch 2.1; the image stays for the tests that build it."""
    done = subprocess.run(
        ["imagekit", "build", "multimodal"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = failing(derive("pytorch:2.1.0-cuda12.1-multimodal", *pip("--no-deps", "numpy==2.2.6")), "--stage", "static")
    assert found.keys() == {"versions", "imports", "numpy"}, found
    assert "Numpy is not available" in found["numpy"]
