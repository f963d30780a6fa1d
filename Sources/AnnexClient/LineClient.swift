import AnnexCore
package import AnnexWire
import NIOCore
import NIOPosix
import Synchronization

/// One connection to a server, for the command line and tests. Commands are answered in the order in which they were
/// sent; any task may send.
package final class LineClient: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let isClosed = Atomic<Bool>(false)

    /// Connects within `timeoutSeconds`.
    ///
    /// - Throws: `AnnexError.system` where nothing listens.
    package static func connect(host: String, port: Int, timeoutSeconds: Int64 = 5) async throws -> LineClient {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let channel = try await ClientBootstrap(group: group)
                .connectTimeout(.seconds(timeoutSeconds))
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(ReplyCollector())
                    }
                }
                .connect(host: host, port: port).get()
            return LineClient(group: group, channel: channel)
        } catch {
            try? await group.shutdownGracefully()
            throw ConnectionFailure.refused(error, at: "\(host):\(port)")
        }
    }

    private init(group: MultiThreadedEventLoopGroup, channel: any Channel) {
        self.group = group
        self.channel = channel
    }

    /// Sends one command and waits for its reply. An error reply is a value (`.error`), not a throw.
    package func send(_ arguments: [[UInt8]]) async throws -> ReplyValue {
        let promise = self.channel.eventLoop.makePromise(of: ReplyValue.self)
        self.channel.writeAndFlush(PendingCommand(arguments: arguments, promise: promise)).cascadeFailure(to: promise)
        return try await promise.futureResult.get()
    }

    package func send(_ arguments: String...) async throws -> ReplyValue {
        try await self.send(arguments.map { Array($0.utf8) })
    }

    /// What waits for a reply gets an error. More than one call does no harm; nothing may be sent afterwards.
    package func close() async {
        guard !self.isClosed.exchange(true, ordering: .relaxed) else { return }
        try? await self.channel.close().get()
        try? await self.group.shutdownGracefully()
    }
}

private struct PendingCommand: Sendable {
    let arguments: [[UInt8]]
    let promise: EventLoopPromise<ReplyValue>
}

/// Encodes commands, hands each reply to the oldest command that waits.
private final class ReplyCollector: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = PendingCommand
    typealias OutboundOut = ByteBuffer

    private var parser = ReplyParser()
    private var received = ByteBuffer()
    private var waiting = CircularBuffer<EventLoopPromise<ReplyValue>>()

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let command = self.unwrapOutboundIn(data)
        var buffer = context.channel.allocator.buffer(capacity: 64)
        RequestEncoder.append(command.arguments, to: &buffer)
        self.waiting.append(command.promise)
        context.write(self.wrapOutboundOut(buffer), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.received.writeBuffer(&bytes)
        do {
            while let reply = try self.parser.next(&self.received) {
                if case .push = reply { continue }
                self.waiting.popFirst()?.succeed(reply)
            }
            self.received.discardReadBytes()
        } catch {
            self.fail(AnnexError(.system, "the server's reply makes no sense: \(error)"))
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(AnnexError(.system, "the server closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(error)
        context.close(promise: nil)
    }

    private func fail(_ error: any Error) {
        while let promise = self.waiting.popFirst() { promise.fail(error) }
    }
}
