"""A real SLURM of one node, started by hand on loopback; it needs root, and Debian's slurm-wlm and munge."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why SLURM cannot be started here; '' where it can."""
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "SLURM by hand needs root"


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Run munged, slurmctld and slurmd with everything in *folder*; SLURM_CONF leads commands there."""
    host = socket.gethostname().partition(".")[0]
    controller, node = free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, controller=controller, node=node))
    os.environ["SLURM_CONF"] = str(configuration)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    folder.chmod(0o755)
    names = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    names |= {"log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}
    munged = ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in names.items())]
    commands = [munged, ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", host]]
    processes = []
    try:
        for number, command in enumerate(commands):
            with open(folder / f"{command[0]}.out", "wb") as out:
                processes.append(subprocess.Popen(command, stdout=out, stderr=out))
            if number == 0:
                wait_for(lambda: (folder / "munge.socket").exists(), folder)
        wait_for(lambda: " idle" in text_of("sinfo", "--noheader", "--format= %t"), folder)
        yield
    finally:
        text_of("scancel", "--user", "root")
        time.sleep(0.5)
        for process in reversed(processes):
            process.terminate()
            process.wait()
        os.environ.pop("SLURM_CONF")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def text_of(*command: str) -> str:
    """What a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def wait_for(condition, folder: Path, seconds: float = 30) -> None:
    """Wait until *condition* holds; else show the logs in *folder*."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            logs = [*folder.glob("*.log"), *folder.glob("*.out")]
            raise TimeoutError("\n".join(f"{log.name}: {log.read_text()[-800:]}" for log in logs))
        time.sleep(0.2)
