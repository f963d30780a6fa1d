import AnnexWire

/// The settings that `CONFIG SET` changes while the server runs. Every loop has its own copy.
struct RuntimeSettings: Sendable, Equatable {
    var idleTimeoutSeconds: Int
    var slowlogMicroseconds: Int
    var slowlogLength: Int
    var maximumConnections: Int

    init(_ configuration: ServerConfiguration) {
        self.idleTimeoutSeconds = Int(clamping: configuration.idleTimeout.components.seconds)
        self.slowlogMicroseconds = configuration.slowlogMicroseconds
        self.slowlogLength = configuration.slowlogLength
        self.maximumConnections = configuration.maximumConnections
    }

    enum Change: Equatable { case changed, fixed, unknown, invalid(String) }

    /// Applies one `CONFIG SET name value`. Names in lower case.
    mutating func set(_ name: String, to text: String) -> Change {
        let targets: [String: (WritableKeyPath<RuntimeSettings, Int>, ClosedRange<Int>)] = [
            "timeout": (\.idleTimeoutSeconds, 0...31_536_000),
            "slowlog-log-slower-than": (\.slowlogMicroseconds, -1...Int(Int32.max)),
            "slowlog-max-len": (\.slowlogLength, 0...1_000_000),
            "maxclients": (\.maximumConnections, 1...1_000_000),
        ]
        guard let (path, range) = targets[name] else {
            return ServerParameters.fixedNames.contains(name) ? .fixed : .unknown
        }
        guard let value = Int(text), range.contains(value) else {
            return .invalid("argument must be between \(range.lowerBound) and \(range.upperBound) inclusive")
        }
        self[keyPath: path] = value
        return .changed
    }
}

/// The names and values that `CONFIG GET` shows.
enum ServerParameters {
    static let fixedNames: Set<String> = Set(
        Self.fixed(ServerConfiguration(), port: 0).map(\.0)
    )

    /// All parameters, by name in byte order.
    static func all(
        _ configuration: ServerConfiguration,
        _ settings: RuntimeSettings,
        port: Int
    ) -> [(String, String)] {
        let changing = [
            ("timeout", String(settings.idleTimeoutSeconds)),
            ("slowlog-log-slower-than", String(settings.slowlogMicroseconds)),
            ("slowlog-max-len", String(settings.slowlogLength)),
            ("maxclients", String(settings.maximumConnections)),
        ]
        return (changing + Self.fixed(configuration, port: port)).sorted { $0.0 < $1.0 }
    }

    /// `save`, `appendonly` and `databases` are what benchmark tools ask for: nothing is written by this server, and
    /// there is one database.
    private static func fixed(_ configuration: ServerConfiguration, port: Int) -> [(String, String)] {
        [
            ("save", ""), ("appendonly", "no"), ("databases", "1"), ("bind", configuration.host),
            ("port", String(port)), ("io-threads", String(configuration.threads)),
            ("deferred-threads", String(configuration.deferredThreads)),
            ("maximum-deferred", String(configuration.maximumDeferred)),
            ("tcp-backlog", String(configuration.backlog)), ("pipeline-depth", String(configuration.pipelineDepth)),
            ("output-buffer-bytes", String(configuration.outputBufferBytes)),
            ("maxmemory-clients", String(configuration.allClientsBytes)),
            ("proto-max-bulk-len", String(configuration.limits.argumentBytes)),
            ("client-query-buffer-limit", String(configuration.limits.commandBytes)),
            ("proto-inline-max-size", String(configuration.limits.lineBytes)),
            ("proto-max-arguments", String(configuration.limits.arguments)),
            ("auth-timeout", String(configuration.authTimeout.components.seconds)),
            ("unfinished-command-timeout", String(configuration.unfinishedCommandTimeout.components.seconds)),
            ("pipeline-buffer-bytes", String(configuration.pipelineBufferBytes)),
            ("stalled-timeout", String(configuration.stalledTimeout.components.seconds)),
            ("tcp-keepalive", String(configuration.tcpKeepalive.components.seconds)),
        ]
    }
}
