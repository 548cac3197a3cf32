"""All checks, in the order in which they are started. One file each; adding a check is adding a file and a line here.
Within a stage the slow ones come first, so that two workers end together."""

from __future__ import annotations

import sys
from dataclasses import replace

from ..check import Check, Image
from . import (
    bytecode,
    caches_writable,
    clip_model,
    compile_cpu,
    compile_triton_stub,
    compiled_ops,
    cuda_libraries,
    cuda_tag,
    deepspeed_config,
    deepspeed_zero2,
    env,
    expects,
    ffmpeg,
    git_commit,
    gpu_architectures,
    gpu_basic,
    image_formats,
    imports,
    init_process,
    jupyter_server,
    leftovers,
    nvdec,
    own_model,
    pillow_simd,
    pip_check,
    preflight,
    rdma,
    read_only,
    read_video,
    replaced,
    shared_memory,
    ssh_login,
    tensorboard_log,
    timm_model,
    tiny_transformer,
    training,
    user,
    versions,
    video,
    video_llm,
)

ALL: tuple[Check, ...] = (
    # static
    imports.CHECK,
    versions.CHECK,
    cuda_tag.CHECK,
    gpu_architectures.CHECK,
    cuda_libraries.CHECK,
    bytecode.CHECK,
    pip_check.CHECK,
    replaced.CHECK,
    pillow_simd.CHECK,
    user.CHECK,
    env.CHECK,
    read_only.CHECK,
    caches_writable.CHECK,
    leftovers.CHECK,
    init_process.CHECK,
    preflight.CHECK,
    rdma.CHECK,
    ssh_login.HOST_KEYS,
    expects.CHECK,
    # cpu
    own_model.CHECK,
    deepspeed_zero2.CPU,
    deepspeed_config.JIT,
    compile_cpu.CHECK,
    video_llm.CHECK,
    deepspeed_config.CHECK,
    compiled_ops.CHECK,
    clip_model.CHECK,
    tiny_transformer.CHECK,
    timm_model.CHECK,
    training.CHECK,
    ffmpeg.CHECK,
    nvdec.CHECK,
    *video.CHECKS,
    *read_video.CHECKS,
    image_formats.CHECK,
    compile_triton_stub.CHECK,
    jupyter_server.CHECK,
    tensorboard_log.CHECK,
    ssh_login.CHECK,
    git_commit.CHECK,
    shared_memory.CHECK,
    # gpu
    *gpu_basic.CHECKS,
    nvdec.ON_GPU,
    video_llm.ON_GPU,
    deepspeed_config.ON_GPU,
    deepspeed_zero2.ON_GPU,
)


def of(image: Image) -> list[Check]:
    """The checks that this image's claims call for, each with its `about`."""
    return [replace(check, about=check.about or about(check)) for check in ALL if check.applies(image)]


def about(check: Check) -> str:
    """The docstring of the file that a check is in, on one line."""
    return " ".join((sys.modules[check.run.__module__].__doc__ or "").split())
