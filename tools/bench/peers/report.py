"""The report: tables, ratios at equal recall, JSON, and a plot."""

import json
import math
import statistics

import plot

TARGETS = (0.95, 0.98, 0.99, 0.999)


def rate(point, kind="batch"):
    """The median of queries a second; with all at once where there is such a call, unless `kind` is "single". By CPU time
    where it is "per_cpu"."""
    values = [one[kind] for one in point["rounds"] if one[kind] is not None] or [one["single"] for one in point["rounds"]]
    return statistics.median(values) if values else None


def frontier(points, kind):
    """(recall, queries a second) of the points that no other beats in both, by rising recall."""
    out = []
    for recall, speed in sorted(((p["recall"], rate(p, kind)) for p in points if p["rounds"]), reverse=True):
        if not out or speed > out[-1][1]:
            out.append((recall, speed))
    return out[::-1]


def interpolated(points, target, kind):
    """A peer's speed at exactly this recall, log speed between its neighbours; None where it does not get there. Its
    fastest point's where all points are above."""
    line = frontier(points, kind)
    if not line or line[-1][0] < target:
        return None
    below = [p for p in line if p[0] < target]
    above = next(p for p in line if p[0] >= target)
    if not below:
        return above[1]
    (r0, s0), (r1, s1) = below[-1], above
    share = (target - r0) / (r1 - r0)
    return math.exp((1 - share) * math.log(s0) + share * math.log(s1))


def first_reaching(points, target, kind):
    """Annex's point of the smallest effort with at least this recall: no interpolation in its favour."""
    good = [(rate(p, kind), p) for p in points if p["recall"] >= target and p["rounds"]]
    return good[0] if good else None


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def spread(point):
    values = [one["batch"] or one["single"] for one in point["rounds"]]
    return f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else "one round"


def busy(point, kind):
    values = [one[kind] for one in point["rounds"] if one.get(kind) is not None]
    return f"{statistics.median(values):.2f}" if values else "-"


def measured(result):
    rows = ["| system | parameters | recall@10 | one at a time, queries/s | in one call, queries/s | smallest to largest | per second of CPU | CPU s a second | build s |",
            "|---|---|---|---|---|---|---|---|---|"]
    for system in result["systems"]:
        for at, point in enumerate(p for p in system["points"] if p["rounds"]):
            kind = "single_cpu" if point["rounds"][0]["batch"] is None else "batch_cpu"
            cpu = f"at most {system['cpu_per_second']:.2f}" if "cpu_per_second" in system else busy(point, kind)
            head = [f"**{system['name']}**", f"{system['build_seconds']:,.1f}"] if at == 0 else ["", ""]
            batch = rate(point) if point["rounds"][0]["batch"] is not None else None
            rows.append(f"| {head[0]} | {point['label']} | {point['recall']:.4f} | {number(rate(point, 'single'))} | {number(batch)} | "
                        f"{spread(point)} | {number(rate(point, 'per_cpu'))} | {cpu} | {head[1]} |")
    return rows


def ratio_table(result, kind, title):
    ours, theirs = result["systems"][0], [s for s in result["systems"][1:] if s["points"] and not s.get("error")]
    firsts = [first_reaching(ours["points"], t, kind) for t in TARGETS]
    rows = [f"| {title} | " + " | ".join(f"{t}" for t in TARGETS) + " |", "|---|" + "---|" * len(TARGETS)]
    rows.append("| **Annex**, queries/s | " + " | ".join(
        f"{number(f[0])} ({f[1]['label']}, {f[1]['recall']:.4f})" if f else "not reached" for f in firsts) + " |")
    best, ratios = [None] * len(TARGETS), {}
    for system in theirs:
        cells, ratios[system["name"]] = [], []
        for at, (target, first) in enumerate(zip(TARGETS, firsts)):
            speed = interpolated(system["points"], target, kind)
            ratio = first[0] / speed if first and speed else None
            ratios[system["name"]].append(ratio)
            if speed is None:
                cells.append(f"not reached ({max(p['recall'] for p in system['points']):.4f})")
                continue
            if best[at] is None or speed > best[at][1]:
                best[at] = (system["name"], speed, ratio)
            cells.append(f"**{ratio:.2f}** ({number(speed)})" if ratio else number(speed))
        rows.append(f"| {system['name']} | " + " | ".join(cells) + " |")
    rows.append("| best peer | " + " | ".join(f"{b[0]}: **{b[2]:.2f}**" if b and b[2] else "-" for b in best) + " |")
    return rows, {"targets": TARGETS, "annex": [f and f[0] for f in firsts], "annex_over_peer": ratios}


