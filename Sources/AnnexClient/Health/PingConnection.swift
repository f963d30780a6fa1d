import AnnexWire
package import NIOCore

/// Carries PINGs and nothing else over a connection that is made when one is to be sent.
///
/// Unchecked because it lives on one loop.
package final class PingConnection: @unchecked Sendable {
    package struct Callbacks {
        /// Gets the nanoseconds from a PING to its answer. Any answer but an error counts: NOAUTH does not.
        let answered: (_ nanos: UInt64) -> Void
        /// The connection ended, or could not be made.
        let ended: () -> Void

        package init(answered: @escaping (_ nanos: UInt64) -> Void, ended: @escaping () -> Void) {
            (self.answered, self.ended) = (answered, ended)
        }
    }

    private let settings: RESPSettings
    private let password: String?
    private let patience: Int
    private let loop: any EventLoop
    private let callbacks: Callbacks
    private var connection: RESPConnection?
    private var isConnecting = false
    private var isClosed = false

    /// - Parameters:
    ///   - password: sent first; whether the server wants it is of no interest.
    ///   - patience: with so many PINGs unanswered the connection is given up.
    package init(
        _ settings: RESPSettings,
        password: String?,
        patience: Int,
        loop: any EventLoop,
        callbacks: Callbacks
    ) {
        (self.settings, self.password, self.patience) = (settings, password, patience)
        (self.loop, self.callbacks) = (loop, callbacks)
    }

    /// Sends a PING, as soon as there is a connection.
    ///
    /// - Parameter fresh: what was sent before will not be answered, so a new connection is made.
    package func ping(fresh: Bool = false) {
        if fresh { self.letGo("a new one is made") }
        guard let connection else { return self.connect() }
        guard connection.waitingCount < self.patience else {
            return connection.close("\(self.patience) PINGs were not answered")
        }
        self.send(on: connection)
    }

    package func close() {
        self.isClosed = true
        self.letGo("it is of no more use")
    }

    /// Tells nobody.
    private func letGo(_ reason: String) {
        let old = self.connection
        self.connection = nil
        old?.close(reason)
    }

    private func connect() {
        guard !self.isConnecting, !self.isClosed else { return }
        self.isConnecting = true
        RESPConnection.connect(self.settings, on: self.loop, onClose: { [weak self] _ in self?.lost() })
            .assumeIsolated()
            .whenComplete { result in
                self.isConnecting = false
                switch result {
                case .success(let connection): self.opened(connection)
                case .failure: if !self.isClosed { self.callbacks.ended() }
                }
            }
    }

    private func opened(_ connection: RESPConnection) {
        guard !self.isClosed else { return connection.close("it came too late") }
        self.connection = connection
        if let password { connection.send(RESPSettings.auth(password), within: nil) { _ in } }
        self.send(on: connection)
    }

    /// There is one connection at a time, and one that was let go is not there any more.
    private func lost() {
        guard self.connection != nil else { return }
        self.connection = nil
        self.callbacks.ended()
    }

    private func send(on connection: RESPConnection) {
        let sent = NIODeadline.now().uptimeNanoseconds
        connection.send([Array("PING".utf8)], within: nil) { [weak self] result in
            guard case .success(let reply) = result else { return }
            if case .error = reply { return }
            self?.callbacks.answered(NIODeadline.now().uptimeNanoseconds &- sent)
        }
        connection.flush()
    }
}
