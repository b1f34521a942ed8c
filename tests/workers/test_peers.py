"""TF_CONFIG, read and refused; workers that wait for each other and miss each other. No TensorFlow here."""

import json
import socket
import threading
import time
from contextlib import closing

import pytest

from mirada.errors import MiradaError
from mirada.workers.peers import Cluster, PeerWatch, helper_overrides, meet, read_cluster, refuse_cluster
from tests.servers import free_ports

WORKERS = {"worker": ["a:1", "b:2"]}


def tf_config(cluster, **task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster} | ({"task": task} if task else {}))}


def test_a_worker_knows_the_others_and_itself():
    cluster = read_cluster(tf_config(WORKERS, type="worker", index=1))
    assert cluster == Cluster(("a:1", "b:2"), 1) and cluster.workers == 2 and not cluster.is_chief
    assert cluster.name(0) == "worker 0 (a:1)"


def test_a_chief_of_its_own_job_comes_first():
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    assert read_cluster(tf_config(jobs, type="worker", index=1)) == Cluster(("c:3", "a:1", "b:2"), 2)
    assert read_cluster(tf_config(jobs, type="chief", index="0")).is_chief


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": " "}, {"TF_CONFIG": "{}"}])
def test_without_workers_there_is_no_cluster(environment):
    assert read_cluster(environment) is None
    assert read_cluster(tf_config({"worker": ["a:1"]}, type="worker", index=0)) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "TF_CONFIG is no JSON .*: write it like"),
        ("[1]", "cluster must be an object"),
        ('{"cluster": 3}', "cluster must be an object"),
        (json.dumps({"cluster": WORKERS}), "TF_CONFIG has no task with type and index"),
        (json.dumps({"cluster": WORKERS, "task": {"type": "worker"}}), "has no task with type and index"),
        (
            json.dumps({"cluster": WORKERS, "task": {"type": "chief", "index": 0}}),
            "task.type is 'chief', but cluster has only",
        ),
        (
            json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}),
            "task.index must be 0 to 1, .* got 2",
        ),
        (
            json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": -1}}),
            "task.index must be 0 to 1, .* got -1",
        ),
        (json.dumps({"cluster": {"worker": ["a"]}}), 'must list host:port of each worker, got "a"'),
        (json.dumps({"cluster": {"worker": ["a:99999"]}}), 'must list host:port of each worker, got "a:99999"'),
        (json.dumps({"cluster": {"worker": ["a:1", "a:1"]}}), "names an address twice"),
        (json.dumps({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}), "may have chief and worker, got ps"),
    ],
)
def test_a_broken_tf_config_is_one_sentence(text, sentence):
    with pytest.raises(MiradaError, match=sentence) as caught:
        read_cluster({"TF_CONFIG": text})
    assert "\n" not in str(caught.value)


def test_workers_meet_whoever_comes_first():
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    left: list[int] = []

    def come(index):
        time.sleep(0.2 * index)
        meet(Cluster(addresses, index), 20)
        with closing(socket.create_server(("127.0.0.1", int(addresses[index].rpartition(":")[2])))):
            left.append(index)  # from here on TensorFlow's server listens
            while len(left) < 3:
                time.sleep(0.01)
            time.sleep(0.3)

    threads = [threading.Thread(target=come, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(left) == [0, 1, 2]


def test_a_worker_that_does_not_come_is_named_in_time():
    mine, other = free_ports(2)
    told: list[str] = []
    started = time.monotonic()
    with pytest.raises(MiradaError, match=rf"worker 1 \(127.0.0.1:{other}\) did not come within 2.3 s"):
        meet(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), 2.3, told.append)
    assert time.monotonic() - started < 6
    assert told == [f"waiting for worker 1 (127.0.0.1:{other}), at most 2.3 s"]


def test_two_workers_of_one_index_are_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MiradaError, match=rf"this is worker 0 \(127.0.0.1:{port}\), but its port can't be used"):
            meet(Cluster((f"127.0.0.1:{port}", "127.0.0.1:1"), 0), 1)


@pytest.mark.slow
def test_the_watch_names_who_is_gone():
    server = socket.create_server(("127.0.0.1", 0))
    mine, other = free_ports(1)[0], server.getsockname()[1]
    lost = threading.Event()
    watch = PeerWatch(Cluster((f"127.0.0.1:{mine}", f"127.0.0.1:{other}"), 0), 60, lambda sentence: lost.set())
    assert not lost.wait(2.5)  # it was seen twice by now
    server.close()
    assert lost.wait(8)
    assert watch.explain().startswith(f"worker 1 (127.0.0.1:{other}) does not answer any more")
    watch.end()


def test_a_helper_keeps_hydra_from_writing(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert helper_overrides(["train.py"]) == []
    for index, expected in ((0, []), (1, ["hydra.output_subdir=null"])):
        monkeypatch.setenv("TF_CONFIG", tf_config(WORKERS, type="worker", index=index)["TF_CONFIG"])
        assert helper_overrides(["train.py"])[1:2] == expected
        with pytest.raises(MiradaError, match="A sweep .* can't run over the workers"):
            helper_overrides(["train.py", "-m", "epochs=1,2"])
        with pytest.raises(MiradaError, match="experiment does not run over workers"):
            refuse_cluster("experiment")
