import AnnexCore
import AnnexEngine
import AnnexVersionSupport
import AnnexWire
import Testing

/// Words in, the bytes of the reply out, in both protocols: each command of a shard over four items that anybody can score in
/// their head. `i0` = (1, 0), `i1` = (0, 2), `i2` = (3, 1), `i3` = (-1, 0); `u0` = (1, 0), `u1` = (0, 1); inner product.
@Suite struct ReplyTableTests {
    struct Row: Sendable {
        let command: String
        let two: String
        let three: String

        init(_ command: String, _ two: String, _ three: String? = nil) {
            self.command = command
            self.two = two
            self.three = three ?? two
        }
    }

    private static let rows: [Row] = [
        Row("TOPK u0 2", "*2 $2 i2 $2 i0"),
        Row("TOPK u0 9", "*4 $2 i2 $2 i0 $2 i1 $2 i3"),
        Row("TOPK u1 4", "*4 $2 i1 $2 i2 $2 i0 $2 i3"),
        Row("topk u0 9 exclude 2 i2 absent", "*3 $2 i0 $2 i1 $2 i3"),
        Row("TOPK u0 2 WITHSCORES", "*4 $2 i2 $1 3 $2 i0 $1 1", "*2 *2 $2 i2 ,3 *2 $2 i0 ,1"),
        Row("TOPK u0 1 WITHATTRIBS", "*2 $2 i2 $11 {\"id\":\"i2\"}", "*1 *2 $2 i2 $11 {\"id\":\"i2\"}"),
        Row(
            "TOPK u0 1 WITHATTRIBS WITHSCORES",
            "*3 $2 i2 $1 3 $11 {\"id\":\"i2\"}",
            "*1 *3 $2 i2 ,3 $11 {\"id\":\"i2\"}"
        ),
        Row("TOPK u0 2 TRUTH INDEX shop", "*2 $2 i2 $2 i0"),
        Row("TOPK nobody 2", "-NOUSER"), Row("TOPK u0 0", "-ERR"), Row("TOPK u0 10001", "-ERR"),
        Row("TOPK u0 2 INDEX other", "-NOINDEX"), Row("TOPK u0 2 FANCY", "-ERR"),
        Row("MTOPK 2 u0 nobody 1", "*2 *1 $2 i2 *-1", "*2 *1 $2 i2 _"),
        Row("MTOPK 1 u1 1 WITHSCORES", "*1 *2 $2 i1 $1 2", "*1 *1 *2 $2 i1 ,2"),
        Row("MTOPK 0 u0 1", "-ERR"),
        Row("SCORE u1 3 i1 x i3", "*3 $1 2 $-1 $1 0", "*3 ,2 _ ,0"), Row("SCORE nobody 1 i1", "-NOUSER"),
        Row("VSIM shop ELE i0 COUNT 2", "*2 $2 i2 $2 i0"), Row("VSIM shop ELE x", "-NOITEM"),
        Row("VSIM shop VALUES 2 0 1 COUNT 1 WITHSCORES", "*2 $2 i1 $1 2", "%1 $2 i1 ,2"),
        Row(
            "VSIM shop VALUES 2 0 1 COUNT 1 WITHSCORES WITHATTRIBS",
            "*3 $2 i1 $1 2 $11 {\"id\":\"i1\"}",
            "%1 $2 i1 *2 ,2 $11 {\"id\":\"i1\"}"
        ),
        Row("VSIM shop VALUES 3 1 1 1", "-BADVECTOR"), Row("VSIM other ELE i0", "-NOINDEX"),
        Row("VEMB shop i1", "*2 $1 0 $1 2", "*2 ,0 ,2"), Row("VEMB shop x", "$-1", "_"),
        Row("VDIM shop", ":2"), Row("VCARD shop", ":4"),
        Row("VISMEMBER shop i0", ":1", "#t"), Row("VISMEMBER shop x", ":0", "#f"),
        Row("VGETATTR shop i3", "$11 {\"id\":\"i3\"}"), Row("VGETATTR shop x", "$-1", "_"),
        Row("VLINKS shop i0", "$-1", "_"), Row("VRANDMEMBER shop 0", "*0"),
        Row("DBSIZE", ":1"), Row("TYPE shop", "+vectorset"), Row("TYPE x", "+none"), Row("EXISTS shop x shop", ":2"),
        Row("SCAN 0", "*2 $1 0 *1 $4 shop"), Row("SCAN 0 MATCH x*", "*2 $1 0 *0"), Row("READY", "+OK"),
        Row("SEEN u0", "*0"), Row("EVENT u0 i0", "-ERR"), Row("EVENT u0 absent", "-ERR"),
        Row("EXPLAIN u0 i0", "-ERR"), Row("EXPLAIN u0 x", "-NOITEM"),
        Row(
            "WHYNOT u0 i3 2",
            "*8 $6 reason $4 rank $4 rank :4 $5 score $2 -1 $9 kth-score $1 1",
            "%4 $6 reason $4 rank $4 rank :4 $5 score ,-1 $9 kth-score ,1"
        ),
        Row(
            "WHYNOT u0 i2 2 EXCLUDE 1 i2",
            "*8 $6 reason $8 excluded $4 rank :1 $5 score $1 3 $9 kth-score $1 0",
            "%4 $6 reason $8 excluded $4 rank :1 $5 score ,3 $9 kth-score ,0"
        ),
    ]

    private static func row(_ id: String) -> [Float] {
        let rows: [String: [Float]] = [
            "i0": [1, 0], "i1": [0, 2], "i2": [3, 1], "i3": [-1, 0], "u0": [1, 0], "u1": [0, 1],
        ]
        return rows[id] ?? [0, 0]
    }

    /// Blanks in the table stand for line ends. Of an error the code counts.
    @Test(arguments: [RESPVersion.two, .three]) func eachCommand(_ version: RESPVersion) throws {
        let small = try SmallVersion(items: 4, users: 2, dimension: 2, kind: "Flat", row: Self.row)
        let engine = try Engine(indexes: [small.description.index]) { _, _ in
            try ServedVersion(loading: small.description)
        }
        let bench = try Bench(engine, version: version)
        for row in Self.rows {
            let expected = version == .two ? row.two : row.three
            let bytes = bench.bytes(row.command.split(separator: " ").map(String.init))
            if expected.hasPrefix("-") {
                #expect(bytes.hasPrefix(expected + " ") && bytes.hasSuffix("\r\n"), "\(row.command): \(bytes)")
            } else {
                #expect(bytes == expected.replacing(" ", with: "\r\n") + "\r\n", "\(row.command)")
            }
        }
    }
}
