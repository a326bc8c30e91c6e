"""A Slurm cluster on this machine, with three nodes, two of which have names that cannot be resolved."""

import contextlib
import getpass
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator

from tests.workers import find_free_ports

NODES = ("n9", "n10", "localhost")
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo")
_CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/controller.pid
SlurmdPidFile={directory}/node-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
KillWait=5
SlurmdParameters=config_overrides
NodeName=n[9-10] NodeHostname=elsewhere NodeAddr=127.0.0.1 Port=[{n9},{n10}] {size}
NodeName=localhost NodeAddr=127.0.0.1 Port={localhost} {size}
PartitionName=all Nodes=ALL Default=YES State=UP
"""
_SIZE = "CPUs=64 RealMemory=200000 Gres=gpu:4"


def find_missing_programs() -> list[str]:
    """Return the programs of Slurm that are not installed.

    Debian's packages slurmctld, slurmd and slurm-client contain them.
    """
    return [program for program in _PROGRAMS if shutil.which(program) is None]


@contextlib.contextmanager
def slurm_cluster(directory: pathlib.Path) -> Iterator[dict[str, str]]:
    """Start the controller and the nodes, and yield the environment for Slurm's commands."""
    _configure(directory)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    environment = variables | {"SLURM_CONF": str(directory / "slurm.conf")}
    commands = [["slurmctld", "-D"], *(["slurmd", "-D", "-N", node] for node in NODES)]
    with open(directory / "log", "w", encoding="utf-8") as log:
        daemons = [subprocess.Popen(command, env=environment, stdout=log, stderr=log) for command in commands]
    try:
        _wait_until_idle(environment, directory / "log")
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(timeout=60)


def _configure(directory: pathlib.Path) -> None:
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (directory / name).mkdir()
    for number in range(4):
        (directory / f"gpu{number}").touch()  # Slurm counts these files as GPUs.
    (directory / "gres.conf").write_text(f"Name=gpu File={directory}/gpu[0-3]\n")
    ports = dict(zip(("controller", *NODES), find_free_ports(4), strict=True))
    text = _CONFIGURATION.format(user=getpass.getuser(), directory=directory, size=_SIZE, **ports)
    (directory / "slurm.conf").write_text(text)


def _wait_until_idle(environment: dict[str, str], log: pathlib.Path) -> None:
    for _ in range(150):
        command = ["sinfo", "--noheader", "--Node", "--format=%T"]
        states = subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split()
        if states == ["idle"] * len(NODES):
            return
        time.sleep(0.2)
    raise RuntimeError(f"expected idle nodes, received {states}: {log.read_text(encoding='utf-8')[-4000:]}")
