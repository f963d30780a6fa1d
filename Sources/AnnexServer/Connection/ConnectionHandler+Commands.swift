import AnnexCore
import AnnexWire
import NIOCore

/// The commands that concern the connection itself. Arity has been checked against the table.
extension ConnectionHandler {
    func connectionCommand(_ id: CommandID) -> Disposition {
        switch id {
        case .ping: self.ping()
        case .echo: self.echoArgument(1)
        case .hello: return self.hello()
        case .auth: return self.auth()
        case .quit:
            self.reply.status("OK")
            return .close
        case .reset: self.reset()
        case .select: self.select()
        case .readonly, .readwrite, .asking: self.reply.status("OK")
        case .deadline: self.deadline()
        case .client: return self.client()
        case .command: self.command()
        case .config: return self.config()
        case .info: return self.info()
        case .slowlog: return self.slowlog()
        case .latency: return self.latency()
        case .acl: self.reply.bulk("default")
        case .role: self.role()
        case .multi: self.multi()
        case .exec: self.exec()
        case .discard: self.discard()
        case .watch: self.watch()
        case .cluster: self.cluster()
        default:
            self.reply.error(code: .error, "this command is not served here")
        }
        return .done
    }

    // MARK: Helpers

    func echoArgument(_ index: Int) {
        self.request.withArgument(index) { bytes in self.reply.bulk(bytes) }
    }

    func unknownSubcommand(_ container: String) {
        let name = self.request.withArgument(1) { bytes in Printable.escape(bytes) }
        self.reply.error(code: .error, "unknown subcommand '\(name)'. Try \(container) HELP.")
    }

    func wrongArity(_ name: String) {
        self.reply.error(code: .error, self.loop.shared.table.wrongArity(name))
    }

    func syntaxError(near index: Int) {
        let word = self.request.withArgument(index) { bytes in Printable.escape(bytes) }
        self.reply.error(code: .error, "syntax error near '\(word)'")
    }

    /// A name of a client or library: printable ASCII without spaces, so that CLIENT LIST stays one line per client.
    func label(_ index: Int) -> String? {
        self.request.withArgument(index) { bytes -> String? in
            guard bytes.count <= 128, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// The reply's bytes come from other loops or from a timer; the future completes on this loop.
    func later(_ bytes: EventLoopFuture<ByteBuffer>) -> Disposition {
        let version = self.state.respVersion
        let shared = self.loop.shared
        return .pending(bytes: 0) { promise in
            bytes.assumeIsolated().whenComplete { result in
                switch result {
                case .success(let bytes): promise.fulfilNow(bytes)
                case .failure:
                    promise.fulfilNow(
                        shared.rendered(version) { $0.error(code: .error, "the server is shutting down") }
                    )
                }
            }
        }
    }

    // MARK: Simple ones

    private func ping() {
        switch self.request.count {
        case 1: self.reply.status("PONG")
        case 2: self.echoArgument(1)
        default: self.wrongArity("ping")
        }
    }

    private func select() {
        guard let index = self.request.integer(1) else {
            return self.reply.error(code: .error, "value is not an integer or out of range")
        }
        guard index == 0 else { return self.reply.error(code: .error, "DB index is out of range") }
        self.reply.status("OK")
    }

    private func deadline() {
        let given = { self.request.printable(1) }
        guard let time = self.request.integer(1) else {
            return self.reply.error(
                code: .error,
                "invalid DEADLINE '\(given())': give whole milliseconds since 1970, in 64 bits"
            )
        }
        if let problem = EventTime.problem(Int64(time)) {
            return self.reply.error(code: .error, "invalid DEADLINE '\(given())': the time \(problem)")
        }
        self.nextDeadline = Int64(time)
        self.reply.status("OK")
    }

    private func reset() {
        self.state.name = ""
        self.state.respVersion = .two
        self.state.givesPositions = false
        self.outbound.mode = .on
        self.machine.transaction = Transaction()
        if self.loop.shared.configuration.passwordHash != nil {
            self.state.authenticated = false
            self.clock.unauthenticatedSince = .now()
            self.authenticationChanged()
        }
        self.reply.version = .two
        self.reply.status("RESET")
    }

    /// As a Redis answers that has no replicas of its own: each server here takes what it is asked.
    private func role() {
        self.reply.array(3)
        self.reply.bulk("master")
        self.reply.integer(0)
        self.reply.array(0)
    }

    private func command() {
        self.loop.shared.table.writeCommandReply(self.request, &self.reply)
    }
}
