"""deepspeed's ops: compiled with the image where an nvcc is at hand, for the GPUs of the fleet; otherwise said why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples

from imagekit import built, render
from imagekit.compat import facts
from imagekit.compat.fleet import pools
from imagekit.compat.nodes import Node
from imagekit.compat.resolve import resolve
from imagekit.contract import labels
from imagekit.foundation import Foundation
from imagekit.lock.model import Lock, needs
from imagekit.plan import plan
from imagekit.profile import Wishes, load
from imagekit.resolution import Resolution
from imagekit.site.model import Pool
from imagekit.smoke.check import Failure
from imagekit.smoke.checks import compiled_ops

DEVEL = Foundation(
    id="sha256:1", os="debian", version="12", glibc="2.36", apt=True, pythons={"/usr/bin/python3": "3.11"},
    cuda=("13.0",), nvcc=True,
)  # fmt: skip
LABEL = "io.imagekit.deepspeed-ops"


def resolved(
    torch: str = "2.11", base: str = "", found: Foundation | None = None, fleet: dict[str, str] | None = None
) -> Resolution:  # fmt: skip
    wishes = Wishes(torch=torch, features=("deepspeed",), base=base or None)
    return resolve(load("base"), wishes, look=lambda _: found, nodes=nodes(fleet or {}))


def nodes(fleet: dict[str, str]) -> tuple[Node, ...]:
    return pools({name: Pool(gpu=gpu, driver="580.65.06") for name, gpu in fleet.items()}, facts.load())


def note(r: Resolution) -> str:
    (line,) = [line for line in r.notes if line.startswith("deepspeed's ops")]
    return line


def test_cuda_13_has_its_compiler_on_the_index() -> None:
    r = resolved(fleet={"a": "A100", "h": "NVIDIA H100"})
    (build,) = r.builds
    assert build.ops[0] == "deepspeed.ops.adam.fused_adam_op" and build.architectures == ("sm_80", "sm_90")
    assert build.env["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0" and build.env["DS_BUILD_FUSED_ADAM"] == "1"
    assert build.env["DS_ACCELERATOR"] == "cuda" and build.env["DS_BUILD_OPS"] == "0"
    assert build.cuda_home == "/opt/venv/lib/python/site-packages/nvidia/cu13"
    assert {"nvidia-cuda-nvcc==13.0.*", "nvidia-nvvm==13.0.*", "ninja"} <= set(build.build_requires)
    assert "nvidia-ml-py" in build.requires
    assert "are compiled with the image for sm_80 sm_90, the GPUs of the fleet" in note(r)
    assert r.labels[LABEL] == "prebuilt sm_80 sm_90"


def test_a_base_with_the_toolkit_is_taken_before_the_index() -> None:
    (build,) = resolved(base="image:local/devel:1", found=DEVEL).builds
    assert build.cuda_home == "/usr/local/cuda-13.0" and build.build_requires == ("ninja",) and build.ops


def test_without_a_fleet_they_run_where_torch_does() -> None:
    r = resolved()
    assert r.builds[0].architectures == r.gpu_architectures
    assert r.builds[0].env["TORCH_CUDA_ARCH_LIST"].endswith("10.0;12.0") and "as torch itself" in note(r)


def test_the_pools_of_targets_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text('extends: base\ntorch: "2.11"\nfeatures: [deepspeed]\ntargets: [h]\n')
    r = resolve(load("./mine.yaml"), Wishes(), nodes=nodes({"a": "A100", "h": "H100"}))
    assert r.builds[0].architectures == ("sm_90",)


def test_what_cannot_be_compiled_for_is_said() -> None:
    r = resolved(fleet={"old": "V100", "a": "A100", "what": "Voodoo2"})
    assert r.builds[0].architectures == ("sm_80",)
    assert "what: the facts do not know the GPU 'Voodoo2', so nobody compared" in r.notes
    assert "does not run on old: Tesla V100 (sm_70) has no code in torch 2.11.0+cu130" in "".join(r.notes)
    assert "runs on a (1 node)" in r.notes


@pytest.mark.parametrize(("wish", "why"), [
    ({"torch": "2.4.1"}, "no nvcc 12.1 is at hand; --base cuda:devel has one"),
    ({"fleet": {"old": "V100"}}, "it runs on no pool of the fleet"),
    ({"torch": "2.4.1", "base": "image:local/devel:1", "found": DEVEL},
     "the base's nvcc is of CUDA 13.0, torch's CUDA is 12.1"),
    ({"torch": "2.4.1", "base": "image:debian:bookworm"},
     "the base image is not here, so that nobody knows whether it has an nvcc"),
    ({"torch": "2.6", "base": "distro:trixie"}, "nvcc 12.4 takes gcc <=13, and Debian 13 has 14"),
])  # fmt: skip
def test_otherwise_at_first_use(wish: dict[str, object], why: str) -> None:
    r = resolved(**wish)  # type: ignore[arg-type]
    assert note(r) == f"deepspeed's ops are compiled at first use (JIT), not with the image: {why}"
    assert r.labels[LABEL] == "jit" and not r.builds[0].ops and "DS_BUILD_FUSED_ADAM" not in r.builds[0].env


def test_a_git_source_is_compiled_at_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = "{git: https://git.example/deepspeed.git, ref: main, version: '0.20.0', requires: []}"
    Path("mine.yaml").write_text(
        f'extends: base\ntorch: "2.11"\nfeatures: [deepspeed]\nsources: {{deepspeed: {source}}}\n'
    )
    r = resolve(load("./mine.yaml"), Wishes())
    assert note(r).endswith("it comes from a git repository") and r.labels[LABEL] == "jit"


def test_without_the_feature_nothing_changes() -> None:
    r = resolve(load("base"), Wishes(torch="2.11", packages=("deepspeed",)))
    assert not r.builds[0].ops and LABEL not in r.labels


def the_lock() -> Lock:
    """torch and what it needs, deepspeed from source, and a package of neither."""
    package, torch = samples.package, ("torch",)
    packages = (
        package("deepspeed", "0.19.8", kind="sdist", file="deepspeed-0.19.8.tar.gz", needed_by=("feature deepspeed",)),
        package("mpmath", "1.3.0", needed_by=("sympy",)),
        package("nvidia-cublas", "13.1.0.3", needed_by=torch),
        package("own", "1.0", index="company", needed_by=torch),
        package("pip", "26.3"), package("six", "1.17.0"),
        package("sympy", "1.14.0", needed_by=torch), package("torch", "2.11.0"),
    )  # fmt: skip
    lock = samples.lock("base", Wishes(torch="2.11", features=("deepspeed",)))
    return lock.model_copy(update={"packages": packages, "build_requires": {"deepspeed": lock.tools}})


def test_what_a_package_needs() -> None:
    names = {row.name for row in needs(the_lock().packages, "torch")}
    assert names == {"torch", "sympy", "mpmath", "nvidia-cublas", "own"}


@pytest.mark.parametrize("dialect", ["buildkit", "classic"])
def test_the_stage_has_the_layers_of_torch_and_what_torch_needs_by_hash(dialect: str) -> None:
    context = render.context(the_lock(), dialect=dialect)
    text = context.dockerfile
    stage = text[text.index("AS source-deepspeed") : text.index("AS built-deepspeed")]
    if dialect == "buildkit":
        assert "--mount=type=bind,from=wheels-torch,source=/layer,target=/layers/torch" in stage
        assert "cp -rs /layers/cuda/opt/venv/. /opt/venv/" in stage
    else:
        assert "COPY --from=wheels-cuda /layer/ /\nCOPY --from=wheels-torch /layer/ /\n" in stage
    assert "export CUDA_HOME=/opt/venv/lib/python/site-packages/nvidia/cu13" in stage
    assert "export TORCH_CUDA_ARCH_LIST='7.5;8.0;8.6;9.0;10.0;12.0'" in stage and "libs" not in stage
    assert text.index("AS wheels-torch") < text.index("AS source-deepspeed") < text.index("AS wheels-rest")
    requires = context.files["sources/deepspeed/requires.txt"].content.decode()
    assert [line.split("==")[0] for line in requires.splitlines()] == ["uv", "mpmath", "own", "sympy", "pip"]
    placed = {path.rpartition("/")[2] for path in context.wheels if path.startswith("sources/deepspeed/")}
    assert "own-1.0-py3-none-any.whl" in placed and ("sympy-1.14.0-py3-none-any.whl" in placed) == (
        dialect == "classic"
    )
    assert f'{LABEL}="prebuilt sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"' in text
    assert labels(the_lock())[LABEL].startswith("prebuilt")


def test_a_stage_without_ops_has_no_torch_and_installs_nothing_for_nothing() -> None:
    lock = the_lock()
    plain = lock.resolution.builds[0].model_copy(update={"ops": (), "architectures": (), "cuda_home": ""})
    text = render.context(
        lock.model_copy(update={"resolution": lock.resolution.model_copy(update={"builds": (plain,)})})
    ).dockerfile
    stage = text[text.index("AS source-deepspeed") : text.index("AS built-deepspeed")]
    assert "wheels-torch" not in stage and "CUDA_HOME" not in stage and "apt-get" not in stage


def test_another_torch_is_another_wheel() -> None:
    old = the_lock()
    packages = tuple(
        row.model_copy(update={"sha256": "0" * 64}) if row.name == "sympy" else row for row in old.packages
    )
    new = old.model_copy(update={"packages": packages})
    one, other = (built.key(lock, lock.packages[0], "imagekit/base:bookworm") for lock in (old, new))
    assert one != other
    units = [{unit.name: unit.key for unit in plan(lock, {}).units} for lock in (old, new)]
    changed = {name for name in units[0] if units[0][name] != units[1][name]}
    assert changed == {"deepspeed 0.19.8", "sympy 1.14.0"}


def test_a_base_of_the_same_name_is_not_the_same_base() -> None:
    lock = the_lock()
    base = lock.resolution.base.model_copy(update={"kind": "image", "name": "local/devel:1"})
    keys = set()
    for number in ("1", "2"):
        found = DEVEL.model_copy(update={"id": f"sha256:{number}"})
        resolution = lock.resolution.model_copy(update={"base": base.model_copy(update={"found": found})})
        keys.add(built.key(lock.model_copy(update={"resolution": resolution}), lock.packages[0], "local/devel:1"))
    assert len(keys) == 2


# The proof


def test_what_is_claimed_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        facts = {"ops": {"an_op": ["sm_80", "sm_90"]}}

    monkeypatch.setattr(compiled_ops, "import_torch", lambda: None)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Failure, match="No module named"):
        compiled_ops.run(Told())  # type: ignore[arg-type]
    (tmp_path / "an_op.py").touch()
    with pytest.raises(Failure, match="has code for no GPU"):
        compiled_ops.run(Told())  # type: ignore[arg-type]
    (tmp_path / "an_op.py").write_bytes(b"#" + samples.fat_binary(80))
    with pytest.raises(Failure, match="has code for sm_80"):
        compiled_ops.run(Told())  # type: ignore[arg-type]
    (tmp_path / "an_op.py").write_bytes(b"#" + samples.fat_binary(80, 90))
    assert compiled_ops.run(Told()) == {"an_op": ["sm_80", "sm_90"]}  # type: ignore[arg-type]
