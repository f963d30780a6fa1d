/// TOPK, MTOPK, SCORE, EXPLAIN, WHYNOT.
extension CommandTableOfRows {
    static let users = [
        Self("recommendations", Scene(), Self.topk + Self.mtopk),
        Self("histories within a command", Scene(), Self.histories),
        Self("reasons", Scene(), Self.reasons),
        Self("two indexes", Scene(isDouble: true), Self.twoIndexes),
        Self("a graph", Scene(kind: "HNSW16", foldsIn: false), Self.graph),
        Self("an inverted file", Scene(kind: "IVF1,SQ8", foldsIn: false), Self.invertedFile),
    ]

    private static let topk: [CommandRow] = [
        // u0 = (1, 0): i2 2, i0 1, i1 and i3 0, ties by id. u1 = (1, 2): i1 and i2 2, i0 1, i3 -4.
        CommandRow("TOPK u0 2", "*2 'i2' 'i0'"),
        CommandRow("tOpK u0 1", "*1 'i2'"),
        CommandRow("TOPK u0 10000", "*4 'i2' 'i0' 'i1' 'i3'"),
        CommandRow(
            "TOPK u1 4 WITHSCORES",
            "*8 'i1' '2' 'i2' '2' 'i0' '1' 'i3' '-4'",
            three: "*4 *2 'i1' ,2 *2 'i2' ,2 *2 'i0' ,1 *2 'i3' ,-4"
        ),
        CommandRow(
            "TOPK u0 1 WITHATTRIBS",
            #"*2 'i2' '{"id":"i2"}'"#,
            three: #"*1 *2 'i2' '{"id":"i2"}'"#
        ),
        CommandRow(
            "TOPK u0 1 withattribs withscores",
            #"*3 'i2' '2' '{"id":"i2"}'"#,
            three: #"*1 *3 'i2' ,2 '{"id":"i2"}'"#
        ),
        CommandRow("TOPK u0 3 EXCLUDE 2 i2 absent", "*3 'i0' 'i1' 'i3'"),
        CommandRow("TOPK u0 1 EXCLUDE 0", "*1 'i2'"),
        CommandRow("TOPK u0 9 EXCLUDE 4 i0 i1 i2 i3", "*0"),
        CommandRow("TOPK u0 2 TRUTH INDEX shop", "*2 'i2' 'i0'"),
        // u2 has i2 in the history: left out unless WITHSEEN.
        CommandRow("TOPK u2 4", "*3 'i0' 'i1' 'i3'"),
        CommandRow(
            "TOPK u2 2 WITHSEEN WITHSCORES",
            "*4 'i2' '0.75' 'i0' '0.375'",
            three: "*2 *2 'i2' ,0.75 *2 'i0' ,0.375"
        ),
        CommandRow("TOPK nobody 2", "-NOUSER nothing is known of user 'nobody' in index 'shop'"),
        CommandRow("TOPK u×255 2", "-NOUSER"), CommandRow("TOPK u×256 2", "-NOUSER"),
        CommandRow("TOPK u0 0", "-ERR invalid k '0': give an integer from 1 to 10000"),
        CommandRow("TOPK u0 10001", "-ERR invalid k '10001'"),
        CommandRow("TOPK u0 9223372036854775808", "-ERR invalid k"),
        CommandRow("TOPK u0 1.0", "-ERR invalid k"),
        CommandRow("TOPK u0 2 INDEX other", "-NOINDEX no index 'other' is served; there is: shop"),
        CommandRow("TOPK u0 2 FANCY", "-ERR syntax error near 'FANCY'"),
        CommandRow("TOPK u0 2 INDEX", "-ERR syntax error near 'INDEX'"),
        CommandRow("TOPK u0 2 WITHSCORES WITHSCORES", "-ERR syntax error near 'WITHSCORES'"),
        CommandRow("TOPK u0 2 INDEX shop INDEX shop", "-ERR syntax error near 'INDEX'"),
        CommandRow("TOPK u0 2 TRUTH EF 5", "-ERR syntax error near 'EF'"),
        CommandRow("TOPK u0 2 EXCLUDE 2 i1", "-ERR"),
        CommandRow("TOPK u0 2 EXCLUDE -1 i1", "-ERR"),
        CommandRow("TOPK u0 2 EXCLUDE 1 i1 EXCLUDE 1 i2", "-ERR syntax error near 'EXCLUDE'"),
        CommandRow("TOPK u0 2 EF 5", "-ERR EF is for graphs, index 'shop' is Flat: leave it out"),
        CommandRow("TOPK u0 2 NPROBE 5", "-ERR NPROBE is for inverted files"),
        CommandRow("TOPK u0 2 KAPPA 0.5", "-ERR KAPPA is for inverted files"),
    ]

