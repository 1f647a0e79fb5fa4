"""Which processes train together, and which of them this one is, from the launcher's variables.

Nothing here imports TensorFlow.
"""

import dataclasses
import json
import re
from collections.abc import Mapping

# Of Slurm jobs: below the ports that systems give to outgoing connections, and apart for two jobs
# that meet on one machine.
_FIRST_PORT, _PORTS = 12000, 20000


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
      addresses: "host:port" of every worker; the first one is the chief.
      index: this process's place among them.
    """

    addresses: tuple[str, ...] = ("localhost:0",)
    index: int = 0


def read_cluster(strategy: str, environment: Mapping[str, str]) -> Cluster:
    """The cluster that `--strategy` asks for.

    `multi_worker` takes TF_CONFIG, or else Slurm's variables; `auto` takes TF_CONFIG if it is set;
    the others train alone.

    Raises:
      ValueError: `multi_worker` without either, or one of them that makes no sense.
    """
    if strategy not in ("auto", "multi_worker"):
        return Cluster()
    if text := environment.get("TF_CONFIG", "").strip():
        return _from_tf_config(text)
    if strategy == "auto":
        return Cluster()
    if "SLURM_PROCID" in environment:
        return _from_slurm(environment)
    raise ValueError(
        "--strategy=multi_worker: neither TF_CONFIG nor Slurm's variables are set, so the other "
        'workers are unknown. Set TF_CONFIG, for example \'{"cluster": {"worker": ["a:2222", '
        '"b:2222"]}, "task": {"type": "worker", "index": 0}}\', or start with srun.'
    )


def _from_tf_config(text: str) -> Cluster:
    try:
        content = json.loads(text)
        jobs = {name: list(hosts) for name, hosts in content.get("cluster", {}).items()}
        task = content.get("task", {})
        job, index = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"TF_CONFIG={text!r}: not understood ({error}). Expected JSON such as "
            '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}.'
        ) from error
    if not any(jobs.values()):
        return Cluster()
    if unknown := sorted(jobs.keys() - {"chief", "worker"}):
        raise ValueError(
            f"TF_CONFIG: its cluster has '{unknown[0]}', and training knows only workers and at "
            "most one chief. Remove it."
        )
    chiefs, workers = jobs.get("chief", []), jobs.get("worker", [])
    addresses = chiefs + workers
    for address in addresses:
        if not re.fullmatch(r".+:\d+", str(address)):
            raise ValueError(f"TF_CONFIG: '{address}' is no address. Expected host:port.")
    if len(set(addresses)) < len(addresses) or len(chiefs) > 1:
        raise ValueError(
            f"TF_CONFIG: {', '.join(addresses)} are not one address for each worker, with at most "
            "one chief. Give each its own."
        )
    if not 0 <= index < len(jobs.get(job, [])):
        raise ValueError(
            f"TF_CONFIG: task {job} {index} is not in its cluster, which has "
            f"{', '.join(f'{len(hosts)} of {name!r}' for name, hosts in jobs.items())}; indices "
            "start at 0."
        )
    return Cluster(tuple(addresses), index + (len(chiefs) if job == "worker" else 0))


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    """Addresses in the order of Slurm's ranks.

    TensorFlow's SlurmClusterResolver sorts hosts by name, so that n10 comes before n2 and ranks get
    each other's addresses, and asks nvidia-smi for GPUs, which fails without.
    """
    try:
        hosts = _expand_hosts(environment["SLURM_STEP_NODELIST"])
        counts = _expand_counts(environment["SLURM_STEP_TASKS_PER_NODE"])
        rank, job = int(environment["SLURM_PROCID"]), int(environment["SLURM_JOB_ID"])
        node = int(environment["SLURM_NODEID"])
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"--strategy=multi_worker: Slurm's variables are not understood ({error!r}). Start the "
            "workers with srun, or set TF_CONFIG, which goes before them."
        ) from error
    port = _FIRST_PORT + job % _PORTS
    places = [(i, local) for i, count in enumerate(counts) for local in range(count)]
    if len(hosts) != len(counts) or rank >= len(places) or places[rank][0] != node:
        raise ValueError(
            f"--strategy=multi_worker: Slurm's rank {rank} runs on node {node}, not where ranks "
            "filled node by node would put it. Add --distribution=block to srun, or set TF_CONFIG."
        )
    return Cluster(tuple(f"{hosts[i]}:{port + local}" for i, local in places), rank)


def _expand_hosts(text: str) -> list[str]:
    """'n[1-2,07],m' → ['n1', 'n2', 'n07', 'm']."""
    hosts = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        match = re.fullmatch(r"([^\[\]]*)(?:\[([^\[\]]+)\])?([^\[\]]*)", part)
        if match is None:
            raise ValueError(f"{part!r} in the list of nodes")
        before, numbers, after = match.groups()
        hosts += [before + n + after for n in _expand_numbers(numbers)] if numbers else [part]
    return hosts


def _expand_numbers(text: str) -> list[str]:
    """'1-2,07' → ['1', '2', '07']; the width of the first number is kept."""
    expanded = []
    for span in text.split(","):
        low, _, high = span.partition("-")
        expanded += [str(n).zfill(len(low)) for n in range(int(low), int(high or low) + 1)]
    return expanded


def _expand_counts(text: str) -> list[int]:
    """'2(x3),1' → [2, 2, 2, 1]."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise ValueError(f"{part!r} in the tasks per node")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts
