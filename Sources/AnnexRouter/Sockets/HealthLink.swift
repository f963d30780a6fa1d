import AnnexClient
import AnnexCore
import NIOCore
import NIOPosix

/// The connection that carries a replica's PINGs and nothing else. Unchecked because it lives on one loop.
final class HealthLink: @unchecked Sendable {
    private let address: ClusterTopology.Address
    private let password: String?
    private let loop: any EventLoop
    struct Callbacks {
        let answered: () -> Void
        /// The connection ended, or could not be made.
        let ended: () -> Void
    }

    private let callbacks: Callbacks
    private var channel: (any Channel)?
    private var isConnecting = false
    private var isClosed = false

    init(
        _ address: ClusterTopology.Address,
        password: String?,
        loop: any EventLoop,
        callbacks: Callbacks
    ) {
        self.address = address
        self.password = password
        self.loop = loop
        self.callbacks = callbacks
    }

    /// Sends a PING, as soon as there is a connection.
    ///
    /// - Parameter fresh: what was sent before will not be answered, so a new connection is made.
    func ping(fresh: Bool) {
        if fresh {
            let old = self.channel
            self.channel = nil
            old?.close(promise: nil)
        }
        guard let channel else { return self.connect() }
        channel.writeAndFlush(PingHandler.Ping(), promise: nil)
    }

    func close() {
        self.isClosed = true
        let old = self.channel
        self.channel = nil
        old?.close(promise: nil)
    }

    private func connect() {
        guard !self.isConnecting, !self.isClosed else { return }
        self.isConnecting = true
        ClientBootstrap(group: self.loop)
            .connectTimeout(.milliseconds(500))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        PingHandler(password: self.password, patience: 16) { _ in self.callbacks.answered() }
                    )
                }
            }
            .connect(host: self.address.host, port: self.address.port)
            .assumeIsolated()
            .whenComplete { result in
                self.isConnecting = false
                guard !self.isClosed else {
                    if case .success(let channel) = result { channel.close(promise: nil) }
                    return
                }
                guard case .success(let channel) = result else { return self.callbacks.ended() }
                self.channel = channel
                channel.closeFuture.assumeIsolated().whenComplete { _ in
                    guard self.channel === channel else { return }
                    self.channel = nil
                    self.callbacks.ended()
                }
                channel.writeAndFlush(PingHandler.Ping(), promise: nil)
            }
    }
}
