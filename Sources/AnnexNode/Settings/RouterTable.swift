package import AnnexCore
import AnnexServer

/// Describes the settings that `annctl route` has flags for.
package enum RouterTable {
    package typealias Row = Setting<RouterNodeSettings>

    package static let passwordFile = Row(
        "password-file",
        .flag,
        .passwordFile(\.password),
        help: "File whose first line is the clients' password."
    )
    package static let shardPasswordFile = Row(
        "shard-password-file",
        .flag,
        automatic: "that of the clients",
        .passwordFile(\.shardPassword),
        help: "File whose first line is the password of the shards."
    )
    package static let drainPause = Row(
        "drain-pause",
        .flag,
        unit: "seconds",
        .whole(\.drainPauseSeconds, 0...3_600),
        help: """
            Time from SIGTERM on in which READY says that the router ends and everything else is as before: for balancers that need \
            time to notice. A second signal ends it early.
            """
    )
    package static let config = Row(
        "config",
        .flag,
        .text(
            form: "a file",
            isPath: true,
            read: { $0.topologyFile.isEmpty ? nil : $0.topologyFile },
            write: { $0.topologyFile = $1 }
        ),
        help: "Who serves which users; see deploy/cluster.yaml."
    )

    package static let host = listener(ServerSettings.host)
    package static let port = listener(ServerSettings.port)
    package static let threads = listener(ServerSettings.threads)
    package static let maximumConnections = listener(ServerSettings.maximumConnections)
    package static let idleTimeout = listener(ServerSettings.idleTimeout)

    /// A router's listener has no file.
    private static func listener(_ setting: ServerSettings.Row) -> Row { setting.within(\.server).without(.file) }

    /// Lists all of a router's flags.
    package static let flags: [Row] = [
        config, host, port, threads, maximumConnections, idleTimeout, passwordFile, shardPasswordFile, drainPause,
    ]
}
