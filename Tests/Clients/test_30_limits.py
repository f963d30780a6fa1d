"""Numbers and limits: at the limit, one past it, and at the ends of Int64; NaN, infinities, wrong dimensions (I6)."""

import numpy as np
import pytest
import redis

import annex
import live
from annex import pairs

INT64_MAX = 2**63 - 1
NAME = "ip-hnsw"


@pytest.mark.parametrize("k", [0, -1, 10_001, 2**31, 2**32 + 1, INT64_MAX, -(2**63), 2**63, 10**30])
def test_k_outside_is_an_error(connection, k):
    connection.error("TOPK", "u0", k, "INDEX", NAME)
    connection.error("MTOPK", 1, "u0", k, "INDEX", NAME)
    connection.error("VSIM", NAME, "VALUES", 1, 1, "COUNT", k)
    assert connection.call("PING") == "PONG"


@pytest.mark.parametrize("k", ["", " 1", "1 ", "+1", "1.0", "1e1", "0x1", "٣", "1\x00", "--1", "k"])
def test_k_that_is_no_integer_is_an_error(connection, k):
    connection.error("TOPK", "u0", k, "INDEX", NAME)


def test_k_at_the_limit(connection, catalogues):
    for name in (NAME, "ip-ivf", "ip-pq", "l2-flat", "cosine-hnsw"):
        catalogue = catalogues[name]
        answer = pairs(connection.call("TOPK", "u0", 10_000, "INDEX", name, "WITHSCORES"))
        catalogue.check_exact(answer, catalogue.user("u0"), 10_000)


@pytest.mark.parametrize("words", [
    ("EF", 0), ("EF", -1), ("EF", 65_537), ("EF", INT64_MAX), ("EF", "x"), ("EF",), ("NPROBE", 0), ("NPROBE", INT64_MAX),
    ("EXCLUDE", -1), ("EXCLUDE", 2, "a"), ("EXCLUDE", INT64_MAX, "a"), ("EXCLUDE", 2**31, "a"), ("EXCLUDE",), ("INDEX",),
])
def test_options_out_of_range(connection, words):
    connection.error("TOPK", "u0", 10, "INDEX", NAME, *words)
    assert connection.call("PING") == "PONG"


@pytest.mark.parametrize("count", [-1, 0, 100_001, 2**31, INT64_MAX, 2**63])
def test_mtopk_and_score_counts(connection, count):
    connection.error("MTOPK", count, "u0", 10, "INDEX", NAME)
    connection.error("SCORE", "u0", count, "i1", "INDEX", NAME)


def test_mtopk_results_together(connection, catalogues):
    users = [f"u{n % 60}" for n in range(100)]
    at_limit = connection.call("MTOPK", 100, *users, 1000, "INDEX", NAME, "TRUTH")
    assert [len(a) for a in at_limit] == [1000] * 100
    connection.error("MTOPK", 101, *users, "u0", 1000, "INDEX", NAME)
    connection.error("MTOPK", 11, *users[:11], 10_000, "INDEX", NAME)


def test_a_big_exclude(connection, catalogues):
    catalogue = catalogues[NAME]
    out = catalogue.ids[:1000] + [f"absent {n}" for n in range(59_000)]
    answer = pairs(connection.call("TOPK", "u1", 50, "INDEX", NAME, "EXCLUDE", len(out), *out, "WITHSCORES"))
    catalogue.check_exact(answer, catalogue.user("u1"), 50, leave_out=out)
    everything = connection.call("TOPK", "u1", 5, "INDEX", NAME, "EXCLUDE", len(catalogue.ids), *catalogue.ids)
    assert everything == []


def test_more_arguments_than_65536(server):
    with server.connect() as c:
        out = [str(n) for n in range(65_536)]
        c.send(annex.encode("TOPK", "u1", 5, "INDEX", NAME, "EXCLUDE", len(out), *out))
        assert str(c.read()).startswith("ERR Protocol error")
    server.assert_alive()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["ip-flat", "ip-hnsw", "ip-ivf", "cosine-hnsw", "l2-pq"])
def test_vectors_that_are_not_finite(connection, name, value):
    query = np.zeros(24, "<f4")
    query[5] = value
    assert connection.error("VSIM", name, "FP32", query.tobytes()).code == "BADVECTOR"
    connection.error("VSIM", name, "VALUES", 24, *[str(v) for v in query])
    connection.error("VSIM", name, "VALUES", 24, *["1e39"] * 24)
    assert connection.call("PING") == "PONG"


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x00" * 95, b"\x00" * 97, b"\x00" * 92, b"\x00" * 100, b"\x00" * 4 * 4097])
def test_vectors_of_the_wrong_length(connection, blob):
    assert connection.error("VSIM", NAME, "FP32", blob).code == "BADVECTOR"
    assert connection.call("PING") == "PONG"


@pytest.mark.parametrize("words", [
    ("VALUES", 0), ("VALUES", -1, 1), ("VALUES", 24, 1), ("VALUES", INT64_MAX, 1), ("VALUES", 2**31, 1), ("VALUES",),
    ("VALUES", 2, 1, "x"), ("VALUES", 24, *["1"] * 23, ""), ("VALUES", 24, *["1"] * 23, "1_0"), ("ELE",), ("FANCY", 1),
])
def test_values_that_do_not_add_up(connection, words):
    connection.error("VSIM", NAME, *words)
    assert connection.call("PING") == "PONG"


