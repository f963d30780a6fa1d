"""redis-py 8 with both protocols, with its own parser and with hiredis."""

import numpy as np
import pytest
import redis
from redis.exceptions import ResponseError

import annex
from annex import attributes_of


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def client(server, request):
    with redis.Redis(port=server.port, protocol=request.param, socket_timeout=10) as r:
        yield r


def test_connects_and_talks(client):
    assert client.ping() is True
    assert client.echo("hé\r\nllo") == "hé\r\nllo".encode()
    assert client.client_setname("tests") and client.client_getname() in (b"tests", "tests")
    assert client.client_id() > 0
    assert client.dbsize() >= 0


def test_default_protocol_needs_no_option(server):
    with redis.Redis(port=server.port, client_name="plain") as r:
        assert r.ping() and len(r.execute_command("TOPK", "u0", 3, "INDEX", "ip-flat")) == 3


def test_info_and_config(client):
    info = client.info()
    assert "redis_version" in info or "server_version" in info or "annex_version" in info
    assert isinstance(client.info("memory"), dict)
    assert isinstance(client.config_get("*"), dict)
    assert len(client.execute_command("CONFIG", "GET", "save")) in (1, 2)


def test_topk(client, catalogues):
    catalogue = catalogues["ip-flat"]
    answer = client.execute_command("TOPK", "u7", 10, "INDEX", "ip-flat", "TRUTH", "WITHSCORES")
    catalogue.check_exact(annex.pairs(answer), catalogue.user("u7"), 10)


def test_pipeline_keeps_order(client, catalogues):
    catalogue = catalogues["ip-flat"]
    with client.pipeline(transaction=False) as p:
        for user in catalogue.user_ids:
            p.execute_command("TOPK", user, 5, "INDEX", "ip-flat", "TRUTH", "WITHSCORES")
            p.ping()
        answers = p.execute()
    assert all(answers[1::2])
    for user, answer in zip(catalogue.user_ids, answers[::2]):
        catalogue.check_exact(annex.pairs(answer), catalogue.user(user), 5)


def test_vector_set_methods(client, catalogues):
    name, catalogue = "cosine-flat", catalogues["cosine-flat"]
    v, item = client.vset(), catalogue.ids[5]
    query = catalogue.items[5]
    found = v.vsim(name, item, with_scores=True, count=8, truth=True)
    catalogue.check_exact(list(found.items()), query, 8, map_score=lambda s: (1 + s) / 2)
    for given in (query.astype("<f4").tobytes(), [float(x) for x in query]):
        assert list(v.vsim(name, given, with_scores=True, count=8, truth=True)) == list(found)
    both = v.vsim(name, item, with_scores=True, with_attribs=True, count=8, truth=True)
    assert list(both) == list(found)
    assert len(v.vsim(name, item, count=8, ef=100, epsilon=0.9)) <= 8
    np.testing.assert_allclose([float(x) for x in v.vemb(name, item)], query, rtol=1e-5, atol=1e-6)
    assert v.vdim(name) == len(query) and v.vcard(name) == len(catalogue.ids)
    assert len(v.vrandmember(name, 5)) == 5
    assert {k.decode() if isinstance(k, bytes) else k for k in v.vinfo(name)} >= {"vector-dim", "size"}
    attributes = v.vgetattr(name, catalogue.ids[3])
    attributes.setdefault("id", catalogue.ids[3])
    assert attributes == attributes_of(catalogue, catalogue.ids[3])
    assert v.vgetattr(name, catalogue.ids[4]) is None
    links = v.vlinks("cosine-hnsw", catalogues["cosine-hnsw"].ids[0], with_scores=True)
    assert isinstance(links, list) and links


def test_errors_are_response_errors(client):
    with pytest.raises(ResponseError, match="NOUSER"):
        client.execute_command("TOPK", "nobody", 10, "INDEX", "ip-flat")
    with pytest.raises(ResponseError, match="NOINDEX"):
        client.vset().vsim("absent", "x")
    with pytest.raises(ResponseError, match="NOITEM"):
        client.vset().vsim("ip-flat", "no such item")
    assert client.ping()


def test_command_introspection(client):
    table = {str(k).lower(): v for k, v in client.command().items()}
    for name in ("topk", "mtopk", "score", "vsim", "vemb", "ping", "hello", "reload", "indexes", "command"):
        assert name in table, name
    assert client.command_count() == len(table)
    listed = {n.decode() if isinstance(n, bytes) else n for n in client.command_list()}
    assert {n.lower() for n in listed} == set(table)
    topk, vsim, mtopk = table["topk"], table["vsim"], table["mtopk"]
    assert topk["arity"] == -3 and topk["first_key_pos"] == 1 and topk["last_key_pos"] == 1
    assert vsim["arity"] == -4 and vsim["first_key_pos"] == 1
    assert mtopk["arity"] < 0
    assert all(name.count(".") <= 1 for name in table), "redis-py's cluster client takes one dot at most"


def test_getkeys(client):
    def keys(*words):
        return [k.decode() if isinstance(k, bytes) else k for k in client.command_getkeys(*words)]

    assert keys("TOPK", "ann", "10", "INDEX", "x") == ["ann"]
    assert keys("MTOPK", "3", "a", "b", "c", "10", "TRUTH") == ["a", "b", "c"]
    assert keys("SCORE", "ann", "2", "i", "j") == ["ann"]
    assert keys("VSIM", "movies", "ELE", "x") == ["movies"]
    with pytest.raises(ResponseError, match="no key arguments"):
        keys("PING")
    with pytest.raises(ResponseError, match="(?i)invalid"):
        keys("FANCY", "x")
    with pytest.raises(ResponseError, match="(?i)invalid"):
        keys("MTOPK", "9", "a", "1")


def test_command_docs_covers_the_table(server):
    with server.connect() as c:
        names = {n.decode() for n in c.call("COMMAND", "LIST")}
        docs = c.call("COMMAND", "DOCS")
        assert {k.decode() for k in docs[::2]} >= {n for n in names if "|" not in n}
        one = c.call("COMMAND", "DOCS", "TOPK")
        fields = dict(zip(one[1][::2], one[1][1::2]))
        assert fields[b"summary"] and fields[b"arguments"]
        c.call("HELLO", 3)
        three = c.call("COMMAND", "DOCS", "topk", "vsim")
        assert {k.decode() for k, _ in three} == {"topk", "vsim"}
        assert c.call("COMMAND", "INFO", "topk", "nonesuch")[1] is None


def test_every_listed_command_answers_something_legal(fresh, fact):
    """Each command with as many '1' as its arity asks for: a reply or an error, never a closed connection or a hang."""
    with fresh.connect() as c:
        table = c.call("COMMAND")
    asked = 0
    for entry in table:
        name, arity = entry[0].decode(), entry[1]
        if name in ("quit", "shutdown", "monitor"):
            continue
        with fresh.connect(timeout=5) as c:
            c.send(annex.encode(name, *["1"] * (abs(arity) - 1)) + annex.encode("PING"))
            c.read()
            if name == "deadline":  # which has passed, for what comes next
                assert str(c.read()).startswith("TIMEOUT")
                c.send(annex.encode("PING"))
            if name == "multi":  # which keeps what comes next
                assert c.read() == "QUEUED"
                c.send(annex.encode("DISCARD") + annex.encode("PING"))
                assert c.read() == "OK"
            assert c.read() == "PONG", f"{name} upset the replies that follow"
            asked += 1
    fresh.assert_alive()
    fact(f"commands of the table asked blindly: {asked}")
