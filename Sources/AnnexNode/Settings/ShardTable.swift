package import AnnexCore
import AnnexLog
import AnnexServer

/// Describes the settings of a shard.
package enum ShardTable {
    package typealias Row = Setting<ShardSettings>

    private static let everywhere: Row.Sources = [.flag, .file]

    package static let state = Row(
        "state",
        everywhere,
        .text(form: "a folder", isPath: true, read: { $0.stateFolder }, write: { $0.stateFolder = $1 }),
        help: "Keeps what users do in DIR/NAME, for each index. Without it EVENT is refused."
    )
    package static let durability = Row(
        "durability",
        everywhere,
        .text(
            form: "commit or interval:MS",
            isPath: false,
            read: { $0.durabilityText },
            write: { settings, text throws(AnnexError) in try settings.setDurability(text) }
        ),
        help: """
            commit: OK means that the event is on the disk, and that every later read counts it. interval:MS: OK means that it is \
            in memory; it is written and counted at most MS milliseconds later, and a crash or the loss of power loses what came \
            meanwhile. EVENT.DEL and FORGET are on the disk in either case.
            """
    )
    package static let log = Row(
        "log",
        everywhere,
        .text(
            form: "redis://HOST:PORT[/DATABASE][?prefix=NAME]",
            isPath: false,
            read: { $0.log },
            write: { $0.log = $1 }
        ),
        help:
            "Changes go through this Redis or Valkey (7.0 or newer), which all replicas of an index share. Needs state. See docs/log.md."
    )
    package static let logPasswordFile = Row(
        "log-password-file",
        everywhere,
        .passwordFile(\.logPassword),
        help: "File whose first line is the log's password."
    )
    package static let acknowledgement = Row(
        "ack",
        everywhere,
        automatic: LogSettings().replication.acknowledgement.rawValue,
        .choice(read: { $0.acknowledgement }, write: { $0.acknowledgement = $1 }),
        help: """
            When EVENT is answered. replica: this replica has it on its disk. log: the log has it. EVENT.DEL and FORGET are \
            answered as with replica, and durability interval:MS delays that.
            """
    )
    package static let maximumLag = Row(
        "max-lag",
        everywhere,
        unit: "seconds",
        automatic: LogSettings().maximumLag.map { "\($0 / 1_000)" },
        .number(
            form: "0, or 0.5 to 86400",
            accepts: { $0 == 0 || (0.5...86_400).contains($0) },
            read: { $0.maximumLagSeconds },
            write: { $0.maximumLagSeconds = $1 }
        ),
        help:
            "Reads of users are refused (MASTERDOWN) where this replica has not known for so long that it has all the log has; 0: never."
    )
    package static let cold = Row(
        "cold",
        everywhere,
        .choice(read: { $0.cold }, write: { $0.cold = $1 }),
        help: "What users get of whom nothing is known: an error, or the items with the most events."
    )
    package static let coldHalfLife = Row(
        "cold-half-life",
        everywhere,
        unit: "days",
        .number(
            form: "above 0 and at most 36500",
            accepts: { $0 > 0 && $0 <= 36_500 },
            read: { $0.coldHalfLifeDays },
            write: { $0.coldHalfLifeDays = $1 }
        ),
        help: "For cold popular: an event this old counts half. Without it all count the same."
    )
    package static let watch = Row(
        "watch",
        everywhere,
        unit: "seconds",
        .number(
            form: "0 to 3600",
            accepts: { (0...3_600).contains($0) },
            read: { $0.watchSeconds },
            write: { $0.watchSeconds = $1 }
        ),
        help: "How often to look for a new version; 0: never."
    )
    package static let passwordFile = Row(
        "password-file",
        everywhere,
        .passwordFile(\.password),
        help: "File whose first line is the password of clients, and of the other servers of a cluster."
    )
    package static let searching = Row(
        "engine",
        .flag,
        .choice(read: { $0.searching }, write: { $0.searching = $1 }),
        help: "What searches: annex, or faiss alone as a reference."
    )

    /// Holds the settings that are not the listener's.
    static let own: [Row] = [
        passwordFile, searching, state, durability, log, logPasswordFile, acknowledgement, maximumLag, cold,
        coldHalfLife,
        watch, topologyFile, slots, announce,
    ]

    /// Lists all settings of a shard, its listener's first.
    package static let all: [Row] = ServerSettings.all.map { $0.within(\.server) } + own
}

extension ShardTable {
    package static let topologyFile = Row(
        "cluster",
        .flag,
        .text(form: "a file", isPath: true, read: { $0.topologyFile }, write: { $0.topologyFile = $1 }),
        help: "Who serves which users; see deploy/cluster.yaml."
    )
    package static let slots = Row(
        "slots",
        .flag,
        .text(
            form: "0-8191 or 0-100,200",
            isPath: false,
            read: { $0.slots.map { "\($0)" } },
            write: { settings, text throws(AnnexError) in
                guard let set = SlotSet(parsing: text) else {
                    throw AnnexError(.usage, "is like 0-8191 or 0-100,200, got '\(Printable.escape(text))'")
                }
                settings.slots = set
            }
        ),
        help: "This shard's slots, as in the file of the cluster: where they differ, nothing is served."
    )
    package static let announce = Row(
        "announce",
        .flag,
        automatic: "host and port",
        .text(
            form: "HOST:PORT",
            isPath: false,
            read: { $0.announced.map { "\($0)" } },
            write: { settings, text throws(AnnexError) in
                guard let address = ClusterTopology.Address(parsing: text) else {
                    throw AnnexError(.usage, "is HOST:PORT, got '\(Printable.escape(text))'")
                }
                settings.announced = address
            }
        ),
        help: "This server's address in the file of the cluster."
    )
}
