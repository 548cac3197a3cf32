"""What articles about PyTorch images claim, asked as their readers would ask it. Most of the claims are wrong."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from imagekit.cli.compat import command

YES, NO = 0, 3


def check(line: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, ["check", *line.split()])
    assert done.exit_code in (YES, NO), done.output
    return done.exit_code, done.output


@pytest.mark.parametrize(("claim", "line", "code", "words"), [
    ("torch 2.7.0 pairs with torchvision 0.18.0", "--torch 2.7.0 --torchvision 0.18.0", NO,
     ["torch 2.7.0 goes with torchvision 0.22.0", "torchvision 0.18.0 goes with torch 2.3.0"]),
    ("torch 2.7.0 has cu121 wheels", "--torch 2.7.0 --cuda cu121", NO,
     ["built as cu118, cu126 (the one on PyPI), cu128", "cu121 wheels exist from torch 2.1.0 to 2.5.1"]),
    ("torch 2.9 depends on CUDA 11.8", "--torch 2.9 --cuda 11.8", NO, ["cu118 wheels exist from torch 2.0.0 to 2.7.1"]),
    ("torch 2.9 depends on CUDA 12.1", "--torch 2.9 --cuda 12.1", NO, ["cu128 (the one on PyPI)"]),
    ("pytorch/pytorch:2.9-cuda11.7-cudnn8-runtime exists", "--base pytorch/pytorch:2.9-cuda11.7-cudnn8-runtime", NO,
     ["2.9.1-cuda12.8-cudnn9-runtime"]),
    ("CUDA 11.8 needs driver 520", "--cuda 11.8 --driver 510.47.03", YES, ["from 450.80.02", "came with 520.61.05"]),
    ("torch 2.1.0, torchvision 0.16.0, CUDA 11.8, cuDNN 8.6", "--torch 2.1.0 --torchvision 0.16.0 --cuda 11.8", YES,
     ["brings cuDNN 8.7.0.84"]),
    ("an RTX 3090 has compute capability 8.9", "--gpu 3090 --torch 2.4.1", YES, ["GeForce RTX 3090 (sm_86)"]),
    ("an A100 needs driver 460.32.03", "--gpu A100 --driver 450.80.02 --cuda 11.8", YES, ["A100 (sm_80)"]),
    ("a V100 has only lower limits", "--gpu V100 --cuda 13.0", NO, ["compiled for sm_75"]),
    ("a V100 with a new driver", "--gpu V100 --driver 595.45.04", NO, ["branch 580 is its last"]),
    ("torch 2.0 needs CUDA 11.7 or 11.8", "--torch 2.0 --cuda 11.7", YES, ["the one on PyPI"]),
    ("torch 2.0 needs CUDA 11.7 or 11.8", "--torch 2.0 --cuda 12.1", NO, ["built as cu117 (the one on PyPI), cu118"]),
    ("an H100 runs torch 2.0 as PyPI has it", "--torch 2.0 --cuda 11.7 --gpu H100", NO, ["--torch 2.0.1 --cuda 11.8"]),
    ("deepspeed 0.9.5 works with torch 2.1.0", "--torch 2.1.0 --package deepspeed==0.9.5", YES,
     ["predates torch 2.1", "torch 1.13.1 + CUDA 11.6", "async_io"]),
    ("deepspeed 0.9.5 works with torch 2.4", "--torch 2.4 --package deepspeed==0.9.5", NO, ["deepspeed-torch-2.4"]),
    ("transformers 4.30.0 does LoRA", "--torch 2.1.0 --package transformers==4.30.0", YES, ["in the package peft"]),
    ("NCCL 2.12.12 is bundled", "--torch 2.4.1 --cuda 12.1", YES, ["NCCL 2.20.5"]),
    ("pillow-simd decodes faster", "--package pillow-simd==9.5.0.post2", YES, ["not the decoding of JPEG or PNG"]),
    ("pytorch/pytorch:2.7.0-cuda11.8-cudnn8-runtime exists", "--base pytorch/pytorch:2.7.0-cuda11.8-cudnn8-runtime", NO,
     ["has cuDNN 9.1.0.70", "--base pytorch/pytorch:2.7.0-cuda11.8-cudnn9-runtime"]),
])  # fmt: skip
def test_a_claim(claim: str, line: str, code: int, words: list[str]) -> None:
    answered, text = check(line)
    assert answered == code, (claim, text)
    for word in words:
        assert word in text, (claim, word, text)


@pytest.mark.parametrize(
    "version",
    ["2.8.0-cuda12.4-cudnn9-devel", "2.4.1-cuda12.1-cudnn8-runtime", "latest", "2.12.0-cuda12.8-cudnn9-runtime"],
)
def test_tags_that_are_in_public_files_and_in_no_registry(version: str) -> None:
    assert check(f"--base pytorch/pytorch:{version}")[0] == NO


@pytest.mark.parametrize("version", [
    "2.1.0-cuda12.1-cudnn8-devel", "2.4.1-cuda12.1-cudnn9-runtime", "2.6.0-cuda11.8-cudnn9-runtime",
    "2.7.1-cuda12.8-cudnn9-runtime", "2.9.0-cuda12.8-cudnn9-runtime", "2.10.0-cuda13.0-cudnn9-devel", "2.13.0-cuda13.2-cudnn9-runtime",
])  # fmt: skip
def test_tags_that_were_seen(version: str) -> None:
    code, text = check(f"--base pytorch/pytorch:{version}")
    assert code == YES and "no registry was asked" in text
