"""TOPK, MTOPK, SCORE and the V… commands against NumPy, for every index kind and metric. RESP2 and RESP3 by hand."""

import json

import numpy as np
import pytest

import annex
from annex import Pairs, attributes_of, pairs
from conftest import KINDS, RECALL

ALL = [*KINDS, "ties"]


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def link(server, request):
    with server.connect() as c:
        if request.param == 3:
            assert c.call("HELLO", 3).get("proto") == 3
        c.protocol = request.param
        yield c


@pytest.fixture(params=ALL)
def case(request, catalogues):
    return request.param, catalogues[request.param]


def half(score):
    """What VSIM shows on a cosine index."""
    return (1 + score) / 2


def vsim_map(catalogue):
    return half if catalogue.metric == "cosine" else None


# --- TOPK --------------------------------------------------------------------------------------------------------------


def test_topk_truth_is_exact(link, case):
    name, catalogue = case
    for user in catalogue.user_ids[:20]:
        for k in (1, 10, 57):
            answer = pairs(link.call("TOPK", user, k, "INDEX", name, "TRUTH", "WITHSCORES"))
            catalogue.check_exact(answer, catalogue.user(user), k)


def test_ties_come_in_the_order_of_the_bytes_of_ids(link, catalogues):
    catalogue = catalogues["ties"]
    for user in catalogue.user_ids:
        answer = link.call("TOPK", user, 200, "INDEX", "ties", "TRUTH")
        assert [i.decode() for i in answer] == catalogue.order(catalogue.user(user))[:200]


def test_topk_default_effort_reaches_its_recall(link, case, fact):
    name, catalogue = case
    found = [
        catalogue.recall(link.call("TOPK", u, 10, "INDEX", name), catalogue.user(u), 10) for u in catalogue.user_ids
    ]
    fact(f"recall@10 {name}: {np.mean(found):.4f} mean, {min(found):.2f} worst of {len(found)} (RESP{link.protocol})")
    assert np.mean(found) >= RECALL.get(name, 0.99) - 0.05


def test_scores_are_exact_whatever_the_index_stores(link, case):
    name, catalogue = case
    for user in catalogue.user_ids[:10]:
        scores, slack = catalogue.scores(catalogue.user(user)), catalogue.tolerance(catalogue.user(user))
        for item, score in pairs(link.call("TOPK", user, 25, "WITHSCORES", "INDEX", name)):
            row = catalogue.rows[item.decode()]
            assert abs(score - scores[row]) <= slack[row]
            assert np.float32(score) == score or abs(np.float32(score) - score) <= 1e-7 * abs(score)


@pytest.mark.parametrize("effort", [("EF", 1), ("EF", 400), ("EF", 65_536)])
def test_ef_on_a_graph(link, catalogues, effort):
    catalogue = catalogues["ip-hnsw"]
    answer = link.call("TOPK", "u1", 10, "INDEX", "ip-hnsw", *effort)
    assert len(answer) == 10 and len(set(answer)) == 10
    if effort[1] >= len(catalogue.ids):
        assert catalogue.recall(answer, catalogue.user("u1"), 10) == 1


def test_nprobe_of_all_lists_is_exact_on_flat_storage(link, catalogues):
    catalogue = catalogues["ip-ivf"]
    for user in catalogue.user_ids[:20]:
        answer = pairs(link.call("TOPK", user, 10, "INDEX", "ip-ivf", "NPROBE", 16, "WITHSCORES"))
        catalogue.check_exact(answer, catalogue.user(user), 10)


def test_exclude(link, case):
    name, catalogue = case
    rng = annex.generator(f"exclude {name}")
    for user in catalogue.user_ids[:8]:
        order = catalogue.order(catalogue.user(user))
        out = order[:15] + [catalogue.ids[n] for n in rng.integers(0, len(catalogue.ids), 20)] + ["no such item"]
        request = ["TOPK", user, 20, "INDEX", name, "EXCLUDE", len(out), *out]
        answer = pairs(link.call(*request, "TRUTH", "WITHSCORES"))
        catalogue.check_exact(answer, catalogue.user(user), 20, leave_out=out)
        found = link.call(*request)
        assert len(found) == 20 and not {i.decode() for i in found} & set(out)


