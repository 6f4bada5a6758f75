"""The ONNX Runtime session that `episome.runtime` answers from; this is the only importer of onnxruntime."""

from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from episome.bundle import BundleError
from episome.types import EpisomeError

_LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
# Whatever goes wrong is raised; the same text on stderr as well would only be noise.
_LOG_FATAL = 4


def start(path: Path, provider: str) -> ort.InferenceSession:
    """A session on exactly that provider, with one thread for each run.

    Args:
        path: the graph, an ONNX file.
        provider: name of an execution provider, e.g. ``CPUExecutionProvider``.

    Raises:
        EpisomeError: this installation lacks the provider, or could not start it.
        BundleError: the file is no graph.
    """
    if provider not in ort.get_available_providers():
        there = ", ".join(ort.get_available_providers())
        raise EpisomeError(
            f"{provider} is not in this installation of onnxruntime, which has {there}; "
            "install the extra serve-gpu for a GPU, serve for a CPU"
        )
    ort.set_default_logger_severity(_LOG_FATAL)
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_FATAL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # The fused SkipLayerNormalization is 8-11 % slower on CPUs than Add and LayerNormalization apart.
        session = ort.InferenceSession(
            str(path), options, providers=[provider], disabled_optimizers=["SkipLayerNormFusion"]
        )
    except _LOAD_ERRORS as error:
        raise BundleError(f"{path}: onnxruntime cannot open it: {error}") from error
    if session.get_providers()[0] != provider:
        raise EpisomeError(
            f"{provider} could not be started, onnxruntime offers {session.get_providers()[0]} instead; "
            "check the driver and the CUDA libraries"
        )
    return session
