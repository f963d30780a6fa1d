import AnnexCore
import AnnexLog
import AnnexNetwork
import AnnexNode
import AnnexWire
import Foundation
import Yams

/// The server's settings: defaults, then `--config FILE`, then flags.
enum ServeSettings {
    /// Whole numbers of the file: key, place, unit and bounds are those of `deploy/annex.yaml`.
    private static let numbers: [(key: String, set: @Sendable (inout ServerConfiguration, Int) -> Void)] = [
        ("port", { $0.port = $1 }), ("threads", { $0.threads = $1 }),
        ("deferred-threads", { $0.deferredThreads = $1 }), ("maximum-deferred", { $0.maximumDeferred = $1 }),
        ("max-connections", { $0.maximumConnections = $1 }), ("pipeline-depth", { $0.pipelineDepth = $1 }),
        ("output-buffer-bytes", { $0.outputBufferBytes = $1 }),
        ("pipeline-buffer-bytes", { $0.pipelineBufferBytes = $1 }),
        ("stalled-timeout", { $0.stalledTimeout = .seconds($1) }),
        ("tcp-keepalive", { $0.tcpKeepalive = .seconds($1) }),
        ("all-clients-bytes", { $0.allClientsBytes = $1 }),
        ("argument-bytes", { $0.limits.argumentBytes = $1 }), ("command-bytes", { $0.limits.commandBytes = $1 }),
        ("line-bytes", { $0.limits.lineBytes = $1 }), ("arguments", { $0.limits.arguments = $1 }),
        ("idle-timeout", { $0.idleTimeout = .seconds($1) }), ("auth-timeout", { $0.authTimeout = .seconds($1) }),
        ("unfinished-command-timeout", { $0.unfinishedCommandTimeout = .seconds($1) }),
        ("slowlog-microseconds", { $0.slowlogMicroseconds = $1 }), ("slowlog-length", { $0.slowlogLength = $1 }),
    ]

    /// Every key that a file may have.
    static var keys: [String] {
        (Self.numbers.map(\.key) + [
            "host", "password-file", "state", "durability", "cold", "cold-half-life", "watch", "log",
            "log-password-file", "ack", "max-lag",
        ])
        .sorted()
    }

    /// Applies a file. Unknown keys and wrong values are errors that name them; bounds are checked by `validate()`.
    static func apply(
        _ path: String,
        to settings: inout ShardSettings
    ) throws {
        func bad(_ why: String) -> AnnexError {
            AnnexError(.usage, why, at: path, hint: "Keys: " + Self.keys.joined(separator: ", "))
        }
        guard let data = FileManager.default.contents(atPath: path), data.count <= 1 << 20 else {
            throw AnnexError(.usage, "cannot read the configuration", at: path)
        }
        let node: Node?
        do { node = try Yams.compose(yaml: String(decoding: data, as: UTF8.self)) } catch {
            throw bad("not YAML: \(error)")
        }
        guard let node, node.null == nil else { return }
        guard case .mapping(let mapping) = node else { throw bad("a configuration is a list of 'key: value' lines") }
        for (keyNode, value) in mapping {
            let key = keyNode.string ?? ""
            guard let text = value.scalar?.string else { throw bad("'\(Printable.escape(key))' is not a single value") }
            switch key {
            case "host": settings.server.host = text
            case "password-file":
                settings.password = try Password.read(Self.resolve(text, beside: path))
            case "state": settings.stateFolder = Self.resolve(text, beside: path)
            case "durability": try settings.setDurability(text)
            case "cold":
                guard let cold = ColdStart(rawValue: text) else { throw bad("'cold' is error or popular") }
                settings.cold = cold
            case "log": settings.log = text
            case "log-password-file":
                settings.logPassword = try Password.read(Self.resolve(text, beside: path))
            case "ack":
                guard let ack = LogAcknowledgement(rawValue: text) else { throw bad("'ack' is replica or log") }
                settings.acknowledgement = ack
            case "cold-half-life", "watch", "max-lag":
                guard let number = Double(text), number.isFinite else {
                    throw bad("'\(key)' is no number: '\(Printable.escape(text))'")
                }
                switch key {
                case "watch": settings.watchSeconds = number
                case "max-lag": settings.maximumLagSeconds = number
                default: settings.coldHalfLifeDays = number
                }
            default:
                guard let entry = Self.numbers.first(where: { $0.key == key }) else {
                    throw bad("unknown key '\(Printable.escape(key))'")
                }
                guard let number = Int(text), number >= -1, number <= 1 << 45 else {
                    throw bad("'\(key)' is no whole number in range: '\(Printable.escape(text))'")
                }
                entry.set(&settings.server, number)
            }
        }
    }

    /// A path of the file is relative to the file.
    private static func resolve(_ text: String, beside path: String) -> String {
        let base = (path as NSString).deletingLastPathComponent
        return text.hasPrefix("/") || base.isEmpty ? text : base + "/" + text
    }
}
