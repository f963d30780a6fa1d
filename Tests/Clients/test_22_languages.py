"""Programs in Python, Node, Go and Ruby with the clients that people use there; C is in test_21_tools.py.

Each connects as its client does by itself, and does the same: a query, a pipeline of 500, a transaction, one that is refused, an
error. No client is told anything of Annex.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

import annex
import live

SOURCES = annex.PROJECT / "Tests" / "Clients" / "languages"
GO_PATH, NODE_PATH = "/usr/share/gocode", "/usr/share/nodejs"


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "languages", "shop", items=300, users=20, history=False, method="none")


@pytest.fixture(scope="module")
def live_server(shop, folder):
    with live.serve(shop.index, state=folder / "languages-state", log=folder / "languages.log") as server:
        yield server


def need(tool, package):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (tools/install-deps --test installs {package})")


def python(client):
    return [sys.executable, SOURCES / "client.py", client]


def node(_):
    need("node", "nodejs and node-redis")
    return ["node", SOURCES / "client.js"]


def ruby(_):
    need("ruby", "ruby and ruby-redis")
    return ["ruby", SOURCES / "client.rb"]


def go(folder):
    need("go", "golang-go and golang-github-gomodule-redigo-dev")
    env = os.environ | {"GO111MODULE": "off", "GOPATH": GO_PATH, "GOCACHE": str(folder / "go-cache"), "GOFLAGS": ""}
    program = folder / "redigo"
    subprocess.run(["go", "build", "-o", program, SOURCES / "client.go"], env=env, check=True, timeout=300)
    return [program]


CLIENTS = {
    "redis-py": lambda _: python("redis"),
    "valkey-py": lambda _: python("valkey"),
    "coredis": lambda _: python("coredis"),
    "valkey-glide": lambda _: python("glide"),
    "node-redis": node,
    "redigo": go,
    "redis-rb": ruby,
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_program_with(client, live_server, shop, tmp_path):
    command = CLIENTS[client](tmp_path)
    catalogue = shop.catalogue
    user, item, other = catalogue.user_ids[3], catalogue.ids[0], catalogue.ids[1]
    wanted = catalogue.order(catalogue.user(user))[:5]
    words = [*command, str(live_server.port), "shop", user, item, other]
    env = os.environ | {"NODE_PATH": NODE_PATH}
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    out = json.loads(done.stdout.splitlines()[-1])
    assert out["ping"] == "PONG"
    assert out["topk"] == wanted
    assert out["pipeline"] == list(range(500))
    assert out["exec"][:2] == ["OK", "OK"] and sorted(out["exec"][2]) == sorted([item, other])
    assert "absent" in out["refused"] or "nothing was" in out["refused"].lower() or "abort" in out["refused"].lower(), out["refused"]
    assert sorted(out["seen"]) == sorted([item, other]), "what was refused as a whole is not there"
    assert "nobody at all" in out["error"]
    live_server.assert_alive()