def load(values):
    return ", ".join(f"{v:.1f}" for v in values)


def lines_of(result):
    ours, theirs = result["systems"][0], result["systems"][1:]
    failed = [f"{s['name']}: {s['error']}" for s in theirs if s.get("error")]
    missing = [f"{package} ({why})" for package, why in result["missing"].items()]
    by_cpu, result["ratios_by_cpu"] = ratio_table(result, "per_cpu", "recall@10, by CPU time")
    by_clock, result["ratios_by_clock"] = ratio_table(result, "batch", "recall@10, by the clock")
    fixed = [f"- {s['name']}: {s['text']}" + (f"; built in {s['build_seconds']:.1f} s" if s["build_seconds"] else "") for s in result["systems"]]
    wire = [f"{w['effort']}: {w['wire']:.4f}" for w in result["wire"] if w["wire"] is not None]
    wire_queries = result["wire"][0]["queries"] if wire else 0
    return [
        f"# Annex and its peers: {result['name']}", "",
        "Made by tools/bench/peers/run; the newest run only, earlier ones are in git's history. Compare ratios, not absolute numbers.", "",
        f"{result['date']}, {result['minutes']:.0f} minutes, commit {result['commit'] or 'unknown'}, {result['machine']}; load average {load(result['load_before'])} "
        f"at the start, {load(result['load_after'])} at the end (1, 5, 15 minutes; the benchmark itself adds 1)" +
        (f". **The machine was busy with other work**: times are longer than on a quiet one, and rounds differ." if max(result["load_before"][0], result["load_after"][0] - 1) > 1 else "."), "",
        f"    {result['command']}", "",
        f"{result['items']:,} items x {result['dimension']}, metric {result['metric']}. {result['about']}".strip(), "",
        f"{result['queries']:,} queries for recall, the first {result['timed']:,} of them timed; k = {result['k']}, {result['rounds']} rounds in turns, "
        "one pass a round (a pass that takes long in the first round only); medians. One thread searches, two build. \"In one call\" hands over all queries at once, so that a peer pays Python once. "
        "Annex takes one query at a time, in process, by annctl's own clock; its build measures recall and publishes too.", "",
        "Missing: " + (", ".join(missing) or "none") + ". Failed: " + ("; ".join(failed) or "none") + ".", "",
        "## At equal recall", "",
        "How many times as many queries a second Annex answers as the peer, one thread each. A peer's speed (in brackets) is that with all queries in one "
        "call where it has one, interpolated at exactly that recall (log speed); Annex's is that of the smallest effort with at least that recall. Above 1 "
        "Annex is faster. By CPU time first: on a busy machine a short pass may run undisturbed where a long one has to share its core, so that the clock "
        "flatters whoever is faster. On a quiet machine both agree.", "",
        *by_cpu, "", "The same by the clock:", "", *by_clock, "",
        f"![Recall against queries a second]({result['file']}.svg)", "",
        "## All points", "", *measured(result), "",
        "\"Smallest to largest\" is over the rounds, in one call where there is such a call. \"CPU s a second\" is CPU over wall time in the measured loop: at most 1.1 "
        "and one working thread, or the system fails. Annex: of whole annctl processes, largest; its queries per second of CPU come from their CPU times with few and many passes.", "",
        "## How each was set", "", *fixed, "",
        "Annex, tried by the build: " + ("; ".join(ours["build"]["tried"]) or ours["build"]["kind"]) + f"; default effort {ours['build']['chosen']}.", "",
        *([f"Annex's recall above is annctl's own count. Answers of a server (VSIM) to the first {wire_queries:,} queries, by the yardstick of the peers: "
           + ", ".join(wire) + ".", ""] if wire else []),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version) + ".", "",
    ]


def write(result, folder):
    """Writes .md, .json and .svg; the text of the first."""
    result["file"] = f"peers-{result['name']}"
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines_of(result))
    curves = [(s["name"], frontier(s["points"], "per_cpu")) for s in result["systems"] if s["points"] and not s.get("error")]
    (folder / f"{result['file']}.svg").write_text(plot.svg(curves, f"{result['name']}: recall@10 and queries a second of CPU time, one thread"))
    (folder / f"{result['file']}.md").write_text(text)
    (folder / f"{result['file']}.json").write_text(json.dumps(result, indent=1) + "\n")
    return text
