"""A base image exists under this tag, and holds what its tag says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.version import Version

from .rule import Finding, Rule, Stack

NAME = "image"

_NVIDIA = re.compile(r"nvidia/cuda:(\d+\.\d+)(?:\.\d+)?-(.+)-ubuntu(\d\d\.\d\d)")
_PYTORCH = re.compile(r"pytorch/pytorch:(\d+\.\d+(?:\.\d+)?)-cuda(\d+\.\d+)-cudnn(\d+)-(runtime|devel)")


def judge(stack: Stack) -> Iterator[Finding]:
    if stack.base.startswith("nvidia/cuda:"):
        yield from _nvidia(stack)
    elif stack.base.startswith("pytorch/pytorch:"):
        yield from _pytorch(stack)


def _nvidia(stack: Stack) -> Iterator[Finding]:
    match = _NVIDIA.fullmatch(stack.base)
    if not match:
        form = "tags are X.Y.Z-{base,runtime,devel}-ubuntuNN.NN, with cudnn before the flavour where there is cuDNN"
        yield Finding(NAME, "unknown", f"{stack.base}: {form}", "cuda")
        return
    toolkit = stack.facts.toolkit(match[1])
    tags = [
        tag
        for image in (toolkit.images if toolkit else ())
        for flavour in image.flavours
        for tag in image.tags(flavour)
    ]
    tag = stack.base.partition(":")[2]
    fact = f"cuda/{match[1]}"
    if tag in tags:
        yield Finding(NAME, "yes", f"{stack.base} exists", fact)
    elif toolkit is None:
        text = f"the facts know no CUDA {match[1]}, so no {stack.base}"
        yield Finding(NAME, "no", text, fact, "another --base")
    else:
        near = [name for name in tags if name.endswith(f"-{match[2]}-ubuntu{match[3]}")] or tags
        known = f"; there is {near[-1]}" if near else ""
        yield Finding(NAME, "unknown", f"{stack.base} is not among the tags of the facts{known}", fact)


def _pytorch(stack: Stack) -> Iterator[Finding]:
    """Tags are <torch>-cuda<X.Y>-cudnn<N>-{runtime,devel}: generate_docker_release_matrix.py of pytorch/pytorch makes
    one for each CUDA of a release; the cuDNN is that of the wheel."""
    match = _PYTORCH.fullmatch(stack.base)
    if not match:
        form = "tags are <torch>-cuda<X.Y>-cudnn<N>-{runtime,devel}, with all three numbers of torch"
        yield Finding(NAME, "no", f"{stack.base}: {form}", "torch", "another --base")
        return
    version, cuda, cudnn, flavour = match.groups()
    releases = [row for row in stack.facts.releases if row.version == version or row.version.startswith(f"{version}.")]
    fact = f"torch/{releases[-1].version if releases else version}"
    builds = {variant.cuda: variant for variant in releases[-1].variants if variant.official} if releases else {}
    tags = [
        f"{releases[-1].version}-cuda{build.cuda}-cudnn{Version(build.cudnn).major}-{flavour}"
        for build in builds.values() if build.cudnn
    ]  # fmt: skip
    there = f"; by the same pattern there are {', '.join(tags)}" if tags else ""
    problems = []
    if not releases:
        problems.append(f"the facts know no torch {version}")
    elif releases[-1].version != version:
        problems.append(f"a tag has all three numbers of torch, as {releases[-1].version}")
    if releases and cuda not in builds:
        problems.append(f"torch {version} is not built for CUDA {cuda}")
    elif releases and builds[cuda].cudnn and Version(str(builds[cuda].cudnn)).major != int(cudnn):
        problems.append(f"torch {version} for CUDA {cuda} has cuDNN {builds[cuda].cudnn}")
    if problems:
        near = sorted(tags, key=lambda tag: abs(float(tag.split("-cuda")[1].split("-")[0]) - float(cuda)))
        tip = f"--base pytorch/pytorch:{near[0]}" if near else "another --base"
        yield Finding(NAME, "no", f"{stack.base}: {'; '.join(problems)}{there}", fact, tip)
    else:
        yield Finding(NAME, "note", f"{stack.base} fits the pattern of its tags; no registry was asked", fact)


RULE = Rule(NAME, "The tag of a base image (nvidia/cuda, pytorch/pytorch) is one that there can be.", judge)
