/// COMMAND, CONFIG, INFO, SLOWLOG, LATENCY, and CLUSTER alone and in a cluster.
extension CommandTableOfRows {
    static let administration = [
        Self("commands", Scene(), Self.command),
        Self("settings and statistics", Scene(), Self.server),
    ]
    static let clusters = [
        Self("no cluster", Scene(), Self.alone),
        Self("a shard", Scene(isShard: true), Self.shard),
    ]

    private static let command: [CommandRow] = [
        CommandRow("COMMAND", "*52 *10 <rest>"),
        CommandRow("COMMAND COUNT", ":52"),
        CommandRow("COMMAND LIST", "*52 'acl' 'asking' 'atomic' 'auth' 'client' <rest>"),
        CommandRow(
            "COMMAND INFO echo none",
            "*2 *10 'echo' :2 <rest>"
        ),
        CommandRow("COMMAND INFO none", "*1 nil*"),
        CommandRow("COMMAND INFO client|id", "*1 *10 'client|id' :2 <rest>"),
        CommandRow("COMMAND DOCS echo echo none", "%1 'echo' <rest>"),
        CommandRow("COMMAND DOCS none", "%0"),
        CommandRow("COMMAND GETKEYS TOPK u0 2", "*1 'u0'"),
        CommandRow("COMMAND GETKEYS MTOPK 2 u0 u1 5", "*2 'u0' 'u1'"),
        CommandRow("COMMAND GETKEYS EXISTS a b", "*2 'a' 'b'"),
        CommandRow("COMMAND GETKEYS MEMORY USAGE shop", "*1 'shop'"),
        CommandRow("COMMAND GETKEYSANDFLAGS VDIM shop", "*1 *2 'shop' ~2 +RO +access"),
        CommandRow("COMMAND GETKEYS PING", "-ERR The command has no key arguments"),
        CommandRow("COMMAND GETKEYS NONE x", "-ERR Invalid command specified"),
        CommandRow("COMMAND GETKEYS TOPK u0", "-ERR Invalid number of arguments specified for command"),
        CommandRow("COMMAND GETKEYS MTOPK 9 u0 u1 5", "-ERR Invalid arguments specified for command"),
        CommandRow("COMMAND STEAL", "-ERR unknown subcommand 'STEAL'. Try COMMAND HELP."),
        CommandRow("COMMAND HELP", "*14 'COMMAND COUNT' <rest>"),
    ]

