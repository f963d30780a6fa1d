import AnnexCore
import AnnexWire
import NIOCore

/// Answers the commands that concern the connection itself. The arity has been checked against the table.
extension ConnectionHandler {
    func connectionCommand(_ id: ConnectionCommand) -> Disposition {
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
        case .acl: self.acl()
        case .role: self.role()
        case .multi: self.multi()
        case .exec: self.exec()
        case .discard: self.discard()
        case .watch: self.watch()
        case .cluster: self.cluster()
        }
        return .done
    }

    // MARK: Helpers

    func echoArgument(_ index: Int) {
        self.request.withArgument(index) { bytes in self.reply.bulk(bytes) }
    }

    /// The subcommand is none of the container's.
    func unknownSubcommand(of container: ConnectionCommand) {
        self.reply.error(.unknownSubcommand(of: container.rawValue, self.request))
    }

    func syntaxError(near index: Int) { self.reply.error(.syntax(self.request, near: index)) }

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
        default: self.reply.error(.wrongArity(ConnectionCommand.ping.rawValue))
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
        do throws(ArgumentFailure) {
            self.nextDeadline = try self.request.time(1, "DEADLINE")
            self.reply.status("OK")
        } catch { self.reply.error(error) }
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

    /// Answers as a Redis does that has no replicas of its own: each server here takes what it is asked.
    private func role() {
        self.reply.array(3)
        self.reply.bulk("master")
        self.reply.integer(0)
        self.reply.array(0)
    }

    private func acl() {
        switch self.request.subcommand(AclSubcommand.self) {
        case .whoami: self.reply.bulk("default")
        case nil: self.unknownSubcommand(of: .acl)
        }
    }

    private func command() {
        self.loop.shared.table.writeCommandReply(self.request, &self.reply)
    }
}
