"""The user's own weights do not load, or say nothing about a video, in an image that is fine with everybody else's."""

from __future__ import annotations

import importlib
import json
import os
import resource
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import clips, families, gpu
from ..check import Check, Failure, Figures, Image, progress, shorten
from ..readers import READERS, Reader
from . import video_llm

FRAMES, TOKENS = 8, 8
QUESTION = "What happens in this video?"


def run(image: Image) -> Figures:
    folder = image.model
    assert folder is not None  # it applies only then
    try:
        return told(image, folder, architecture(folder))
    except Failure:
        raise
    except Exception as error:  # whatever the stack raises here it would raise in a job
        traceback.print_exc()
        raise Failure(
            found=shorten(f"{type(error).__name__}: {error}"),
            expected=f"the model in {folder} loads and answers about a video",
            because="its files are not complete, or this transformers does not fit the one that wrote them",
            fix="the traceback is on stderr; config.json says which transformers wrote it",
        ) from error


def architecture(folder: Path) -> str:
    """The class that config.json names; empty where it names a type of model only, which transformers can look up."""
    config = folder / "config.json"
    try:
        found = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise no_model(folder, f"{config}: {error}") from error
    if not isinstance(found, dict) or not found.get("model_type"):
        raise no_model(folder, f"{config} names no model_type")
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if not weights:
        raise no_model(folder, f"{folder} holds no weights: no *.safetensors and no *.bin")
    closed = [file for file in weights if not os.access(file, os.R_OK)]
    if closed:  # safetensors says of such a file that it is not there
        raise Failure(
            found=f"{closed[0]} cannot be read by user {os.geteuid()}",
            expected="weights that every user can read, as the checks run as one of their own",
            fix=f"chmod -R a+rX {folder}",
        )
    # Qwen2-VL as transformers 4.52 to 4.57 write it has its class in the part about text
    text = found.get("text_config")
    names = found.get("architectures") or (text.get("architectures") if isinstance(text, dict) else None) or [""]
    return str(names[0])


def no_model(folder: Path, found: str) -> Failure:
    return Failure(
        found=shorten(found),
        expected="a folder as save_pretrained writes it: config.json, weights, tokenizer and processor",
        because="another folder was meant, it was not mounted, or a download is not complete",
        fix="--model FOLDER, the one that holds config.json",
    )


def told(image: Image, folder: Path, name: str) -> Figures:
    import torch

    transformers = importlib.import_module("transformers")
    device = "cpu" if gpu.here().absent else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise Failure(
            found=f"torch sees no GPU, the driver has {', '.join(gpu.here().names)}",
            expected="the model runs on the GPU that is here, and not on the CPU in silence",
            because="the driver is older than this torch needs",
        )
    progress("decoding")
    frames = video(image)
    progress(f"loading the processor of {folder}")
    processor = transformers.AutoProcessor.from_pretrained(str(folder), local_files_only=True)
    if not {"tokenizer", "video_processor", "image_processor"} & set(vars(processor)):
        raise Failure(
            found=f"{type(processor).__name__} in {folder} reads text only",
            expected="the processor of a model that sees",
            because="it is a text model, or preprocessor_config.json is missing",
        )
    progress(f"loading the weights of {folder}")
    model = loaded(transformers, folder, name).to(device).eval()
    if device == "cpu" and model.dtype == torch.float16:
        model = model.float()  # half of torch's operators have no float16 on a CPU
    inputs = families.batch(processor, [prompt(processor, model)], [frames], device, model.dtype)
    progress("running the model")
    with torch.inference_mode():
        video_llm.finite(torch, video_llm.logits(model, inputs))
        started = time.monotonic()
        answer = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        seconds = time.monotonic() - started
    if not 0 < len(answer) <= TOKENS:
        raise Failure(found=f"{len(answer)} tokens generated", expected=f"1 to {TOKENS}")
    figures: Figures = {
        "architecture": type(model).__name__,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": device,
        "frames": len(frames),
        "prompt": inputs["input_ids"].shape[1],
        "tokens": len(answer),
        "tokens_per_second": round(len(answer) / seconds, 2),
        "text": shorten(processor.tokenizer.decode(answer, skip_special_tokens=True), 80),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    return figures | ({"peak_gpu_mb": torch.cuda.max_memory_allocated() // 2**20} if device == "cuda" else {})


def loaded(transformers: Any, folder: Path, name: str) -> Any:
    kinds = (name,) if name else ("AutoModelForImageTextToText", "AutoModelForVision2Seq")
    kind = next((getattr(transformers, kind) for kind in kinds if hasattr(transformers, kind)), None)
    if kind is None:
        raise Failure(
            found=f"transformers {transformers.__version__} has no {' and no '.join(kinds)}",
            expected=f"the class that {folder / 'config.json'} names",
            because="the model is newer than this transformers, or brings code of its own",
            fix="a transformers that has it; code that comes with weights is not run here",
        )
    dtype = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
    return kind.from_pretrained(str(folder), local_files_only=True, **{dtype: "auto"})


def prompt(processor: Any, model: Any) -> str:
    if getattr(processor, "chat_template", None):
        content = [{"type": "video"}, {"type": "text", "text": QUESTION}]
        asked = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return str(asked)
    for family in families.FAMILIES.values():
        if family.architecture == type(model).__name__:
            return family.prompt(QUESTION)
    raise Failure(
        found=f"{type(processor).__name__} has no chat template, and {type(model).__name__} is no known family",
        expected=f"a chat template, or one of {', '.join(families.FAMILIES)}",
        fix="save the processor with its chat template",
    )


def video(image: Image) -> Any:
    """Frames out of the user's clip, evenly, or of one that is made here."""
    import numpy

    names = (image.expects.get("read") or {}).get("h264") or [name for name in READERS if there(image, READERS[name])]
    if not names:
        raise Failure(found="no video reader in this image", expected=f"one of {', '.join(READERS)}")
    reader, clip = READERS[names[0]], image.clip or clips.make("h264")
    try:
        count = sum(1 for _ in reader.all(clip))
        pictures = list(picked(reader.all(clip), count))
    except Exception as error:  # each reader has errors of its own
        raise Failure(
            found=shorten(f"{reader.name} on {clip}: {type(error).__name__}: {error}"),
            expected="a video",
            because="there is no such file, it is broken, or its codec is one that this reader has not",
            fix="--clip FILE, one that can be played",
        ) from error
    if not pictures:
        raise Failure(found=f"{reader.name} finds no frames in {clip}", expected="a video")
    return numpy.stack(pictures)


def picked(pictures: Iterable[Any], count: int) -> Iterable[Any]:
    """So many as a model gets, out of so many; only those are held in memory. A short clip gives some twice."""
    wanted = [number * count // FRAMES for number in range(FRAMES)]
    for number, picture in enumerate(pictures):
        for _ in range(wanted.count(number)):
            yield picture


def there(image: Image, reader: Reader) -> bool:
    own = reader.covers if reader.name == "opencv" else reader.covers[:1]
    return any(image.has(name) for name in own)


CHECK = Check(
    "own-model",
    "cpu",
    run,
    covers=video_llm.COVERS,
    applies=lambda image: image.model is not None,
    limit=600,
)
