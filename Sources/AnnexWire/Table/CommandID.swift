/// Names the commands that concern the connection or the process; the network layer answers them. The raw value is the
/// name on the wire.
package enum ConnectionCommand: String, Sendable, CaseIterable {
    case ping, echo, hello, auth, quit, reset, select, client, command, config, info, slowlog, latency
    case readonly, readwrite, asking, deadline
    case multi, exec, discard, watch
    case cluster, acl, role

    package var specification: CommandSpecification {
        switch self {
        case .ping: .ping
        case .echo: .echo
        case .hello: .hello
        case .auth: .auth
        case .quit: .quit
        case .reset: .reset
        case .select: .select
        case .client: .client
        case .command: .command
        case .config: .config
        case .info: .info
        case .slowlog: .slowlog
        case .latency: .latency
        case .readonly: .readonly
        case .readwrite: .readwrite
        case .asking: .asking
        case .deadline: .deadline
        case .multi: .multi
        case .exec: .exec
        case .discard: .discard
        case .watch: .watch
        case .cluster: .cluster
        case .acl: .acl
        case .role: .role
        }
    }
}

/// Names the commands about users, items and indexes; a shard or a router answers them. The raw value is the name on
/// the wire.
package enum HandlerCommand: String, Sendable, CaseIterable {
    case topk, mtopk, score
    case event, seen, forget, explain, whynot, waitpos, atomic
    case eventDelete = "event.del"
    case vsim, vemb, vdim, vcard, vinfo, vismember, vrandmember, vgetattr, vlinks
    case indexes, reload, dbsize, ready
    case type, exists, scan, memory

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
        case .memory: .memory
        }
    }
}

/// Names every command that can be dispatched. Who answers it has a switch over all of its own commands, so that a new
/// one compiles only when it is finished.
package enum CommandID: Sendable, Hashable {
    case connection(ConnectionCommand)
    case handler(HandlerCommand)

    /// Names the command in lower case, as in the table.
    package var name: String {
        switch self {
        case .connection(let id): id.rawValue
        case .handler(let id): id.rawValue
        }
    }
}