    private static let server: [CommandRow] = [
        CommandRow("CONFIG GET save appendonly", "%2 'appendonly' 'no' 'save' ''"),
        CommandRow("CONFIG GET slowlog-*", "%2 'slowlog-log-slower-than' '10000' 'slowlog-max-len' '128'"),
        CommandRow("CONFIG GET none", "%0"),
        CommandRow("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 5", "+OK"),
        CommandRow("CONFIG GET slowlog-max-len", "%1 'slowlog-max-len' '5'"),
        CommandRow("PING", "+PONG"),
        CommandRow("SLOWLOG GET 1", "*1 *6 :<n> :<n> :<n> *1 'PING' '~127.0.0.1:' ''"),
        CommandRow("CONFIG SET slowlog-log-slower-than -1", "+OK"),
        CommandRow("SLOWLOG RESET", "+OK"), CommandRow("SLOWLOG LEN", ":0"),
        CommandRow("SLOWLOG GET", "*0"), CommandRow("SLOWLOG GET -1", "*0"),
        CommandRow("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
        CommandRow("SLOWLOG NONE", "-ERR unknown subcommand 'NONE'. Try SLOWLOG HELP."),
        CommandRow("SLOWLOG HELP", "*8 'SLOWLOG GET [count]' <rest>"),
        CommandRow("CONFIG SET timeout 31536000", "+OK"),
        CommandRow("CONFIG SET timeout 31536001", "-ERR argument must be between 0 and 31536000 inclusive"),
        CommandRow("CONFIG SET timeout soon", "-ERR CONFIG SET failed (possibly related to argument 'timeout')"),
        CommandRow("CONFIG SET maxclients 0", "-ERR argument must be between 1 and 1000000 inclusive"),
        CommandRow("CONFIG SET port 1", "-ERR CONFIG SET failed - 'port' can only be set when the server starts"),
        CommandRow("CONFIG SET nonsense 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'"),
        CommandRow("CONFIG SET timeout 1 maxclients", "-ERR wrong number of arguments for 'config|set' command"),
        CommandRow("CONFIG RESETSTAT", "+OK"),
        CommandRow("CONFIG REWRITE", "-ERR unknown subcommand 'REWRITE'. Try CONFIG HELP."),
        CommandRow("CONFIG HELP", "*8 'CONFIG GET pattern [pattern …]' <rest>"),
        CommandRow("PING", "+PONG"),
        CommandRow("LATENCY HISTOGRAM ping", "%1 'ping' %2 'calls' :1 'histogram_usec' %1 :<n> :1"),
        CommandRow("LATENCY HISTOGRAM none", "%0"),
        CommandRow("LATENCY LATEST", "*0"), CommandRow("LATENCY RESET", ":0"),
        CommandRow("LATENCY RESET command", ":0"),
        CommandRow("LATENCY DOCTOR", "-ERR unknown subcommand 'DOCTOR'. Try LATENCY HELP."),
        CommandRow("LATENCY HELP", "*8 <rest>"),
        CommandRow("INFO indexes", #"`~# Indexes\r\nindex_shop:version=v1,kind=Flat,metric=ip,items=4,users=3`"#),
        CommandRow("INFO server clients", "`~connected_clients:1`"),
        CommandRow("INFO commandstats", "`~cmdstat_ping:calls=1,`"),
        CommandRow("INFO", "`~redis_mode:standalone`"), CommandRow("INFO none", "``"),
    ]

    private static let alone: [CommandRow] = [
        CommandRow("CLUSTER KEYSLOT foo", ":12182"), CommandRow("CLUSTER KEYSLOT {u9}b", ":4310"),
        CommandRow("CLUSTER MYID", "'~'"),
        CommandRow("CLUSTER INFO", "`~cluster_enabled:0`"),
        CommandRow("CLUSTER SLOTS", "-ERR This instance has cluster support disabled: start it with --cluster FILE"),
        CommandRow("CLUSTER SHARDS", "-ERR This instance has cluster support disabled"),
        CommandRow("CLUSTER NODES", "-ERR This instance has cluster support disabled"),
        CommandRow("CLUSTER FAILOVER", "-ERR unknown subcommand 'FAILOVER'. Try CLUSTER HELP."),
        CommandRow("CLUSTER HELP", "*14 <rest>"),
    ]

    /// Slots are CRC16 of the user mod 16,384: u0 511, u1 4574, u2 8637. Ids of nodes are SHA-1 of their addresses.
    private static let shard: [CommandRow] = [
        CommandRow("TOPK u0 1", "*1 'i2'"),
        CommandRow("TOPK u2 1", "-MOVED 8637 127.0.0.1:7002"),
        CommandRow("MTOPK 2 u0 u1 1", "*2 *1 'i2' *1 'i1'"),
        CommandRow("MTOPK 2 u0 u2 1", "-CROSSSLOT Keys in request don't hash to the same slot"),
        CommandRow("MULTI", "+OK"), CommandRow("SEEN u2", "-MOVED 8637 127.0.0.1:7002"),
        CommandRow("EXEC", "-EXECABORT"),
        CommandRow("VSIM shop ELE i0 COUNT 1", "*1 'i2'"),
        CommandRow("CLUSTER MYID", "'73e424d53fc3edc27f2c55eb2808f7bdd833f129'"),
        CommandRow(
            "CLUSTER SLOTS",
            """
            *2 *3 :0 :8191 *4 '127.0.0.1' :7001 '73e424d53fc3edc27f2c55eb2808f7bdd833f129' %0
            *3 :8192 :16383 *4 '127.0.0.1' :7002 '7d4851f44d8545c53c944f280ba6cda05620b163' %0
            """
        ),
        CommandRow(
            "CLUSTER SHARDS",
            """
            *2 %2 'slots' *2 :0 :8191 'nodes' *1 %7 'id' '73e424d53fc3edc27f2c55eb2808f7bdd833f129' 'port' :7001
            'ip' '127.0.0.1' 'endpoint' '127.0.0.1' 'role' 'master' 'replication-offset' :0 'health' 'online'
            %2 'slots' *2 :8192 :16383 'nodes' *1 %7 'id' '7d4851f44d8545c53c944f280ba6cda05620b163' 'port' :7002
            'ip' '127.0.0.1' 'endpoint' '127.0.0.1' 'role' 'master' 'replication-offset' :0 'health' 'online'
            """
        ),
        CommandRow("CLUSTER NODES", "`~73e424d53fc3edc27f2c55eb2808f7bdd833f129 127.0.0.1:7001@7001 myself,master - `"),
        CommandRow("CLUSTER INFO", #"`~cluster_state:ok\r\ncluster_slots_assigned:16384`"#),
    ]
}
