import json

import pytest

from msbreg_tf.distributed.cluster import Cluster, read_cluster


def tf_config(cluster, **task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def slurm(**changes):
    return {
        "SLURM_STEP_NODELIST": "n[9-10],gpu-a",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
        "SLURM_PROCID": "2",
        "SLURM_NODEID": "1",
        "SLURM_JOB_ID": "40123",
    } | changes


TWO = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_tf_config_names_the_workers_and_goes_before_slurm(strategy):
    environment = tf_config(TWO, type="worker", index=1) | slurm()
    assert read_cluster(strategy, environment) == Cluster(("a:1", "b:2"), 1)


def test_a_chief_comes_before_the_workers():
    cluster = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    addresses = ("c:3", "a:1", "b:2")
    for job, index, place in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        environment = tf_config(cluster, type=job, index=index)
        assert read_cluster("auto", environment) == Cluster(addresses, place)


def test_who_trains_alone():
    several = tf_config(TWO, type="worker", index=1)
    assert read_cluster("one", several) == read_cluster("mirrored", several) == Cluster()
    assert read_cluster("auto", slurm()) == Cluster()  # tasks may be runs of their own
    assert read_cluster("multi_worker", tf_config({})) == Cluster()
    assert len(read_cluster("auto", tf_config({"worker": ["a:1"]})).addresses) == 1


def test_slurm_ranks_have_the_addresses_of_their_own_nodes():
    """n10 after n9, as Slurm counts, not as names sort; two jobs on a node have other ports."""
    addresses = ("n9:12123", "n9:12124", "n10:12123", "n10:12124", "gpu-a:12123")
    for rank, node in enumerate((0, 0, 1, 1, 2)):
        environment = slurm(SLURM_PROCID=str(rank), SLURM_NODEID=str(node))
        assert read_cluster("multi_worker", environment) == Cluster(addresses, rank)
    other = read_cluster("multi_worker", slurm(SLURM_JOB_ID="40125"))
    assert not set(other.addresses) & set(addresses)


def test_slurm_host_lists():
    environment = slurm(
        SLURM_STEP_NODELIST="r1-n[08-10,12],login,x[1-2]-ib",
        SLURM_STEP_TASKS_PER_NODE="1(x7)",
        SLURM_PROCID="4",
        SLURM_NODEID="4",
    )
    hosts = [a.split(":")[0] for a in read_cluster("multi_worker", environment).addresses]
    assert hosts == ["r1-n08", "r1-n09", "r1-n10", "r1-n12", "login", "x1-ib", "x2-ib"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, ["--strategy=multi_worker", "TF_CONFIG", "srun"]),
        ({"TF_CONFIG": "{cluster"}, ["TF_CONFIG='{cluster'", "Expected JSON"]),
        ({"TF_CONFIG": '["a:1"]'}, ["TF_CONFIG", "Expected JSON"]),
        (tf_config(TWO, type="worker", index=2), ["worker 2", "2 of 'worker'"]),
        (tf_config(TWO, type="chief", index=0), ["chief 0"]),
        (tf_config({**TWO, "ps": ["c:3"]}, type="ps", index=0), ["'ps'"]),
        (tf_config({"worker": ["a", "b:2"]}, type="worker", index=0), ["'a'", "host:port"]),
        (tf_config({"worker": ["a:1", "a:1"]}, type="worker", index=0), ["a:1, a:1"]),
        (slurm(SLURM_NODEID="2"), ["rank 2", "--distribution=block"]),
        (slurm(SLURM_STEP_TASKS_PER_NODE="two"), ["'two'", "srun"]),
        ({"SLURM_PROCID": "0"}, ["SLURM_STEP_NODELIST", "srun"]),
    ],
)
def test_what_makes_no_sense_is_one_line(environment, words):
    with pytest.raises(ValueError, match=r".") as error:
        read_cluster("multi_worker", environment)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)
