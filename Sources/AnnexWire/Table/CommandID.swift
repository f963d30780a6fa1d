/// The commands that concern the connection or the process; the network layer answers them. The raw value is the name in the
/// table: `parent|child` of a subcommand.
package enum ConnectionCommand: String, Sendable, CaseIterable {
    case ping, echo, hello, auth, quit, reset, select, info, role, command
    case readonly, readwrite, asking, deadline
    case multi, exec, discard, watch
    case clientID = "client|id", clientGetName = "client|getname", clientSetName = "client|setname", clientSetInfo =
        "client|setinfo", clientCapabilities = "client|capa", clientInfo = "client|info", clientList = "client|list",
        clientKill = "client|kill", clientTracking = "client|tracking", clientNoEvict = "client|no-evict",
        clientNoTouch = "client|no-touch", clientReply = "client|reply"
    case commandCount = "command|count", commandList = "command|list", commandInfo = "command|info", commandDocs =
        "command|docs", commandGetKeys = "command|getkeys", commandGetKeysAndFlags = "command|getkeysandflags"
    case configGet = "config|get", configSet = "config|set", configResetStatistics = "config|resetstat"
    case slowlogGet = "slowlog|get", slowlogLength = "slowlog|len", slowlogReset = "slowlog|reset"
    case latencyLatest = "latency|latest", latencyReset = "latency|reset", latencyHistogram = "latency|histogram"
    case clusterInfo = "cluster|info", clusterKeySlot = "cluster|keyslot", clusterMyID = "cluster|myid", clusterNodes =
        "cluster|nodes", clusterShards = "cluster|shards", clusterSlots = "cluster|slots"
    case aclWhoAmI = "acl|whoami"

    /// Its row of the table; that of its command, where it is a subcommand.
    package var specification: CommandSpecification {
        switch self {
        case .ping: .ping
        case .echo: .echo
        case .hello: .hello
        case .auth: .auth
        case .quit: .quit
        case .reset: .reset
        case .select: .select
        case .info: .info
        case .role: .role
        case .readonly: .readonly
        case .readwrite: .readwrite
        case .asking: .asking
        case .deadline: .deadline
        case .multi: .multi
        case .exec: .exec
        case .discard: .discard
        case .watch: .watch
        case .clientID, .clientGetName, .clientSetName, .clientSetInfo, .clientCapabilities, .clientInfo, .clientList,
            .clientKill, .clientTracking, .clientNoEvict, .clientNoTouch, .clientReply:
            .client
        case .command, .commandCount, .commandList, .commandInfo, .commandDocs, .commandGetKeys,
            .commandGetKeysAndFlags:
            .command
        case .configGet, .configSet, .configResetStatistics: .config
        case .slowlogGet, .slowlogLength, .slowlogReset: .slowlog
        case .latencyLatest, .latencyReset, .latencyHistogram: .latency
        case .clusterInfo, .clusterKeySlot, .clusterMyID, .clusterNodes, .clusterShards, .clusterSlots: .cluster
        case .aclWhoAmI: .acl
        }
    }
}

/// The commands about users, items and indexes; a shard or a router answers them. The raw value is the name in the
/// table: `parent|child` of a subcommand.
package enum HandlerCommand: String, Sendable, CaseIterable {
    case topk, mtopk, score
    case event, seen, forget, explain, whynot, waitpos, atomic
    case eventDelete = "event.del"
    case vsim, vemb, vdim, vcard, vinfo, vismember, vrandmember, vgetattr, vlinks
    case indexes, reload, dbsize, ready
    case type, exists, scan
    case memoryUsage = "memory|usage"

    /// Its row of the table; that of its command, where it is a subcommand.
    package var specification: CommandSpecification {
        switch self {
        case .topk: .topk
        case .mtopk: .mtopk
        case .score: .score
        case .event: .event
        case .eventDelete: .eventDelete
        case .seen: .seen
        case .forget: .forget
        case .explain: .explain
        case .whynot: .whynot
        case .waitpos: .waitpos
        case .atomic: .atomic
        case .vsim: .vsim
        case .vemb: .vemb
        case .vdim: .vdim
        case .vcard: .vcard
        case .vinfo: .vinfo
        case .vismember: .vismember
        case .vrandmember: .vrandmember
        case .vgetattr: .vgetattr
        case .vlinks: .vlinks
        case .indexes: .indexes
        case .reload: .reload
        case .dbsize: .dbsize
        case .ready: .ready
        case .type: .type
        case .exists: .exists
        case .scan: .scan
        case .memoryUsage: .memory
        }
    }
}

/// What a request asks for. Who answers it has a switch over all of its own commands, so that a new one compiles only when it is
/// finished.
package enum CommandID: Sendable, Hashable {
    case connection(ConnectionCommand)
    case handler(HandlerCommand)
    /// `HELP` of a command that has subcommands.
    case help
    /// A command that has subcommands, and none of them: it is refused.
    case container

    /// As in the table; nil where the row says it.
    var name: String? {
        switch self {
        case .connection(let id): id.rawValue
        case .handler(let id): id.rawValue
        case .help, .container: nil
        }
    }
}
