import AnnexCore

/// Redis's vector sets and key space: what is known of items and indexes.
extension CommandTableOfRows {
    static let items = [
        Self("vector sets", Scene(), Self.vectorSets),
        Self("vector sets with cosine", Scene(metric: .cosine, foldsIn: false), Self.cosine),
        Self("key space", Scene(), Self.keySpace),
    ]

    private static let vectorSets: [CommandRow] = [
        // Near i0 = (1, 0) by inner product: i2 2, i0 1, i1 and i3 0.
        CommandRow("VSIM shop ELE i0", "*4 'i2' 'i0' 'i1' 'i3'"),
        CommandRow("VSIM shop ELE i0 COUNT 1", "*1 'i2'"),
        CommandRow("VSIM shop ELE i0 COUNT 1 TRUTH", "*1 'i2'"),
        CommandRow("VSIM shop ELE i0 COUNT 10000", "*4 'i2' 'i0' 'i1' 'i3'"),
        CommandRow("VSIM shop VALUES 2 0 1 COUNT 1 WITHSCORES", "*2 'i1' '1'", three: "%1 'i1' ,1"),
        CommandRow(
            #"VSIM shop FP32 \x00\x00\x00\x00\x00\x00\x80\x3f COUNT 1 WITHSCORES"#,
            "*2 'i1' '1'",
            three: "%1 'i1' ,1"
        ),
        CommandRow("VSIM shop ELE i3 COUNT 1 WITHATTRIBS", #"*2 'i3' '{"id":"i3"}'"#, three: #"%1 'i3' '{"id":"i3"}'"#),
        CommandRow(
            "VSIM shop ELE i3 COUNT 1 WITHSCORES WITHATTRIBS",
            #"*3 'i3' '4' '{"id":"i3"}'"#,
            three: #"%1 'i3' *2 ,4 '{"id":"i3"}'"#
        ),
        CommandRow("VSIM shop ELE i0 COUNT 2 COUNT 1", "*1 'i2'"),
        CommandRow("VSIM shop ELE absent", "-NOITEM element not found in set: no item 'absent' in index 'shop'"),
        CommandRow("VSIM other ELE i0", "-NOINDEX no index 'other'"),
        CommandRow("VSIM shop ELE i0 COUNT 0", "-ERR invalid COUNT"),
        CommandRow("VSIM shop ELE i0 COUNT 10001", "-ERR invalid COUNT"),
        CommandRow("VSIM shop ELE i0 EF 0", "-ERR invalid EF"),
        CommandRow("VSIM shop ELE i0 EF 65537", "-ERR invalid EF"),
        CommandRow("VSIM shop ELE i0 EPSILON 0", "-ERR invalid EPSILON"),
        CommandRow(
            "VSIM shop ELE i0 EPSILON 0.5",
            "-ERR EPSILON needs the metric cosine, this index has ip: leave it out"
        ),
        CommandRow("VSIM shop ELE i0 KAPPA 0.5", "-ERR KAPPA is for inverted files"),
        CommandRow("VSIM shop ELE i0 FILTER x", "-ERR syntax error near 'FILTER'"),
        CommandRow("VSIM shop WORDS i0", "-ERR syntax error near 'WORDS'"),
        CommandRow("VSIM shop VALUES 3 1 1 1", "-BADVECTOR Vector dimension mismatch - got 3 but set has 2"),
        CommandRow("VSIM shop VALUES 2 1", "-ERR invalid vector specification"),
        CommandRow("VSIM shop VALUES 0 1", "-ERR invalid vector specification"),
        CommandRow("VSIM shop VALUES 2 1 x", "-BADVECTOR component 2 of 2 is not a finite number"),
        CommandRow("VSIM shop FP32 abc", "-BADVECTOR invalid vector specification: 3 bytes are not 1 to 4096 float32s"),
        CommandRow(
            #"VSIM shop FP32 \x00\x00\xc0\x7f\x00\x00\x80\x3f"#,
            "-BADVECTOR component 1 of 2 is not a finite number"
        ),
        CommandRow("VEMB shop i3", "*2 (0) (-2)"),
        CommandRow("VEMB shop i2 RAW", #"*3 +f32 '\x00\x00\x00\x40\x00\x00\x00\x00' (2)"#),
        CommandRow("VEMB shop absent", "nil"),
        CommandRow("VEMB shop i3 raw more", "-ERR syntax error near 'more'"),
        CommandRow("VDIM shop", ":2"), CommandRow("VDIM other", "-NOINDEX"),
        CommandRow("VCARD shop", ":4"), CommandRow("VCARD other", "-NOINDEX"),
        CommandRow("VISMEMBER shop i0", "#t"), CommandRow("VISMEMBER shop absent", "#f"),
        CommandRow("VGETATTR shop i3", #"'{"id":"i3"}'"#), CommandRow("VGETATTR shop absent", "nil"),
        CommandRow("VLINKS shop i0", "nil"), CommandRow("VLINKS other i0", "-NOINDEX"),
        CommandRow("VLINKS shop i0 WITHTIMES", "-ERR syntax error near 'WITHTIMES'"),
        CommandRow("VRANDMEMBER shop", "'~i'"),
        CommandRow("VRANDMEMBER shop 0", "*0"),
        CommandRow("VRANDMEMBER shop 3", "*3 '~i' '~i' '~i'"),
        CommandRow("VRANDMEMBER shop 10000", "*4 'i0' 'i1' 'i2' 'i3'"),
        CommandRow("VRANDMEMBER shop -3", "*3 '~i' '~i' '~i'"),
        CommandRow("VRANDMEMBER shop -10000", "*10000 <rest>"),
        CommandRow("VRANDMEMBER shop 10001", "-ERR COUNT value is out of range: give -10000 to 10000"),
        CommandRow("VRANDMEMBER shop -10001", "-ERR COUNT value is out of range"),
        CommandRow("VRANDMEMBER shop many", "-ERR COUNT value is not an integer"),
        CommandRow("VRANDMEMBER shop 1 2", "-ERR wrong number of arguments for 'vrandmember' command"),
        CommandRow(
            "VINFO shop",
            """
            %21 'quant-type' 'f32' 'hnsw-m' :0 'vector-dim' :2 'projection-input-dim' :0 'size' :4 'max-level' :0
            'attributes-count' :4 'vset-uid' :0 'hnsw-max-node-uid' :4 'users' :3 'unreachable-items' :0 'bytes' :<n>
            'heap-bytes' :<n> 'codes-bytes' :<n> 'reloads' :0 'index' 'shop' 'version' 'v1' 'index-kind' 'Flat' 'metric' 'ip'
            'default-effort' 'exact' 'default-item-effort' 'exact'
            """
        ),
        CommandRow("VINFO other", "-NOINDEX"),
    ]

    /// (1 + cos) / 2: i0 and i2 point the same way, i1 and i3 across.
    private static let cosine: [CommandRow] = [
        CommandRow(
            "VSIM shop ELE i0 WITHSCORES",
            "*8 'i0' '1' 'i2' '1' 'i1' '0.5' 'i3' '0.5'",
            three: "%4 'i0' ,1 'i2' ,1 'i1' ,0.5 'i3' ,0.5"
        ),
        CommandRow("VSIM shop ELE i0 EPSILON 0.25", "*2 'i0' 'i2'"),
        CommandRow("VSIM shop ELE i0 EPSILON 0.5", "*4 'i0' 'i2' 'i1' 'i3'"),
        // What has no direction is at right angles to everything.
        CommandRow("VSIM shop VALUES 2 0 0 COUNT 1 WITHSCORES", "*2 'i0' '0.5'", three: "%1 'i0' ,0.5"),
    ]

    private static let keySpace: [CommandRow] = [
        CommandRow("DBSIZE", ":1"),
        CommandRow("TYPE shop", "+vectorset"), CommandRow("TYPE other", "+none"),
        CommandRow("EXISTS shop other shop", ":2"), CommandRow("EXISTS other", ":0"),
        CommandRow("SCAN 0", "*2 '0' *1 'shop'"),
        CommandRow("SCAN 1", "*2 '0' *0"),
        CommandRow("SCAN 0 MATCH s?op COUNT 1 TYPE vectorset", "*2 '0' *1 'shop'"),
        CommandRow("SCAN 0 MATCH x*", "*2 '0' *0"),
        CommandRow("SCAN 0 TYPE string", "*2 '0' *0"),
        CommandRow("SCAN x", "-ERR invalid cursor"),
        CommandRow("SCAN 0 COUNT 0", "-ERR syntax error near '0'"),
        CommandRow("SCAN 0 COUNT x", "-ERR value is not an integer or out of range"),
        CommandRow("SCAN 0 MATCH", "-ERR syntax error near 'MATCH'"),
        CommandRow("SCAN 0 NOVALUES x", "-ERR syntax error near 'NOVALUES'"),
        CommandRow("MEMORY USAGE shop", ":<n>"),
        CommandRow("MEMORY USAGE shop SAMPLES 5", ":<n>"),
        CommandRow("MEMORY USAGE other", "nil"),
        CommandRow("MEMORY USAGE shop SAMPLES -1", "-ERR value is not an integer or out of range"),
        CommandRow("MEMORY USAGE shop 5", "-ERR syntax error near '5'"),
        CommandRow("MEMORY DOCTOR", "-ERR unknown subcommand 'DOCTOR'. Try MEMORY HELP."),
        CommandRow("MEMORY HELP", "*4 'MEMORY USAGE key [SAMPLES count]' '~Bytes' 'MEMORY HELP' '~subcommands'"),
        CommandRow(
            "INDEXES",
            "*1 %7 'name' 'shop' 'version' 'v1' 'kind' 'Flat' 'metric' 'ip' 'items' :4 'users' :3 'dimension' :2"
        ),
        CommandRow("READY", "+OK"),
        CommandRow("RELOAD shop v2", "+v2"),
        CommandRow(
            "INDEXES",
            "*1 %7 'name' 'shop' 'version' 'v2' 'kind' 'Flat' 'metric' 'ip' 'items' :4 'users' :3 'dimension' :2"
        ),
        CommandRow("RELOAD shop v9", "-ERR RELOAD failed, the version before is still served"),
        CommandRow("RELOAD shop ../v1", "-ERR '../v1' is no version's name"),
        CommandRow("RELOAD other", "-NOINDEX no index 'other'"),
        CommandRow("RELOAD shop v1 v2", "-ERR wrong number of arguments for 'reload' command"),
        CommandRow("RELOAD shop", "+v1"),
    ]
}
