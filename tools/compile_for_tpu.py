"""Compilation of StableHLO modules for a TPU without a TPU, and the memory that they take; needs JAX and libtpu.

    python tools/lower_training.py updates DIR --flagfile=configs/imagenet.cfg --num_classes=1000
    python compile_for_tpu.py DIR/discriminator.mlir DIR/generator.mlir

The modules are compiled for one chip of a topology. `pip install "jax[tpu]==0.10.2"` installs what this program needs,
in an environment of its own: libtpu fits only one version of JAX, and other versions of JAX may lack internal functions
that are used here. The program prints a JSON object for each module, with the seconds that its compilation took and, in
bytes, the memory of its parameters, results and temporary values. Results that replace a parameter (`aliased`) take no
additional memory.
"""

from __future__ import annotations

import argparse  # This file is used without sagan_tf, in an environment that has JAX and no absl or TensorFlow.
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

_ENVIRONMENT = {
    # The compiler asks the metadata server of a TPU VM for missing values, for minutes if there is no server.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "JAX_PLATFORMS": "cpu",
}
_MEMORY_ATTRIBUTES = {
    "parameters": "argument_size_in_bytes",
    "results": "output_size_in_bytes",
    "aliased": "alias_size_in_bytes",
    "temporary": "temp_size_in_bytes",
    "code": "generated_code_size_in_bytes",
}
# RuntimeError: errors of the compiler, such as too little memory. AttributeError: a different version of JAX.
_EXPECTED_ERRORS = (ImportError, AttributeError, OSError, LookupError, TypeError, ValueError, RuntimeError)


def compile_module(text: str, topology_name: str) -> dict[str, Any]:
    """Compile a module for one chip.

    Args:
        text: StableHLO module.
        topology_name: TPU topology, such as `v5e:2x2`.

    Returns:
        The kind of chip, the seconds that compilation took, memory in bytes by purpose, and the floating-point
        operations of a call.
    """
    import numpy as np
    from jax._src import compiler  # JAX has no public function that compiles a module
    from jax._src.interpreters import mlir
    from jax._src.lib import xla_client
    from jax._src.lib.mlir import ir
    from jax.experimental import topologies

    device = topologies.get_topology_desc(platform="tpu", topology_name=topology_name).devices[0]
    with mlir.make_ir_context():
        module = ir.Module.parse(replace_copies(text))
    options = compiler.get_compile_options(
        num_replicas=1, num_partitions=1, device_assignment=np.array([[device.id]], np.int64)
    )
    start = time.perf_counter()
    executable = device.client.compile(module, xla_client.DeviceList((device,)), options)
    seconds = time.perf_counter() - start
    memory = executable.get_compiled_memory_stats()
    costs = executable.cost_analysis()
    return {
        "device": device.device_kind,
        "seconds": round(seconds, 1),
        **{name: getattr(memory, attribute) for name, attribute in _MEMORY_ATTRIBUTES.items()},
        "operations": (costs[0] if isinstance(costs, list) else costs).get("flops"),
    }


def replace_copies(module: str) -> str:
    """Return a module without `mhlo.copy`, which is not part of StableHLO."""
    return re.sub(r"mhlo\.copy (%\S+) : (tensor<\S+>)", r"stablehlo.reshape \1 : (\2) -> \2", module)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("modules", type=Path, nargs="+", metavar="FILE", help="a StableHLO module")
    parser.add_argument("--topology", default="v5e:2x2", help="TPU topology; default: v5e:2x2, which is four chips")
    options = parser.parse_args(arguments)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for path in options.modules:
        try:
            result = compile_module(path.read_bytes().decode(), options.topology)
        except _EXPECTED_ERRORS as error:
            hint = '; install "jax[tpu]==0.10.2"' if isinstance(error, ImportError | AttributeError) else ""
            print(f"compile_for_tpu.py: error: {path}: {' '.join(str(error).splitlines())}{hint}", file=sys.stderr)
            return 2
        print(json.dumps({"module": str(path), "topology": options.topology, **result}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