    private static let mtopk: [CommandRow] = [
        CommandRow("MTOPK 3 u0 nobody u2 1", "*3 *1 'i2' nil* *1 'i0'"),
        CommandRow("MTOPK 1 u1 1 WITHSCORES", "*1 *2 'i1' '2'", three: "*1 *1 *2 'i1' ,2"),
        CommandRow("MTOPK 1 u1 1 WITHATTRIBS", #"*1 *2 'i1' '{"id":"i1"}'"#, three: #"*1 *1 *2 'i1' '{"id":"i1"}'"#),
        CommandRow("MTOPK 2 u0 u1 1 EXCLUDE 1 i2 TRUTH INDEX shop", "*2 *1 'i0' *1 'i1'"),
        CommandRow("MTOPK 1 u2 1 WITHSEEN", "*1 *1 'i2'"),
        CommandRow(
            "MTOPK 10 u0 u0 u0 u0 u0 u0 u0 u0 u0 u0 10000 EXCLUDE 4 i0 i1 i2 i3",
            "*10 *0 *0 *0 *0 *0 *0 *0 *0 *0 *0"
        ),
        CommandRow(
            "MTOPK 11 u0 u0 u0 u0 u0 u0 u0 u0 u0 u0 u0 10000",
            "-ERR 11 users × 10000 results are more than 100000"
        ),
        // 9 / (8 + 8) of i0 for anybody who has nothing else.
        CommandRow(
            "MTOPK 1 nobody 2 HISTORY 1 i0 WEIGHTS 9 WITHSCORES",
            "*1 *4 'i2' '1.125' 'i1' '0'",
            three: "*1 *2 *2 'i2' ,1.125 *2 'i1' ,0"
        ),
        CommandRow("MTOPK 0 u0 1", "-ERR"),
        CommandRow("MTOPK 2 u0 1", "-ERR"),
        CommandRow("MTOPK 1 u0 0", "-ERR invalid k '0'"),
        CommandRow("MTOPK 1 u0 1 INDEX other", "-NOINDEX no index 'other'"),
        CommandRow("SCORE u1 3 i1 absent i3", "*3 (2) nil (-4)"),
        CommandRow("SCORE u2 1 i2 INDEX shop", "*1 (0.75)"),
        CommandRow("SCORE nobody 1 i1", "-NOUSER nothing is known of user 'nobody'"),
        CommandRow("SCORE u1 0 i1", "-ERR"),
        CommandRow("SCORE u1 2 i1", "-ERR"),
        CommandRow("SCORE u1 1 i1 i2", "-ERR syntax error near 'i2'"),
        CommandRow("SCORE u1 1 i1 INDEX other", "-NOINDEX no index 'other'"),
    ]

    /// x = (8I + Σ (c − 1) y yᵀ)⁻¹ Σ c y; c is the weight.
    private static let histories: [CommandRow] = [
        // (1, 0) / 8
        CommandRow(
            "TOPK nobody 4 HISTORY 1 i0 WITHSCORES",
            "*6 'i2' '0.25' 'i1' '0' 'i3' '0'",
            three: "*3 *2 'i2' ,0.25 *2 'i1' ,0 *2 'i3' ,0"
        ),
        // 9 / 16
        CommandRow(
            "TOPK nobody 2 HISTORY 1 i0 WEIGHTS 9 WITHSEEN WITHSCORES",
            "*4 'i2' '1.125' 'i0' '0.5625'",
            three: "*2 *2 'i2' ,1.125 *2 'i0' ,0.5625"
        ),
        // (1, 1) / 8
        CommandRow(
            "TOPK nobody 4 HISTORY 2 i0 i1 WITHSEEN WITHSCORES",
            "*8 'i2' '0.25' 'i0' '0.125' 'i1' '0.125' 'i3' '-0.25'",
            three: "*4 *2 'i2' ,0.25 *2 'i0' ,0.125 *2 'i1' ,0.125 *2 'i3' ,-0.25"
        ),
        // On top of what was trained: (3 · 2 + 17) / (8 + 2 · 4 + 16) = 23 / 32
        CommandRow(
            "TOPK u2 2 HISTORY 1 i0 WEIGHTS 17 WITHSEEN WITHSCORES",
            "*4 'i2' '1.4375' 'i0' '0.71875'",
            three: "*2 *2 'i2' ,1.4375 *2 'i0' ,0.71875"
        ),
        CommandRow("TOPK nobody 4 HISTORY 2 i0 absent", "*3 'i2' 'i1' 'i3'"),
        CommandRow(
            "TOPK nobody 4 HISTORY 1 absent",
            "-NOITEM none of the 1 items of HISTORY is in index 'shop': check the ids"
        ),
        CommandRow("TOPK nobody 4 HISTORY 0", "-NOUSER"),
        CommandRow("TOPK u0 4 HISTORY 2 i0 i1 WEIGHTS 1", "-ERR WEIGHTS needs 2 numbers, as many as HISTORY has items"),
        CommandRow("TOPK u0 4 HISTORY 1 i0 WEIGHTS x", "-ERR invalid weight 'x': give a number from -1e30 to 1e30"),
        CommandRow("TOPK u0 4 HISTORY 1 i0 WEIGHTS nan", "-ERR invalid weight 'nan'"),
        CommandRow("TOPK u0 4 HISTORY 1 i0 WEIGHTS 1e31", "-ERR invalid weight '1e31'"),
        CommandRow("TOPK u0 4 HISTORY 1 i0 HISTORY 1 i0", "-ERR syntax error near 'HISTORY'"),
        CommandRow("TOPK u0 4 WEIGHTS 1", "-ERR syntax error near 'WEIGHTS'"),
    ]

    private static let reasons: [CommandRow] = [
        CommandRow("WHYNOT u0 i0 2", "%4 'reason' 'answered' 'rank' :2 'score' (1) 'kth-score' (1)"),
        CommandRow("WHYNOT u0 i3 2", "%4 'reason' 'rank' 'rank' :4 'score' (0) 'kth-score' (1)"),
        CommandRow("WHYNOT u0 i2 2 EXCLUDE 1 i2", "%4 'reason' 'excluded' 'rank' :1 'score' (2) 'kth-score' (0)"),
        CommandRow("WHYNOT u2 i2 1", "%4 'reason' 'seen' 'rank' :1 'score' (0.75) 'kth-score' (0.375)"),
        CommandRow("WHYNOT u2 i2 1 WITHSEEN", "%4 'reason' 'answered' 'rank' :1 'score' (0.75) 'kth-score' (0.75)"),
        CommandRow("WHYNOT u0 absent 2", "%4 'reason' 'unknown-item' 'rank' nil 'score' nil 'kth-score' (1)"),
        CommandRow("WHYNOT u0 i2 1 TRUTH INDEX shop", "%4 'reason' 'answered' 'rank' :1 'score' (2) 'kth-score' (2)"),
        CommandRow(
            "WHYNOT nobody i0 1 HISTORY 1 i0 WEIGHTS 9",
            "%4 'reason' 'seen' 'rank' :2 'score' (0.5625) 'kth-score' (1.125)"
        ),
        CommandRow("WHYNOT nobody i0 2", "-NOUSER"),
        CommandRow("WHYNOT u0 i0 0", "-ERR invalid k '0'"),
        CommandRow("WHYNOT u0 i0 2 WITHSCORES", "-ERR WHYNOT always tells scores and never attributes"),
        CommandRow("WHYNOT u0 i0 2 WITHATTRIBS", "-ERR WHYNOT always tells scores and never attributes"),
        CommandRow("WHYNOT u0 i0 2 INDEX other", "-NOINDEX"),
        // The whole score is of the one event: 3 · 2 · 2 / 16.
        CommandRow(
            "EXPLAIN u2 i2",
            "%6 'score' (0.75) 'method' 'als' 'events' :1 'baseline' (0) 'contributions' *1 *3 'i2' (3) (0.75) 'rest' (0)"
        ),
        CommandRow(
            "EXPLAIN u2 i0 COUNT 1 INDEX shop",
            "%6 'score' (0.375) 'method' 'als' 'events' :1 'baseline' (0) 'contributions' *1 *3 'i2' (3) (0.375) 'rest' (0)"
        ),
        CommandRow("EXPLAIN u2 absent", "-NOITEM no item 'absent' in index 'shop': check the id"),
        CommandRow("EXPLAIN nobody i0", "-NOUSER"),
        CommandRow("EXPLAIN u0 i0", "-ERR"),
        CommandRow("EXPLAIN u2 i2 COUNT 0", "-ERR invalid COUNT '0': give an integer from 1 to 1000000"),
        CommandRow("EXPLAIN u2 i2 COUNT 1000001", "-ERR invalid COUNT"),
        CommandRow("EXPLAIN u2 i2 WITHTIMES", "-ERR syntax error near 'WITHTIMES'"),
        CommandRow("EXPLAIN u2 i2 INDEX other", "-NOINDEX"),
    ]

    private static let twoIndexes: [CommandRow] = [
        CommandRow("TOPK u0 1", "-NOINDEX several indexes are served; add INDEX and one of: shop, twin"),
        CommandRow("MTOPK 1 u0 1", "-NOINDEX several indexes are served"),
        CommandRow("SCORE u0 1 i0", "-NOINDEX several indexes are served"),
        CommandRow("SEEN u2", "-NOINDEX several indexes are served"),
        CommandRow("EXPLAIN u2 i2", "-NOINDEX several indexes are served"),
        CommandRow("WHYNOT u2 i2 1", "-NOINDEX several indexes are served"),
        CommandRow("EVENT u2 i2", "-NOINDEX several indexes are served"),
        CommandRow("TOPK u0 1 INDEX twin", "*1 'i2'"),
        CommandRow("VDIM twin", ":2"),
        CommandRow("DBSIZE", ":2"),
        CommandRow("EXISTS shop twin", ":2"),
        CommandRow("SCAN 0", "*2 '0' *2 'shop' 'twin'"),
        CommandRow("SCAN 0 MATCH t*", "*2 '0' *1 'twin'"),
    ]

    private static let graph: [CommandRow] = [
        CommandRow("TOPK u0 2 EF 65536", "*2 'i2' 'i0'"),
        CommandRow("MTOPK 1 u0 2 EF 10", "*1 *2 'i2' 'i0'"),
        CommandRow("WHYNOT u0 i0 2 EF 10", "%4 'reason' 'answered' 'rank' :2 'score' (1) 'kth-score' (1)"),
        CommandRow("VSIM shop ELE i0 COUNT 2 EF 10", "*2 'i2' 'i0'"),
        CommandRow("TOPK u0 2 EF 0", "-ERR invalid EF '0': give an integer from 1 to 65536"),
        CommandRow("TOPK u0 2 EF 65537", "-ERR invalid EF '65537'"),
        CommandRow("TOPK u0 2 KAPPA 1", "-ERR KAPPA is for inverted files"),
        CommandRow("TOPK u0 2 HISTORY 1 i0", "-ERR HISTORY needs a version that folds in, index 'shop' has none"),
        CommandRow("TOPK nobody 2", "-NOUSER build a version with this user's factors"),
        CommandRow("EXPLAIN u0 i0", "-ERR"),
        CommandRow("VLINKS shop i0", "*1 *3 <rest>"),
        CommandRow("VLINKS shop i0 WITHSCORES", "*1 %3 <rest>"),
        CommandRow("VLINKS shop absent", "nil"),
    ]

    private static let invertedFile: [CommandRow] = [
        CommandRow("TOPK u0 2 NPROBE 1", "*2 'i2' 'i0'"),
        CommandRow("TOPK u0 2 KAPPA 1", "*2 'i2' 'i0'"),
        CommandRow("MTOPK 1 u0 2 NPROBE 1", "*1 *2 'i2' 'i0'"),
        CommandRow("MTOPK 1 u0 2 KAPPA 1", "*1 *2 'i2' 'i0'"),
        CommandRow("WHYNOT u0 i0 2 NPROBE 1", "%4 'reason' 'answered' 'rank' :2 'score' (1) 'kth-score' (1)"),
        CommandRow("WHYNOT u0 i0 2 KAPPA 1", "%4 'reason' 'answered' 'rank' :2 'score' (1) 'kth-score' (1)"),
        CommandRow("VSIM shop ELE i0 COUNT 2 KAPPA 1", "*2 'i2' 'i0'"),
        CommandRow("TOPK u0 2 NPROBE 0", "-ERR invalid NPROBE '0': give an integer from 1 to 65536"),
        CommandRow("TOPK u0 2 NPROBE 65537", "-ERR invalid NPROBE"),
        CommandRow("TOPK u0 2 KAPPA 0", "-ERR invalid KAPPA '0': give a number above 0, at most 1"),
        CommandRow("TOPK u0 2 KAPPA 1.01", "-ERR invalid KAPPA '1.01'"),
        CommandRow("TOPK u0 2 EF 5", "-ERR EF is for graphs"),
        CommandRow("VLINKS shop i0", "nil"),
    ]
}
