package import NIOCore
import NIOPosix

/// Makes every connection to a server.
package enum RESPBootstrap {
    /// Makes a connection with a handler at its end, before anything was said on it; `greeting` goes out with the first
    /// request or not at all.
    ///
    /// - Parameter makeHandler: called on the loop.
    /// - Returns: fails with `RESPFailure`.
    package static func connect(
        _ settings: RESPSettings,
        on loop: any EventLoop,
        _ makeHandler: @escaping @Sendable () -> any ChannelHandler
    ) -> EventLoopFuture<any Channel> {
        self.channel(settings, on: loop) { pipeline in try pipeline.addHandler(makeHandler()) }
    }

    /// Connects likewise and greets. The future ends when the other side has answered the greeting.
    package static func greet(
        _ settings: RESPSettings,
        on loop: any EventLoop,
        _ makeHandler: @escaping @Sendable () -> any ChannelHandler
    ) -> EventLoopFuture<any Channel> {
        guard !settings.greeting.isEmpty else { return self.connect(settings, on: loop, makeHandler) }
        let greeted = loop.makePromise(of: Void.self)
        return self.channel(settings, on: loop) { pipeline in
            try pipeline.addHandler(GreetingHandler(settings, greeted))
            try pipeline.addHandler(makeHandler())
        }.flatMapErrorThrowing { error in
            greeted.fail(error)
            throw error
        }.flatMap { channel in
            greeted.futureResult.flatMapErrorThrowing { error in
                channel.close(promise: nil)
                throw error
            }.map { channel }
        }
    }

    private static func channel(
        _ settings: RESPSettings,
        on loop: any EventLoop,
        _ fill: @escaping @Sendable (ChannelPipeline.SynchronousOperations) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        var bootstrap = ClientBootstrap(group: loop)
            .resolver(NameResolver(loop))
            .connectTimeout(settings.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try fill(channel.pipeline.syncOperations) }
            }
        if settings.keepsAlive { bootstrap = bootstrap.channelOption(.socketOption(.so_keepalive), value: 1) }
        if settings.readsOncePerTurn { bootstrap = bootstrap.channelOption(.maxMessagesPerRead, value: 1) }
        let address = settings.address
        return bootstrap.connect(host: settings.host, port: settings.port).flatMapErrorThrowing { error in
            throw RESPFailure.unreachable(error, at: address)
        }
    }
}