def test_a_query_of_zeros_is_answered(connection, catalogues):
    """All scores are equal on ip and cosine: the answer is the first ids in byte order."""
    for name in ("ip-flat", "cosine-flat"):
        catalogue = catalogues[name]
        answer = connection.call("VSIM", name, "FP32", np.zeros(24, "<f4").tobytes(), "COUNT", 7, "TRUTH")
        assert answer == sorted(i.encode() for i in catalogue.ids)[:7]


def test_extreme_but_finite_numbers(connection):
    for value in (3e38, -3e38, 1e-45, -0.0):
        query = np.full(24, value, "<f4")
        connection.send(annex.encode("VSIM", "ip-flat", "FP32", query.tobytes(), "WITHSCORES"))
        connection.read()  # an answer or an error, as the sums overflow; but never a lost connection
    assert connection.call("PING") == "PONG"


@pytest.mark.parametrize("words", [
    ("COUNT", 0), ("COUNT", -5), ("COUNT", "x"), ("COUNT",), ("EF", 0), ("EF", 10**7), ("EPSILON", 0), ("EPSILON", -1),
    ("EPSILON", "nan"), ("EPSILON", "inf"), ("EPSILON",), ("FANCY",),
])
def test_vsim_options_out_of_range(connection, catalogues, words):
    connection.error("VSIM", "cosine-flat", "ELE", catalogues["cosine-flat"].ids[0], *words)


def test_vrandmember_counts(connection):
    for count in (10_001, -10_001, INT64_MAX, -(2**63), "x", ""):
        connection.error("VRANDMEMBER", NAME, count)


def test_ids_of_every_length_and_byte(connection):
    for length in (0, 1, 255, 256, 511, 512, 1024, 65_536, 1_000_000):
        word = b"x" * length
        assert connection.call("VISMEMBER", NAME, word) == 0
        assert connection.call("SCORE", "u0", 1, word, "INDEX", NAME) == [None]
        assert connection.error("TOPK", word, 5, "INDEX", NAME).code == "NOUSER"
    for word in (b"\x00", b"\xff\xfe", b"a\r\nb", bytes(range(256)), "e\u0301".encode()):
        assert connection.call("VISMEMBER", NAME, word) == 0
        connection.error("TOPK", word, 5, "INDEX", NAME)


def test_errors_never_carry_control_bytes_of_the_client(connection):
    """P12; Connection.error checks the text."""
    evil = b"x\r\n+OK\r\n\x1b[31m\x00\x07\x7f"
    for words in ((evil,), (evil, evil), ("TOPK", evil, 5), ("TOPK", "u0", evil), ("VSIM", evil, "ELE", "x"),
                  ("TOPK", "u0", 5, "INDEX", evil), ("TOPK", "u0", 5, evil), ("VSIM", NAME, "ELE", evil), ("RELOAD", evil),
                  ("CLIENT", evil), ("CONFIG", evil), ("COMMAND", evil), ("HELLO", evil), ("CLIENT", "SETNAME", evil)):
        connection.error(*words)
    assert connection.call("PING") == "PONG"


# --- Settings ----------------------------------------------------------------------------------------------------------

LEAST = {"argument-bytes": 512, "command-bytes": 1_000, "line-bytes": 512, "arguments": 16}


@pytest.mark.parametrize("key", LEAST)
def test_a_server_that_could_answer_nothing_does_not_start(key, folder, indexes, tmp_path):
    for value in (1, LEAST[key] - 1):
        (tmp_path / "annex.yaml").write_text(f"{key}: {value}\n")
        done = annex.run_annctl("serve", indexes[NAME], "--config", tmp_path / "annex.yaml", "--port", annex.free_port(), timeout=30)
        text = annex.said(done)
        assert done.returncode == 64 and f"'{key}' is '{value}'" in text and f"from {LEAST[key]} to" in text, text


def test_the_least_sizes_suffice_for_a_greeting_an_event_and_the_tools(folder, tmp_path):
    shop = live.make_shop(tmp_path / "least", "shop", items=60, users=2)
    password = "p" * 300
    (tmp_path / "password").write_text(password + "\n")
    lines = [f"{key}: {value}" for key, value in LEAST.items()] + ["password-file: password"]
    (tmp_path / "annex.yaml").write_text("\n".join(lines) + "\n")
    options = ["--config", tmp_path / "annex.yaml", "--state", tmp_path / "state"]
    with annex.Server(shop.index, log=tmp_path / "server.log", options=options, password=password) as server:
        for protocol in (2, 3):
            with redis.Redis(port=server.port, protocol=protocol, password=password, client_name="n" * 60) as client:
                assert client.ping() and client.execute_command("READY")
                assert client.info("server")["redis_mode"] == "standalone"
        with server.connect() as c:
            assert c.call("AUTH", password) == "OK"
            user = "u" * 255
            assert c.call("EVENT", user, shop.catalogue.ids[0], "1.5", "AT", "1700000000000", "INDEX", "shop") == "OK"
            assert live.seen(c, user)[0][0] == shop.catalogue.ids[0]
        words = ["--port", server.port, "--password-file", tmp_path / "password"]
        done = annex.run_annctl("query", *words, "INFO", "server", timeout=30)
        assert done.returncode == 0 and "redis_mode" in annex.said(done), annex.said(done)
