import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore
import NIOPosix

/// A connection to the log: commands out, replies in their order.
///
/// Unchecked because all of it but `connect` is called on its event loop only, and its members are constants before.
final class RedisConnection: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    typealias Completion = (ReplyValue) -> Void

    /// Replies are entries that this project wrote, with ids of 255 bytes at most. What is larger is none: it is passed over as
    /// it comes, so that nothing in a stream can stop who reads it.
    private static let bulkLimit = 4 << 10
    /// Above what one read asks for of one stream.
    private static let elementLimit = 4 << 10

    private var parser = ReplyParser(
        maximumBulkBytes: RedisConnection.bulkLimit,
        maximumElements: RedisConnection.elementLimit,
        passesOver: true
    )
    private var received = ByteBuffer()
    private var out = ByteBuffer()
    private var waiting = CircularBuffer<(since: NIODeadline, completion: Completion)>()
    private var lastReceived = NIODeadline.now()
    private var channel: (any Channel)?
    private var closing: String?
    /// Once, with the reason.
    private let onClose: @Sendable (String) -> Void

    private init(onClose: @escaping @Sendable (String) -> Void) { self.onClose = onClose }

    /// Connects, says who it is, and waits for the answer.
    ///
    /// - Parameter onClose: runs on the loop, once where the connection goes, whether the future has succeeded or not.
    static func connect(
        to address: LogAddress,
        on loop: any EventLoop,
        timeout: TimeAmount,
        onClose: @escaping @Sendable (String) -> Void
    ) -> EventLoopFuture<RedisConnection> {
        let connection = RedisConnection(onClose: onClose)
        let ready = loop.makePromise(of: RedisConnection.self)
        let deadline = loop.scheduleTask(in: timeout) {
            connection.close("no answer within \(timeout.nanoseconds / 1_000_000) ms")
            ready.fail(RedisFailure(text: "no answer within \(timeout.nanoseconds / 1_000_000) ms"))
        }
        ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(connection) }
            }
            .connect(host: address.host, port: address.port)
            .whenComplete { result in
                switch result {
                case .failure(let error):
                    ready.fail(RedisFailure(text: "cannot connect: \(ConnectionFailure.reason(error))"))
                case .success: connection.greet(address, ready)
                }
            }
        ready.futureResult.whenComplete { _ in deadline.cancel() }
        return ready.futureResult
    }

    private func greet(_ address: LogAddress, _ ready: EventLoopPromise<RedisConnection>) {
        let greetings = address.greetings
        for (index, words) in greetings.enumerated() {
            let isLast = index == greetings.count - 1
            self.send(words) { reply in
                if case .error(let text) = reply {
                    self.close(text)
                    ready.fail(
                        RedisFailure(
                            text:
                                "the log answered \(String(decoding: words[0], as: UTF8.self)) with: \(Printable.escape(text, limit: 200))"
                        )
                    )
                } else if isLast {
                    ready.succeed(self)
                }
            }
        }
        self.flush()
        if let closing { ready.fail(RedisFailure(text: closing)) }
    }

    // MARK: Sending

    /// Queues a command; `flush` sends all that are queued. On the loop. Where the connection goes, nothing is answered.
    func send(_ words: [[UInt8]], _ completion: @escaping Completion) {
        guard self.closing == nil else { return }
        RequestEncoder.append(words, to: &self.out)
        self.waiting.append((.now(), completion))
    }

    func flush() {
        guard self.out.readableBytes > 0, let channel else { return }
        channel.writeAndFlush(self.out, promise: nil)
        self.out = channel.allocator.buffer(capacity: 4_096)
    }

    /// For how long the oldest command has waited for its answer, or for more of it.
    func silence(at now: NIODeadline) -> TimeAmount {
        self.waiting.first.map { now - max($0.since, self.lastReceived) } ?? .zero
    }

    /// On the loop. More than one call does no harm.
    func close(_ reason: String) {
        guard self.closing == nil else { return }
        self.closing = reason
        self.waiting.removeAll()
        self.channel?.close(promise: nil)
        self.onClose(reason)
    }

    // MARK: ChannelInboundHandler

    func handlerAdded(context: ChannelHandlerContext) {
        self.channel = context.channel
        if self.closing != nil { context.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.lastReceived = .now()
        self.received.writeBuffer(&bytes)
        do throws(ReplyParser.Failure) {
            while self.closing == nil, let reply = try self.parser.next(&self.received) {
                self.waiting.popFirst()?.completion(reply)
            }
            self.received.discardReadBytes()
        } catch {
            self.close("its answer makes no sense: \(error)")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.flush()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.close("it closed the connection")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.close("\(error)") }
}

package struct RedisFailure: Error, CustomStringConvertible {
    let text: String
    package var description: String { self.text }
}