def test_k_answers_while_k_are_eligible(link, case):
    """Everything but 7 items excluded: the 7 come, in exact order, whatever the index proposes."""
    name, catalogue = case
    order = catalogue.order(catalogue.user("u3"))
    kept = sorted(order[:: len(order) // 7][:7])
    out = [i for i in catalogue.ids if i not in kept]
    answer = pairs(link.call("TOPK", "u3", 10, "INDEX", name, "EXCLUDE", len(out), *out, "WITHSCORES"))
    catalogue.check_exact(answer, catalogue.user("u3"), 10, leave_out=out)


def test_topk_shapes(link, catalogues):
    name, catalogue = "ip-hnsw", catalogues["ip-hnsw"]
    plain = link.call("TOPK", "u0", 6, "INDEX", name)
    assert all(isinstance(i, bytes) for i in plain)
    scored = link.call("TOPK", "u0", 6, "INDEX", name, "WITHSCORES")
    full = link.call("TOPK", "u0", 6, "INDEX", name, "WITHSCORES", "WITHATTRIBS")
    attributed = link.call("TOPK", "u0", 6, "INDEX", name, "WITHATTRIBS")
    if link.protocol == 2:
        assert len(scored) == 12 and len(full) == 18 and len(attributed) == 12
        assert scored[::2] == full[::3] == attributed[::2] == plain
        texts = full[2::3]
    else:
        assert [e[0] for e in scored] == [e[0] for e in full] == [e[0] for e in attributed] == plain
        assert all(len(e) == 2 and isinstance(e[1], float) for e in scored) and all(len(e) == 3 for e in full)
        texts = [e[2] for e in full]
    for item, text in zip(plain, texts):
        check_attributes(catalogue, item, text)


def test_words_are_case_insensitive_and_options_come_in_any_order(link, catalogues):
    a = link.call("topk", "u0", 6, "withscores", "truth", "index", "ip-hnsw")
    assert a == link.call("TOPK", "u0", 6, "INDEX", "ip-hnsw", "TRUTH", "WITHSCORES")


def check_attributes(catalogue, item, text):
    wanted = attributes_of(catalogue, item.decode())
    if wanted is None:
        assert text is None
    else:
        found = json.loads(text)
        found.setdefault("id", item.decode())
        assert found == wanted


# --- MTOPK and SCORE ---------------------------------------------------------------------------------------------------


def test_mtopk_equals_topk_one_by_one(link, case):
    name, catalogue = case
    users = catalogue.user_ids[:12]
    many = link.call("MTOPK", len(users) + 1, *users, "nobody", 9, "INDEX", name, "TRUTH", "WITHSCORES")
    assert len(many) == len(users) + 1 and many[-1] is None
    for user, answer in zip(users, many):
        catalogue.check_exact(pairs(answer), catalogue.user(user), 9)
    plain = link.call("MTOPK", 2, users[0], users[1], 9, "INDEX", name, "TRUTH")
    assert plain == [link.call("TOPK", u, 9, "INDEX", name, "TRUTH") for u in users[:2]]


def test_score(link, case):
    name, catalogue = case
    rng = annex.generator(f"score {name}")
    for user in catalogue.user_ids[:10]:
        items = [catalogue.ids[n] for n in rng.integers(0, len(catalogue.ids), 30)]
        # SCORE takes INDEX like every user command; items are counted, so an item called INDEX is no trap.
        found = link.call("SCORE", user, len(items) + 1, *items, "no such item", "INDEX", name)
        scores, slack = catalogue.scores(catalogue.user(user)), catalogue.tolerance(catalogue.user(user))
        assert len(found) == 31 and found[-1] is None
        for item, score in zip(items, found):
            assert abs(float(score) - scores[catalogue.rows[item]]) <= slack[catalogue.rows[item]]


# --- V… ----------------------------------------------------------------------------------------------------------------


def test_vsim_truth_by_element_blob_and_values(link, case):
    name, catalogue = case
    rng = annex.generator(f"vsim {name}")
    for row in rng.integers(0, len(catalogue.ids), 8):
        query = catalogue.items[row]
        for words in (
            ("ELE", catalogue.ids[row]),
            ("FP32", query.astype("<f4").tobytes()),
            ("VALUES", len(query), *[repr(float(v)) for v in query]),
        ):
            answer = pairs(link.call("VSIM", name, *words, "COUNT", 12, "TRUTH", "WITHSCORES"))
            catalogue.check_exact(answer, query, 12, map_score=vsim_map(catalogue))


def test_vsim_shapes(link, catalogues):
    name, item = "cosine-flat", catalogues["cosine-flat"].ids[5]
    plain = link.call("VSIM", name, "ELE", item, "TRUTH")
    assert len(plain) == 10, "COUNT is 10 unless told"
    assert plain[0].decode() == item
    scored = link.call("VSIM", name, "ELE", item, "TRUTH", "WITHSCORES")
    both = link.call("VSIM", name, "ELE", item, "TRUTH", "WITHATTRIBS", "WITHSCORES")
    attributed = link.call("VSIM", name, "ELE", item, "TRUTH", "WITHATTRIBS")
    if link.protocol == 3:
        assert isinstance(scored, Pairs) and isinstance(both, Pairs) and isinstance(attributed, Pairs)
        assert [k for k, _ in scored] == [k for k, _ in both] == [k for k, _ in attributed] == plain
        assert all(isinstance(v, float) for _, v in scored) and all(len(v) == 2 for _, v in both)
        texts = [v[1] for _, v in both]
    else:
        assert scored[::2] == both[::3] == attributed[::2] == plain
        texts = both[2::3]
    for i, text in zip(plain, texts):
        check_attributes(catalogues[name], i, text)


def test_vsim_epsilon_on_cosine_only(link, catalogues):
    name, catalogue = "cosine-flat", catalogues["cosine-flat"]
    query = catalogue.items[7]
    answer = pairs(link.call("VSIM", name, "ELE", catalogue.ids[7], "COUNT", 100, "EPSILON", 0.3, "TRUTH", "WITHSCORES"))
    assert all(score >= 0.7 - 1e-6 for _, score in answer)
    wanted = int((half(catalogue.scores(query)) >= 0.7).sum())
    assert abs(len(answer) - min(wanted, 100)) <= 1
    for other in ("ip-flat", "l2-flat"):
        link.error("VSIM", other, "ELE", catalogues[other].ids[0], "EPSILON", 0.3)


def test_vemb_gives_the_row_back(link, case):
    name, catalogue = case
    for row in (0, 17, len(catalogue.ids) - 1):
        found = np.array([float(v) for v in link.call("VEMB", name, catalogue.ids[row])])
        np.testing.assert_allclose(found, catalogue.items[row], rtol=1e-5, atol=1e-6)
    raw = link.call("VEMB", name, catalogue.ids[0], "RAW")
    assert raw[0] in ("f32", b"f32")
    stored = np.frombuffer(raw[1], "<f4")
    length = float(raw[2])
    np.testing.assert_allclose(length, np.linalg.norm(catalogue.items[0]), rtol=1e-5)
    unit = abs(np.linalg.norm(stored) - 1) < 1e-4
    np.testing.assert_allclose(stored * (length if unit else 1), catalogue.items[0], rtol=1e-4, atol=1e-6)
    assert link.call("VEMB", name, "no such item") is None


def test_vdim_vcard_vismember_vinfo(link, case):
    name, catalogue = case
    assert link.call("VDIM", name) == catalogue.items.shape[1]
    assert link.call("VCARD", name) == len(catalogue.ids)
    yes, no = link.call("VISMEMBER", name, catalogue.ids[3]), link.call("VISMEMBER", name, "no such item")
    assert (yes, no) == ((1, 0) if link.protocol == 2 else (True, False))
    info = link.call("VINFO", name)
    table = dict(info if isinstance(info, Pairs) else zip(info[::2], info[1::2]))
    table = {k.decode() if isinstance(k, bytes) else k: v for k, v in table.items()}
    assert table["vector-dim"] == catalogue.items.shape[1] and table["size"] == len(catalogue.ids)


def test_vgetattr(link, case):
    name, catalogue = case
    for item in catalogue.ids[:12]:
        text = link.call("VGETATTR", name, item)
        check_attributes(catalogue, item.encode(), text)
    assert link.call("VGETATTR", name, "no such item") is None


def test_vrandmember(link, case):
    name, catalogue = case
    ids = set(catalogue.ids)
    assert link.call("VRANDMEMBER", name).decode() in ids
    distinct = [i.decode() for i in link.call("VRANDMEMBER", name, 100)]
    assert len(set(distinct)) == len(distinct) == 100 and set(distinct) <= ids
    everything = link.call("VRANDMEMBER", name, 10_000)
    assert sorted(everything) == sorted(i.encode() for i in ids)
    repeated = [i.decode() for i in link.call("VRANDMEMBER", name, -2000)]
    assert len(repeated) == 2000 and set(repeated) <= ids
    assert link.call("VRANDMEMBER", name, 0) == []


def test_vlinks(link, catalogues):
    catalogue = catalogues["ip-hnsw"]
    levels = link.call("VLINKS", "ip-hnsw", catalogue.ids[11])
    assert levels and all(isinstance(level, list) for level in levels)
    neighbours = [i.decode() for i in levels[-1]]
    assert 1 <= len(neighbours) <= 32 and set(neighbours) <= set(catalogue.ids), "level 0 of HNSW16 has at most 32 links"
    assert catalogue.ids[11] not in neighbours
    scored = link.call("VLINKS", "ip-hnsw", catalogue.ids[11], "WITHSCORES")
    assert [i.decode() for i, _ in pairs(scored[-1])] == neighbours
    assert link.call("VLINKS", "ip-flat", catalogues["ip-flat"].ids[0]) is None, "no graph, no links"
    assert link.call("VLINKS", "ip-hnsw", "no such item") is None


def test_indexes_names_them_all(link):
    text = repr(link.call("INDEXES"))
    for name in ALL:
        assert name in text


# --- Errors of our own -------------------------------------------------------------------------------------------------


def test_error_codes(link, catalogues):
    name, item = "ip-hnsw", catalogues["ip-hnsw"].ids[0]
    assert link.error("TOPK", "nobody", 10, "INDEX", name).code == "NOUSER"
    assert link.error("SCORE", "nobody", 1, item, "INDEX", name).code == "NOUSER"
    assert link.error("VSIM", name, "ELE", "no such item").code == "NOITEM"
    for words in (
        ("TOPK", "u0", 10, "INDEX", "absent"),
        ("MTOPK", 1, "u0", 10, "INDEX", "absent"),
        ("SCORE", "u0", 1, item, "INDEX", "absent"),
        ("VSIM", "absent", "ELE", item),
        ("VEMB", "absent", item), ("VDIM", "absent"), ("VCARD", "absent"), ("VINFO", "absent"),
        ("VISMEMBER", "absent", item), ("VRANDMEMBER", "absent"), ("VGETATTR", "absent", item), ("VLINKS", "absent", item),
        ("RELOAD", "absent"),
    ):
        assert link.error(*words).code == "NOINDEX", words
    blob = np.zeros(5, "<f4").tobytes()
    assert link.error("VSIM", name, "FP32", blob).code == "BADVECTOR"
    assert link.error("VSIM", name, "VALUES", 3, 1, 2, 3).code == "BADVECTOR"
    assert link.call("PING") == "PONG"


def test_several_indexes_need_a_name_and_one_does_not(link, single):
    link.error("TOPK", "u0", 10)
    with single.connect() as alone:
        assert alone.call("TOPK", "u0", 10) == alone.call("TOPK", "u0", 10, "INDEX", "ip-hnsw")


def test_nothing_is_silently_ignored(link):
    for words in (
        ("TOPK", "u0", 10, "INDEX", "ip-hnsw", "WITHSEAN"),
        ("TOPK", "u0", 10, "INDEX", "ip-hnsw", "TRUTH", "x"),
        ("MTOPK", 1, "u0", 10, "INDEX", "ip-hnsw", "FANCY"),
    ):
        error = link.error(*words)
        assert str(error).startswith("ERR syntax error") and words[-1] in str(error)
    for words in (("TOPK", "u0"), ("TOPK",), ("VDIM",), ("SCORE", "u0")):
        assert str(link.error(*words)) == f"ERR wrong number of arguments for '{words[0].lower()}' command"
    assert str(link.error("FANCY", "a", "b")).startswith("ERR unknown command 'FANCY', with args beginning with: ")
