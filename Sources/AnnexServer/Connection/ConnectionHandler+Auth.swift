import AnnexCore
import AnnexWire
import Logging
import NIOCore

/// Answers HELLO and AUTH.
extension ConnectionHandler {
    private enum Login: Equatable { case accepted, refused, notConfigured, tooMany(seconds: Int) }

    func auth() -> Disposition {
        guard self.request.count <= 3 else {
            self.reply.error(code: .error, "syntax error: AUTH takes a password, or a user name and a password")
            return .done
        }
        let named = self.request.count == 3
        switch self.login(user: named ? 1 : nil, password: named ? 2 : 1) {
        case .accepted:
            self.reply.status("OK")
            return .done
        case .notConfigured:
            self.reply.error(
                code: .error,
                "AUTH called without any password configured; connect without AUTH, or set a password"
            )
            return .done
        case .refused:
            return self.delayedRefusal()
        case .tooMany(let seconds):
            self.refuseGuess(seconds)
            return .done
        }
    }

    /// Answers `HELLO [version [AUTH user password] [SETNAME name]]`. Nothing changes unless all of it is right.
    func hello() -> Disposition {
        let arguments: HelloArguments
        do throws(ArgumentFailure) { arguments = try HelloArguments(self.request) } catch {
            self.reply.error(error)
            return .done
        }
        if let user = arguments.user {
            switch self.login(user: user, password: user + 1) {
            case .refused: return self.delayedRefusal()
            case .tooMany(let seconds):
                self.refuseGuess(seconds)
                return .done
            case .accepted, .notConfigured: break
            }
        }
        guard self.state.authenticated else {
            self.reply.error(
                code: .noAuth,
                "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
                    + "<pass> option can be used to authenticate the client and select the RESP protocol version at the "
                    + "same time"
            )
            return .done
        }
        if let name = arguments.name { self.state.name = name }
        if let version = arguments.version { self.state.respVersion = version }
        self.reply.version = self.state.respVersion
        self.writeHello()
        return .done
    }

    private func writeHello() {
        self.reply.map(7)
        self.reply.bulk("server")
        self.reply.bulk("annex")
        self.reply.bulk("version")
        self.reply.bulk(ServerConfiguration.redisVersion)
        self.reply.bulk("proto")
        self.reply.integer(self.state.respVersion.rawValue)
        self.reply.bulk("id")
        self.reply.integer(Int(clamping: self.state.id))
        self.reply.bulk("mode")
        self.reply.bulk(self.loop.cluster == nil ? "standalone" : "cluster")
        self.reply.bulk("role")
        self.reply.bulk("master")
        self.reply.bulk("modules")
        self.reply.array(0)
    }

    /// Compares digests in constant time. The one user is called `default`.
    private func login(user: Int?, password: Int) -> Login {
        guard let hash = self.loop.shared.configuration.passwordHash else {
            // A client that names the default user and any password gets in where none is needed, as HELLO ... AUTH
            // from client libraries with a fixed configuration does.
            return user == nil ? .notConfigured : .accepted
        }
        if case .refused(let seconds) = self.loop.shared.guesses.look(self.state.address, now: Self.uptime()) {
            return .tooMany(seconds: seconds)
        }
        let matches = self.request.withArgument(password) { bytes in hash.accepts(bytes) }
        let named = user.map { index in
            self.request.withArgument(index) { bytes in bytes.elementsEqual("default".utf8) }
        }
        guard matches, named ?? true else { return .refused }
        self.state.authenticated = true
        self.authFailures = 0
        self.authenticationChanged()
        return .accepted
    }

    /// The connection waits before it hears that its password is wrong; the loop does not.
    private func delayedRefusal() -> Disposition {
        self.authFailures += 1
        self.loop.metrics.authFailures &+= 1
        let configuration = self.loop.shared.configuration
        if let count = self.loop.shared.guesses.failed(self.state.address, now: Self.uptime()) {
            self.loop.shared.logger.warning(
                "AUTH failed",
                metadata: ["client": "\(self.state.id)", "address": "\(self.state.address)", "tries": "\(count)"]
            )
        }
        let factor = 1 << min(self.authFailures - 1, 4)
        let delay = configuration.authFailureDelay * factor
        let version = self.state.respVersion
        let shared = self.loop.shared
        let last = self.authFailures >= configuration.maximumAuthFailures
        let future = self.loop.eventLoop.scheduleTask(in: TimeAmount(delay)) { () -> ByteBuffer in
            if last { self.machine.finishAfterReplies() }
            return shared.rendered(version) { writer in
                writer.error(code: .wrongPassword, "invalid username-password pair or user is disabled.")
            }
        }.futureResult
        return self.later(future)
    }

    private static func uptime() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// Nothing was hashed: guessing faster tells nobody more.
    private func refuseGuess(_ seconds: Int) {
        self.loop.metrics.authFailures &+= 1
        self.reply.error(
            code: .overloaded,
            "too many wrong passwords came from this address: try again in \(seconds) s"
        )
    }
}
