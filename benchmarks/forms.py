"""Forms of the same computation, timed in turns on one thread, in processor time.

    python benchmarks/forms.py

Least and median milliseconds of forward and backward.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planet_torch.convolutions import Convolution, TransposedConvolution
from planet_torch.memory import keep_freed_memory
from planet_torch.networks import ConvDecoder, ConvEncoder

CPU = {"width": 16, "activation": "elu", "norm": "layer"}  # of the preset cpu
Form = Callable[[], Tensor]


def compare(title: str, forms: dict[str, Form], rounds: int) -> None:
    """Print a row for each form."""
    print(f"\n{title}\n\n| form | least ms | median ms |\n| --- | --- | --- |")
    spans: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds + 1):
        for name, form in forms.items():
            start = time.process_time()
            form().backward()
            spans[name].append(time.process_time() - start)
    for name, (_, *times) in spans.items():  # the first warms up
        least, median = 1e3 * min(times), 1e3 * float(np.median(times))
        print(f"| {name} | {least:.1f} | {median:.1f} |", flush=True)


def with_default_memory(form: Form) -> Form:
    """The form where freed memory goes back to the system."""

    def run() -> Tensor:
        library = ctypes.CDLL(None)
        for parameter in (-1, -3):  # as malloc begins
            library.mallopt(parameter, 2**17)
        return form()

    return run


def with_kept_memory(form: Form) -> Form:
    """The form where freed memory is kept."""

    def run() -> Tensor:
        keep_freed_memory()
        return form()

    return run


def cast(form: Form, dtype: torch.dtype) -> Form:
    """The form with products of ``dtype``."""

    def run() -> Tensor:
        with torch.autocast("cpu", dtype, dtype != torch.float32):
            return form()

    return run


def plain(decoder: ConvDecoder) -> nn.Sequential:
    """The layers of a decoder, with the transposed convolutions of torch."""
    layers: list[nn.Module] = [decoder.dense]
    layers.append(nn.Unflatten(-1, (decoder.dense.out_features, 1, 1)))
    for layer in decoder.layers:
        if isinstance(layer, TransposedConvolution):
            sizes = layer.in_channels, layer.out_channels, layer.kernel_size
            layer = nn.ConvTranspose2d(*sizes, stride=2)
        layers.append(layer)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def compare_last_convolution(
    title: str, channels: int, count: int, dtype: torch.dtype
) -> None:
    """The last layer of an encoder, from 6 x 6 pixels to 2 x 2."""
    layer = Convolution(channels, 2 * channels, 4).to(memory_format=torch.channels_last)
    x = torch.randn(count, channels, 6, 6).to(memory_format=torch.channels_last)
    x.requires_grad_()
    forms: dict[str, Form] = {
        "nn.Conv2d": lambda: F.conv2d(x, layer.weight, layer.bias, stride=2).sum(),
        "Convolution": lambda: layer(x).sum(),
    }
    forms = {name: cast(form, dtype) for name, form in forms.items()}
    compare(f"Last convolution of the preset {title}, {count} pictures", forms, 20)


def main() -> None:
    """Compare them all."""
    torch.set_num_threads(1)
    small = ConvEncoder((3, 32, 32), **CPU)
    images = torch.randn(320, 3, 32, 32)
    encode = lambda: small(images).sum()  # noqa: E731
    forms = {
        "memory given back": with_default_memory(encode),
        "memory kept": with_kept_memory(encode),
    }
    compare("Encoder of the preset cpu, 320 pictures", forms, 20)
    keep_freed_memory()
    paper = ConvDecoder(230, (3, 64, 64))
    for title, decoder, count, dtype in (
        ("cpu", ConvDecoder(158, (3, 32, 32), **CPU), 64, torch.float32),
        ("paper", paper, 500, torch.float32),
        ("paper in bfloat16", paper, 500, torch.bfloat16),
    ):
        features = torch.randn(count, decoder.dense.in_features)
        decoders = {
            "nn.ConvTranspose2d": plain(decoder),
            "TransposedConvolution": decoder,
        }
        forms = {
            name: cast(lambda d=d, f=features: d(f).sum(), dtype)
            for name, d in decoders.items()
        }
        compare(f"Decoder of the preset {title}, {count} pictures", forms, 7)
    for title, channels, count, dtype in (
        ("cpu", 32, 320, torch.float32),
        ("paper", 128, 500, torch.float32),
        ("paper in bfloat16", 128, 500, torch.bfloat16),
    ):
        compare_last_convolution(title, channels, count, dtype)
    large, images = ConvEncoder((3, 64, 64)), torch.randn(1000, 3, 64, 64)
    slices = {
        f"slices of {n}": lambda n=n: torch.cat(
            [large(s) for s in images.split(n)]
        ).sum()
        for n in (100, 250, 500, 1000)
    }
    compare("Encoder of the preset paper, 1,000 pictures", slices, 3)


if __name__ == "__main__":
    main()
