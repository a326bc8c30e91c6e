import pytest
import tensorflow as tf

from sagan_tf.distribution.memory_errors import explain_memory_errors
from sagan_tf.errors import UserError

FULL_GPU = [
    tf.errors.NotFoundError(None, None, "No algorithm worked!  Error messages: ... [Op:Conv2D]"),
    tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    tf.errors.UnknownError(None, None, "CUDNN_STATUS_ALLOC_FAILED in cudnnCreate"),
    RuntimeError("cudaGetDevice() failed. Status: out of memory"),
    tf.errors.ResourceExhaustedError(None, None, "CUBLAS_STATUS_ALLOC_FAILED"),
]
TOO_LITTLE = [
    tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,4] and type float"),
    MemoryError(),
]
OTHERS = [
    tf.errors.NotFoundError(None, None, "no such file"),
    tf.errors.ResourceExhaustedError(None, None, "a queue is full"),
    RuntimeError("another reason"),
    UserError("seed: expected 0 or more, received -1"),
]


@pytest.mark.parametrize("error", FULL_GPU, ids=str)
def test_full_gpu_is_a_user_error_with_advice(error: Exception):
    expected = pytest.raises(UserError, match=r"^sampling: .*lower --columns; .*CUDA_VISIBLE_DEVICES")
    with expected as caught, explain_memory_errors("sampling", "lower --columns"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", TOO_LITTLE, ids=repr)
def test_too_little_memory_is_a_user_error_with_advice(error: Exception):
    @explain_memory_errors("sampling", "lower --columns")
    def compute() -> None:
        raise error

    for _ in range(2):  # The decorated function can be called again.
        with pytest.raises(UserError, match=r"^sampling: .*lower --columns$") as caught:
            compute()
        assert isinstance(error, MemoryError) or "8 x 4" in str(caught.value)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_are_not_changed(error: Exception):
    with pytest.raises(type(error)) as caught, explain_memory_errors("sampling", "lower --columns"):
        raise error
    assert caught.value is error
