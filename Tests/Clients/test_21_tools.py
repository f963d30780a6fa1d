"""The tools that operators have at hand: redis-cli, redis-benchmark, a C program with hiredis, nc, annctl query."""

import json
import re
import shutil
import subprocess

import pytest

import annex


def run(*command, text=None, timeout=60):
    return subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True, timeout=timeout)


def need(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (tools/install-deps --test)")


def wanted(catalogues, name, user, k):
    catalogue = catalogues[name]
    return catalogue.order(catalogue.user(user))[:k]


@pytest.mark.parametrize("options", [[], ["-3"]], ids=["resp2", "resp3"])
def test_redis_cli(server, catalogues, options):
    need("redis-cli")
    cli = ["redis-cli", "-p", server.port, *options]
    assert run(*cli, "PING").stdout.strip() == "PONG"
    plain = run(*cli, "--no-raw", "TOPK", "u4", 5, "INDEX", "ip-flat", "TRUTH").stdout
    assert len(plain.splitlines()) == 5 and plain.startswith("1) ")
    raw = run(*cli, "--raw", "TOPK", "u4", 5, "INDEX", "ip-flat", "TRUTH").stdout.split()
    assert raw == wanted(catalogues, "ip-flat", "u4", 5)
    scored = run(*cli, "--no-raw", "VSIM", "ip-flat", "ELE", catalogues["ip-flat"].ids[0], "WITHSCORES").stdout
    assert len(scored.splitlines()) == (10 if options else 20)
    piped = run(*cli, text="PING\nTOPK u4 3 INDEX ip-flat\nVCARD ip-flat\n").stdout.split()
    assert piped[0] == "PONG" and piped[-1] == str(len(catalogues["ip-flat"].ids))
    wrong = run(*cli, "-e", "TOPK", "nobody", 5, "INDEX", "ip-flat")
    assert "NOUSER" in wrong.stdout + wrong.stderr and wrong.returncode != 0
    assert "redis" in run(*cli, "INFO").stdout.lower()


def test_redis_cli_pipe_mode(server):
    need("redis-cli")
    frames = b"".join(annex.encode("PING") for _ in range(5000))
    done = subprocess.run(["redis-cli", "-p", str(server.port), "--pipe"], input=frames, capture_output=True, timeout=60)
    assert b"errors: 0, replies: 5000" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("options", [[], ["-3"]], ids=["resp2", "resp3"])
def test_redis_benchmark(server, options, fact):
    need("redis-benchmark")
    base = ["redis-benchmark", "-p", server.port, "-q", "-n", 20_000, "-c", 32, *options]
    for words in (["-t", "ping"], ["-P", "16", "-t", "ping"], ["TOPK", "u1", "10", "INDEX", "ip-hnsw"]):
        done = run(*base, *words, timeout=120)
        out = done.stdout.replace("\r", "\n")
        assert done.returncode == 0 and "Error" not in out + done.stderr, out[-2000:] + done.stderr
        for line in out.splitlines():
            if found := re.search(r"^(.*): ([\d.]+) requests per second, p50=([\d.]+) msec", line):
                fact(f"redis-benchmark {' '.join(options)} {found[1].strip()}: {found[2]} a second, p50 {found[3]} ms")
    server.assert_alive()


def test_hiredis(server, catalogues, tmp_path):
    need("gcc")
    source = annex.PROJECT / "Tests" / "Clients" / "hiredis_client.c"
    compiled = run("gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", tmp_path / "client", source, "-lhiredis")
    if "hiredis/hiredis.h: No such file" in compiled.stderr:
        pytest.skip("libhiredis-dev is not installed (tools/install-deps --test)")
    assert compiled.returncode == 0, compiled.stderr
    catalogue = catalogues["ip-flat"]
    done = run(tmp_path / "client", server.port, "ip-flat", "u2", catalogue.ids[1], catalogue.items.shape[1])
    assert done.returncode == 0, done.stdout + done.stderr


def nc(port, lines):
    """As bytes: text mode would turn CR LF into LF."""
    command = ["nc", "-w", "5", "127.0.0.1", str(port)]
    return subprocess.run(command, input=lines.encode(), capture_output=True, timeout=30).stdout.decode()


def test_nc_plain_lines(server, single, catalogues):
    need("nc")
    lines = "PING\r\n\r\n   \r\nTOPK u4 3 INDEX ip-flat TRUTH\nECHO \"a b\\x41\"\r\nECHO 'its'\r\nQUIT\r\n"
    got = nc(server.port, lines).split("\r\n")
    ids = wanted(catalogues, "ip-flat", "u4", 3)
    lengths = [f"${len(i.encode())}" for i in ids]
    assert got == ["+PONG", "*3", *[x for pair in zip(lengths, ids) for x in pair], "$4", "a bA", "$3", "its", "+OK", ""]
    assert nc(single.port, "TOPK u1 5\r\nQUIT\r\n").startswith("*5\r\n")


def test_annctl_query(server, catalogues):
    where = ["query", "--port", server.port]
    ids = wanted(catalogues, "ip-flat", "u4", 5)
    words = ["TOPK", "u4", 5, "INDEX", "ip-flat", "TRUTH", "WITHSCORES"]
    table = annex.run_annctl(*where, *words, check=True).stdout
    places = [table.index(i) for i in ids]
    assert places == sorted(places), "the table lists them best first"
    parsed = json.loads(annex.run_annctl("query", "--json", "--port", server.port, *words, check=True).stdout)
    text = json.dumps(parsed, ensure_ascii=False)
    assert [text.index(f'"{i}"') for i in ids] == sorted(text.index(f'"{i}"') for i in ids)
    tsv = annex.run_annctl("query", "--tsv", "--port", server.port, *words, check=True).stdout
    assert [i for i in ids if i in tsv] == ids and "\t" in tsv
    wrong = annex.run_annctl(*where, "TOPK", "nobody", 5, "INDEX", "ip-flat")
    assert wrong.returncode == 1 and "NOUSER" in wrong.stderr
    nowhere = annex.run_annctl("query", "--port", annex.free_port(), "PING")
    assert nowhere.returncode == 1 and "127.0.0.1" in nowhere.stderr


def test_annctl_help_and_wrong_usage():
    top = annex.run_annctl("--help", check=True).stdout
    for word in ("build", "serve", "query", "inspect", "verify", "list", "rollback", "prune"):
        assert word in top
        assert "USAGE" in annex.run_annctl(word, "--help", check=True).stdout.upper()
    assert annex.run_annctl("fancy").returncode == 64
    assert annex.run_annctl("build", "--fancy").returncode == 64
    for shell in ("bash", "zsh", "fish"):
        assert "annctl" in annex.run_annctl(f"--generate-completion-script={shell}", check=True).stdout
