package import AnnexCore
import AnnexWire

/// Describes the settings of a listener.
package enum ServerSettings {
    package typealias Row = Setting<ServerConfiguration>

    private static let year = 31_536_000
    private static let everywhere: Row.Sources = [.flag, .file]

    package static let host = Row(
        "host",
        everywhere,
        parameter: "bind",
        .text(form: "an address or localhost", isPath: false, read: { $0.host }, write: { $0.host = $1 }),
        help: "Address to bind; any but loopback needs a password."
    )
    package static let port = Row(
        "port",
        everywhere,
        parameter: "port",
        .whole(\.port, 0...65_535),
        help: "TCP port; 0 takes a free one."
    )
    package static let threads = Row(
        "threads",
        everywhere,
        parameter: "io-threads",
        automatic: "one per core",
        .whole(\.threads, 1...1_024),
        help: "Event loops."
    )
    package static let maximumConnections = Row(
        "max-connections",
        [.flag, .file, .configSet],
        parameter: "maxclients",
        .whole(\.maximumConnections, 1...1_000_000),
        help: "Connections served at once; the next one gets an error and is closed."
    )
    package static let idleTimeout = Row(
        "idle-timeout",
        [.flag, .file, .configSet],
        parameter: "timeout",
        unit: "seconds",
        .seconds(\.idleTimeout, 0...year),
        help: "Silence after which a connection is closed; 0: never."
    )

    /// Lists settings that only a file gives.
    private static let sizes: [Row] = [
        file(
            "deferred-threads",
            \.deferredThreads,
            1...1_024,
            "Threads for what leaves the loops: large scans and batches."
        ),
        file("maximum-deferred", \.maximumDeferred, 1...1_000_000, "Commands that may wait for one of those threads."),
        file(
            "pipeline-depth",
            \.pipelineDepth,
            1...1_000_000,
            "Commands of one connection that are answered before others get their turn."
        ),
        file(
            "argument-bytes",
            \.limits.argumentBytes,
            512...(512 << 20),
            parameter: "proto-max-bulk-len",
            "Bytes of one argument; an id has up to \(Identifier.maximumLength)."
        ),
        file(
            "command-bytes",
            \.limits.commandBytes,
            1_000...(512 << 20),
            parameter: "client-query-buffer-limit",
            "Bytes of one command."
        ),
        file(
            "line-bytes",
            \.limits.lineBytes,
            512...(512 << 20),
            parameter: "proto-inline-max-size",
            "Bytes of one inline line."
        ),
        file(
            "arguments",
            \.limits.arguments,
            16...(1 << 24),
            parameter: "proto-max-arguments",
            "Arguments of one command, its name included."
        ),
        file(
            "output-buffer-bytes",
            \.outputBufferBytes,
            1_024...(1 << 31),
            "Bytes of one reply; a larger one becomes an error."
        ),
        file(
            "pipeline-buffer-bytes",
            \.pipelineBufferBytes,
            65_536...(1 << 30),
            "Bytes of replies that may wait for one client before its next command is read."
        ),
        file(
            "all-clients-bytes",
            \.allClientsBytes,
            65_536...(1 << 45),
            parameter: "maxmemory-clients",
            "Bytes held for all clients together; above it the connection that holds most is closed."
        ),
    ]

    private static let times: [Row] = [
        time("auth-timeout", \.authTimeout, 1...year, "Time from connecting to AUTH, where a password is set."),
        time(
            "unfinished-command-timeout",
            \.unfinishedCommandTimeout,
            1...year,
            "Time from a command's first byte to its last."
        ),
        time(
            "stalled-timeout",
            \.stalledTimeout,
            1...year,
            "Time in which a client takes none of its replies until its connection is closed."
        ),
        time(
            "tcp-keepalive",
            \.tcpKeepalive,
            0...year,
            "Silence after which the system asks for the client's machine; 0: never."
        ),
    ]

    private static let slowlog: [Row] = [
        Row(
            "slowlog-microseconds",
            [.file, .configSet],
            parameter: "slowlog-log-slower-than",
            unit: "microseconds",
            .whole(\.slowlogMicroseconds, -1...Int(Int32.max)),
            help: "Commands that take at least so long enter SLOWLOG; -1: none."
        ),
        Row(
            "slowlog-length",
            [.file, .configSet],
            parameter: "slowlog-max-len",
            .whole(\.slowlogLength, 0...1_000_000),
            help: "Entries that SLOWLOG keeps."
        ),
    ]

    /// Lists settings that only code gives. CONFIG GET shows the first.
    private static let fixed: [Row] = [
        Row(
            "backlog",
            [],
            parameter: "tcp-backlog",
            .whole(\.backlog, 1...65_535),
            help: "Connections that the system has accepted and the server has not; only shown."
        ),
        Row("max-auth-failures", [], .whole(\.maximumAuthFailures, 1...1_000), help: "Failed AUTHs of one connection."),
        Row("auth-failure-delay", [], .seconds(\.authFailureDelay, 0...year), help: "Wait before AUTH fails."),
        Row("sweep-interval", [], .seconds(\.sweepInterval, 1...year), help: "Between looks at deadlines."),
    ]

    package static let all: [Row] =
        [host, port, threads, maximumConnections, idleTimeout] + sizes + times + slowlog + fixed

    private static func file(
        _ name: String,
        _ path: any WritableKeyPath<ServerConfiguration, Int> & Sendable,
        _ range: ClosedRange<Int>,
        parameter: String? = nil,
        _ help: String
    ) -> Row {
        Row(name, .file, parameter: parameter ?? name, .whole(path, range), help: help)
    }

    private static func time(
        _ name: String,
        _ path: any WritableKeyPath<ServerConfiguration, Duration> & Sendable,
        _ range: ClosedRange<Int>,
        _ help: String
    ) -> Row {
        Row(name, .file, parameter: name, unit: "seconds", .seconds(path, range), help: help)
    }
}
