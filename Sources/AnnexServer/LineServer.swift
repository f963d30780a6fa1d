package import AnnexCore
package import AnnexWire
import Glibc
package import Logging
package import NIOCore
import NIOPosix
import Synchronization

/// Listens: each connection lives on one of the event loops, one per core, and its commands are answered on that loop.
///
/// `start` and `shutdown` are called once each. Any task may call them.
package final class LineServer: Sendable {
    private let configuration: ServerConfiguration
    private let shared: ServerShared
    private let group: MultiThreadedEventLoopGroup
    private let makeHandler: @Sendable (_ loop: Int, _ eventLoop: any EventLoop) -> any CommandHandler
    private let loops = Mutex<ServerLoops?>(nil)
    private let listener = Mutex<(any Channel)?>(nil)
    private let stopping = Atomic<Bool>(false)

    /// Makes the loops; nothing listens yet. `makeHandler` is called once per loop, on it; `info` on a deferred thread
    /// for each INFO. Throws `.usage` for a configuration that must not be served.
    package init(
        configuration: ServerConfiguration,
        makeHandler: @escaping @Sendable (_ loop: Int, _ eventLoop: any EventLoop) -> any CommandHandler,
        info: @escaping @Sendable () -> [InfoSection] = { [] },
        cluster: ClusterView? = nil,
        keyCount: @escaping @Sendable () -> Int = { 0 },
        logger: Logger
    ) throws(AnnexError) {
        try configuration.validate()
        self.configuration = configuration
        self.makeHandler = makeHandler
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads)
        self.shared = ServerShared(
            configuration: configuration,
            logger: logger,
            info: info,
            cluster: cluster,
            keyCount: keyCount
        )
    }

    /// Binds and serves. Returns the address, with the real port where 0 was asked for. Throws `.system` if it cannot
    /// bind; the loops are stopped then.
    package func start() async throws -> SocketAddress {
        ProcessMemory.returnLargeBlocks()
        self.shared.work.start()
        self.raiseDescriptorLimit()
        let makeHandler = self.makeHandler
        let shared = self.shared
        var contexts: [LoopContext] = []
        for (index, eventLoop) in self.group.makeIterator().enumerated() {
            contexts.append(
                try await eventLoop.submit {
                    LoopContext(
                        index: index,
                        eventLoop: eventLoop,
                        shared: shared,
                        handler: makeHandler(index, eventLoop)
                    )
                }.get()
            )
        }
        let loops = ServerLoops(contexts, shared: shared)
        self.loops.withLock { $0 = loops }
        for loop in contexts { try await loop.eventLoop.submit { loop.startSweeping() }.get() }
        // The view may outlive the server, and must not keep it.
        shared.cluster?.watch { [weak loops] _ in
            // The snapshot is taken when the loop comes to it, so that none is overtaken by the one before.
            for loop in loops?.all ?? [] { loop.eventLoop.execute { loop.cluster = loop.shared.cluster?.snapshot } }
        }
        do {
            let channel = try await self.bootstrap(loops).bind(
                host: self.configuration.host,
                port: self.configuration.port
            ).get()
            guard let address = channel.localAddress else { throw ChannelError.unknownLocalAddress }
            self.listener.withLock { $0 = channel }
            shared.bound(port: address.port ?? 0)
            return address
        } catch {
            // There is nothing left for `shutdown` to do.
            self.stopping.store(true, ordering: .relaxed)
            await self.stopThreads()
            throw AnnexError(
                .system,
                "cannot listen on \(self.configuration.host):\(self.configuration.port): \(error)",
                hint: "Choose another address or port, or stop what listens there"
            )
        }
    }

    private func bootstrap(_ loops: ServerLoops) -> ServerBootstrap {
        let byLoop = Dictionary(uniqueKeysWithValues: loops.all.map { (ObjectIdentifier($0.eventLoop), $0) })
        let shared = self.shared
        return ServerBootstrap(group: self.group)
            .serverChannelOption(.backlog, value: CInt(clamping: self.configuration.backlog))
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: Self.waterMark(self.configuration))
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let loop = byLoop[ObjectIdentifier(channel.eventLoop)] else {
                        throw ChannelError.operationUnsupported
                    }
                    try Self.admit(channel, to: loop, of: loops, shared)
                    try Self.keepAlive(channel, shared.configuration.tcpKeepalive)
                }
            }
    }

    private static func admit(
        _ channel: any Channel,
        to loop: LoopContext,
        of loops: ServerLoops,
        _ shared: ServerShared
    ) throws {
        let (_, open) = shared.connections.add(1, ordering: .relaxed)
        guard open <= shared.maximumConnections.load(ordering: .relaxed), !loop.isDraining else {
            shared.connections.subtract(1, ordering: .relaxed)
            shared.rejected.add(1, ordering: .relaxed)
            try channel.pipeline.syncOperations.addHandler(RejectionHandler(shared: shared))
            return
        }
        let state = ConnectionState(
            id: shared.nextClient.add(1, ordering: .relaxed).oldValue,
            address: Self.text(channel.remoteAddress),
            authenticated: shared.configuration.passwordHash == nil
        )
        try channel.pipeline.syncOperations.addHandler(
            ConnectionHandler(loop: loop, of: loops, state: state, localAddress: Self.text(channel.localAddress))
        )
    }

    /// Returns how many bytes may wait for a client before nothing more is read from it, and from how many on it is
    /// read again.
    private static func waterMark(_ configuration: ServerConfiguration) -> ChannelOptions.Types.WriteBufferWaterMark {
        let high = configuration.pipelineBufferBytes
        return ChannelOptions.Types.WriteBufferWaterMark(low: high / 2, high: high)
    }

    /// Has the system find out about clients whose machines are gone: after the silence, and 3 questions without an answer.
    private static func keepAlive(_ channel: any Channel, _ silence: Duration) throws {
        let seconds = Int(clamping: silence.components.seconds)
        guard seconds > 0, let options = channel.syncOptions else { return }
        try options.setOption(.socketOption(.so_keepalive), value: 1)
        try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: seconds)
        try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: max(1, seconds / 4))
        try options.setOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: 3)
    }

    /// Writes `host:port`, IPv6 in brackets.
    private static func text(_ address: SocketAddress?) -> String {
        guard let address, let host = address.ipAddress, let port = address.port else { return "?:0" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Each connection needs a descriptor; the soft limit is often 1,024.
    private func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        let wanted = rlim_t(self.configuration.maximumConnections + 256)
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = min(wanted, limit.rlim_max)
        let raised = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        guard !raised || limit.rlim_cur < wanted else { return }
        let fitting = max(Int(clamping: limit.rlim_cur) - 256, 16)
        self.shared.logger.warning(
            "Fewer clients are served than max-connections says: raise the limit of open files (ulimit -n, LimitNOFILE)",
            metadata: ["limit": "\(limit.rlim_cur)", "connections": "\(fitting)"]
        )
        self.shared.limitConnections(to: fitting)
    }

    /// Has READY say from now on that the server ends. Everything is still answered and new connections are taken: so whoever
    /// spreads clients over servers sends no more of them here before `shutdown` begins.
    package func leave() { self.shared.isLeaving.store(true, ordering: .relaxed) }

    /// Stops accepting, answers what clients have sent, closes their connections, stops the threads. What is not done
    /// after `grace` is cut off. New bytes are read for at most a tenth of `grace`. A second call returns at once.
    package func shutdown(grace: Duration = .seconds(4)) async {
        guard self.stopping.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            return
        }
        let channel = self.listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        if let channel { try? await channel.close().get() }
        let loops = self.loops.withLock { $0?.all ?? [] }
        let readUntil = NIODeadline.now() + TimeAmount(grace / 10)
        let futures = loops.map { loop in
            let promise = loop.eventLoop.makePromise(of: Void.self)
            loop.eventLoop.execute { loop.drain(readUntil: readUntil, promise: promise) }
            return promise.futureResult
        }
        for loop in loops {
            loop.eventLoop.scheduleTask(in: TimeAmount(grace)) { loop.abandon() }
        }
        for future in futures { try? await future.get() }
        await self.stopThreads()
    }

    private func stopThreads() async {
        // Whatever would still come to a loop from elsewhere ends before the loop does.
        let loops = self.loops.withLock { $0?.all ?? [] }
        for loop in loops { try? await loop.eventLoop.submit { loop.stop() }.get() }
        await self.shared.work.shutdown()
        try? await self.group.shutdownGracefully()
        // What handlers have open would stay open.
        self.loops.withLock { $0 = nil }
    }
}
