"""Through a router every read sees the events of its own connection, whichever replica it goes to."""

import pytest

import annex
from annex import encode
from cluster import Cluster
from cluster_network import Loopback


@pytest.mark.parametrize("ack", ["replica", "log"])
def test_reads_see_what_their_connection_wrote(folder, indexes, catalogues, tmp_path, fact, ack):
    ids, stale, reads = catalogues["ip-hnsw"].ids, 0, 0
    with Loopback() as network, Cluster(indexes["ip-hnsw"], tmp_path / "cluster", network, shards=2, replicas=2, ack=ack) as cluster:
        for protocol in (2, 3):
            with cluster.router.connect() as c, cluster.router.connect() as pipelined:
                c.call("HELLO", str(protocol))
                for n in range(annex.setting("ANNEX_OWN_WRITES", 150)):
                    user, item = f"own-{ack}-{protocol}-{n % 9}", ids[n]
                    assert c.call("EVENT", user, item) == "OK"
                    # Several, so that each replica is asked.
                    for _ in range(3):
                        reads += 1
                        stale += c.call("SEEN", user, "COUNT", 1) != [item.encode()]
                    pipelined.send(encode("EVENT", f"p{user}", item) + encode("SEEN", f"p{user}", "COUNT", 1) * 2)
                    assert pipelined.read() == "OK"
                    for _ in range(2):
                        reads += 1
                        stale += pipelined.read() != [item.encode()]
                # Of several users in one answer as well: what they have is left out, whichever replica answers.
                for n in range(30):
                    pair = catalogues["ip-hnsw"].user_ids[n % 3 * 4:n % 3 * 4 + 4]
                    for one in pair:
                        assert c.call("EVENT", one, ids[n]) == "OK"
                    reads += 1
                    stale += any(ids[n].encode() in answer for answer in c.call("MTOPK", len(pair), *pair, len(ids) - 200))
                assert c.call("FORGET", user) == 1 and c.call("SEEN", user) == []
                assert c.call("EVENT", user, ids[0]) == "OK" and c.call("EVENT.DEL", user, ids[0]) == 1
                assert all(c.call("SEEN", user) == [] for _ in range(4))
        with cluster.router.connect() as c:
            # Who asks for positions gets them, as from a shard.
            assert c.call("CLIENT", "CAPA", "position") == "OK"
            done, position = c.call("EVENT", "asks", ids[1])
            assert done == "OK" and position.split(b":")[0] == b"ip-hnsw"
            assert c.call("WAITPOS", "asks", position) == "OK"
        asked = []
        for node in cluster.replicas:
            with node.connect() as d:
                asked.append(d.call("INFO", "commandstats").decode().count("cmdstat_seen"))
    assert stale == 0, f"{stale} of {reads} reads did not see the event before them"
    assert sum(asked) == 4, "some replica was never asked: the test says too little"
    fact(f"--ack {ack}: {reads} reads through a router behind their own events, on 4 replicas, 0 stale")
