package import AnnexWire
package import NIOCore

/// Connects to a server that speaks RESP. Requests go out, many are under way at a time, and replies come in their
/// order.
///
/// Requests are put together until `flush`, or until the replies that came at once were handed out. Each may have a deadline;
/// when one passes, the connection ends, because no later reply could be told from the one that did not come.
///
/// It is unchecked because everything but its initializer runs on its event loop.
package final class RESPConnection: ChannelInboundHandler, @unchecked Sendable {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer
    /// An error reply is a value (`.error`); a failure is that of the connection.
    package typealias Completion = (Result<ReplyValue, RESPFailure>) -> Void

    private struct Request {
        let name: [UInt8]
        let sent: NIODeadline
        let patience: TimeAmount?
        let completion: Completion
    }

    private let settings: RESPSettings
    private let loop: any EventLoop
    private let afterReplies: () -> Void
    private let onClose: (RESPFailure) -> Void
    /// Nothing is told to the owner before it has the connection.
    private var isReady = false

    private var channel: (any Channel)?
    private var out = ByteBuffer()
    private var waiting = CircularBuffer<Request>()
    private var parser: ReplyParser
    private var received = ByteBuffer()
    /// Counts the bytes of the reply that is not whole yet.
    private var replyBytes = 0
    private var lastReceived = NIODeadline.now()
    private var timer: Scheduled<Void>?
    private var watchedUntil = NIODeadline.distantFuture
    /// Says why the connection ended.
    private var failure: RESPFailure?

    private init(
        _ settings: RESPSettings,
        _ loop: any EventLoop,
        afterReplies: @escaping () -> Void,
        onClose: @escaping (RESPFailure) -> Void
    ) {
        let limits = settings.limits
        self.parser = ReplyParser(
            maximumBulkBytes: limits.bulkBytes,
            maximumElements: limits.elements,
            maximumKeptBytes: limits.keptBytes,
            passesOver: limits.passesOver
        )
        (self.settings, self.loop) = (settings, loop)
        (self.afterReplies, self.onClose) = (afterReplies, onClose)
    }

    /// Connects and greets. Runs on the loop.
    ///
    /// - Parameters:
    ///   - afterReplies: runs when the completions of all replies that came at once have run; what is sent there goes
    ///     out together.
    ///   - onClose: runs once, where a connection ends that the future has given, whoever ended it, and behind the
    ///     completions of the requests that waited.
    /// - Returns: a future that fails with `RESPFailure`.
    package static func connect(
        _ settings: RESPSettings,
        on loop: any EventLoop,
        afterReplies: @escaping () -> Void = {},
        onClose: @escaping (RESPFailure) -> Void
    ) -> EventLoopFuture<RESPConnection> {
        let connection = RESPConnection(settings, loop, afterReplies: afterReplies, onClose: onClose)
        return RESPBootstrap.greet(settings, on: loop) { connection }.flatMapThrowing { _ in
            if let failure = connection.failure { throw failure }
            connection.isReady = true
            return connection
        }
    }

    // MARK: Out

    /// Counts requests that have no reply yet.
    package var waitingCount: Int { self.waiting.count }

    /// Queues a request.
    ///
    /// - Parameters:
    ///   - patience: how long the reply may take; nil: as long as the connection lasts.
    ///   - completion: runs on the loop, once; at once where the connection has ended.
    package func send(_ words: [[UInt8]], within patience: TimeAmount?, _ completion: @escaping Completion) {
        if let failure { return completion(.failure(failure)) }
        RequestEncoder.append(words, to: &self.out)
        let request = Request(name: words.first ?? [], sent: .now(), patience: patience, completion: completion)
        self.waiting.append(request)
        if let due = self.due(request) { self.watch(until: due) }
    }

    package func flush() {
        guard self.out.readableBytes > 0, let channel else { return }
        channel.writeAndFlush(self.out, promise: nil)
        self.out = channel.allocator.buffer(capacity: 4_096)
    }

    /// Ends the connection: every request that waits for a reply fails. More than one call does no harm.
    package func close(_ reason: String) { self.end(RESPFailure(.closed, reason, at: self.settings.address)) }

    private func end(_ failure: RESPFailure) {
        guard self.failure == nil else { return }
        self.failure = failure
        self.timer?.cancel()
        self.timer = nil
        self.channel?.close(promise: nil)
        (self.out, self.received) = (ByteBuffer(), ByteBuffer())
        let waiting = self.waiting
        self.waiting.removeAll()
        for request in waiting { request.completion(.failure(failure)) }
        if self.isReady { self.onClose(failure) }
    }

    // MARK: Deadlines. One timer, for the earliest: replies do not cancel it, it looks again when it fires.

    private func due(_ request: Request) -> NIODeadline? {
        guard let patience = request.patience else { return nil }
        let start = self.settings.progressExtendsDeadlines ? max(request.sent, self.lastReceived) : request.sent
        return start + patience
    }

    private func watch(until due: NIODeadline) {
        guard due < self.watchedUntil else { return }
        self.timer?.cancel()
        self.watchedUntil = due
        self.timer = self.loop.assumeIsolated().scheduleTask(deadline: due) { self.look() }
    }

    private func look() {
        self.timer = nil
        self.watchedUntil = .distantFuture
        let now = NIODeadline.now()
        var next = NIODeadline.distantFuture
        for request in self.waiting {
            guard let due = self.due(request) else { continue }
            guard due > now else {
                return self.end(.late(request.name, request.patience ?? .zero, at: self.settings.address))
            }
            next = min(next, due)
        }
        if next < .distantFuture { self.watch(until: next) }
    }

    // MARK: In

    package func handlerAdded(context: ChannelHandlerContext) { self.channel = context.channel }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        guard self.failure == nil else { return }
        self.lastReceived = .now()
        self.replyBytes += bytes.readableBytes
        self.received.writeBuffer(&bytes)
        do throws(ReplyParser.Failure) {
            while self.failure == nil, let reply = try self.parser.next(&self.received) {
                self.replyBytes = self.received.readableBytes
                self.replied(reply)
            }
        } catch { return self.end(.senseless(error, at: self.settings.address)) }
        self.received.discardReadBytes()
        let limits = self.settings.limits
        if !limits.passesOver, self.replyBytes > limits.replyBytes {
            self.end(.tooLong(limits.replyBytes, at: self.settings.address))
        }
    }

    private func replied(_ reply: ReplyValue) {
        if case .push = reply { return }
        guard let request = self.waiting.popFirst() else {
            return self.end(.unasked(reply.text, at: self.settings.address))
        }
        request.completion(.success(reply))
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        if self.isReady, self.failure == nil { self.afterReplies() }
        self.flush()
        context.fireChannelReadComplete()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.end(.closed(at: self.settings.address))
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.end(.broken(error, at: self.settings.address))
    }
}
