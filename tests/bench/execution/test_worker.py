"""What a run's process says of an exception."""

from __future__ import annotations

import errno

import pytest
import torch

from bench.execution.worker import out_of_memory
from methods import MethodError
from methods.peft_method import refusing

GPU = [
    "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA driver error: out of memory",
    "MPS backend out of memory (MPS allocated: 7.93 GiB, max allowed: 9.07 GiB)",
]
CPU = [
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
    "unable to mmap 511 bytes from file <model.safetensors>: Cannot allocate memory (12)",
]
ACCELERATOR = getattr(torch, "AcceleratorError", RuntimeError)
"""torch's own type for what the driver says; it came with 2.8."""


def _accelerator(said: str) -> Exception:
    try:
        return ACCELERATOR(said)
    except TypeError:  # torch makes it with the driver's code
        return ACCELERATOR(said, 2)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        _accelerator(GPU[0]),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        *map(RuntimeError, GPU + CPU),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:60],
)
def test_each_way_to_be_out_of_memory_is_one(error: Exception) -> None:
    assert out_of_memory(error)


def test_a_method_that_ran_out_of_memory_did_not_refuse_the_model() -> None:
    with pytest.raises(MethodError) as told, refusing("lora can't tune it"):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert out_of_memory(told.value)


@pytest.mark.parametrize(
    "error",
    [
        _accelerator("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        ValueError("the style 'out of memory' has no test passages"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=str,
)
def test_another_failure_is_none(error: Exception) -> None:
    assert not out_of_memory(error)
