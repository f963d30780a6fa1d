import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// One connection of a load: greets the server, then sends what its worker wants and reports what comes back.
/// Everything happens on the worker's loop.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let worker: LoadWorker
    private let password: String?
    private let greeted: EventLoopPromise<Void>
    /// Replies to the greeting that are still to come.
    private var greetings = 0
    private var isGreeting = true

    private var context: ChannelHandlerContext?
    private var scanner = ReplyScanner()
    private var flights = CircularBuffer<LoadFlight>(initialCapacity: 1)
    /// Bytes of a reply that is not complete.
    private var replyBytes = 0
    /// In the worker's queue of connections that may send.
    var isQueued = false

    /// - Parameter greeted: succeeds when the server has answered PING; its failure is an `AnnexError`.
    init(worker: LoadWorker, password: String?, greeted: EventLoopPromise<Void>) {
        self.worker = worker
        self.password = password
        self.greeted = greeted
    }

    /// Requests that wait for a reply.
    var waiting: Int { self.flights.count }

    /// When the oldest of them was sent.
    var waitingSince: UInt64? { self.flights.first?.sent }

    func write(_ request: ByteBuffer, _ flight: LoadFlight) {
        self.flights.append(flight)
        self.context?.write(self.wrapOutboundOut(request), promise: nil)
    }

    func flush() { self.context?.flush() }

    func close() { self.context?.close(promise: nil) }

    // MARK: Events

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        var hello = ByteBuffer()
        if let password {
            RequestEncoder.append([Array("AUTH".utf8), Array(password.utf8)], to: &hello)
            self.greetings += 1
        }
        RequestEncoder.append([Array("PING".utf8)], to: &hello)
        self.greetings += 1
        context.writeAndFlush(self.wrapOutboundOut(hello), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let now = LoadClock.now()
        do {
            try self.unwrapInboundIn(data).withUnsafeReadableBytes { try self.read($0, at: now) }
        } catch {
            self.fail(AnnexError(.system, "the server's reply makes no sense: \(error)", at: self.worker.address))
        }
    }

    private func read(_ bytes: UnsafeRawBufferPointer, at now: UInt64) throws {
        var position = 0
        while true {
            let start = position
            let outcome = try self.scanner.next(bytes, from: &position)
            self.replyBytes += position - start
            guard let outcome else { return }
            self.replied(outcome, at: now)
            self.replyBytes = 0
        }
    }

    private func replied(_ outcome: ReplyScanner.Outcome, at now: UInt64) {
        if self.isGreeting { return self.greetingReplied(outcome) }
        guard let flight = self.flights.popFirst() else {
            return self.fail(
                AnnexError(.system, "the server sent a reply that nobody asked for", at: self.worker.address)
            )
        }
        self.worker.replied(
            to: flight,
            error: outcome == .error ? self.scanner.errorText : nil,
            bytes: self.replyBytes,
            at: now
        )
    }

    private func greetingReplied(_ outcome: ReplyScanner.Outcome) {
        guard outcome == .value else {
            let text = Printable.escape(self.scanner.errorText, limit: ReplyScanner.maximumErrorBytes)
            let hint = self.password == nil ? "If it wants a password, give --password-file" : "See --password-file"
            return self.fail(AnnexError(.system, "the server answered '\(text)'", at: self.worker.address, hint: hint))
        }
        self.greetings -= 1
        guard self.greetings == 0 else { return }
        self.isGreeting = false
        self.worker.add(self)
        self.greeted.succeed(())
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !self.isGreeting { self.worker.mayContinue(self) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(
            AnnexError(
                .system,
                "the server closed a connection",
                at: self.worker.address,
                hint: "Does it still run? Does it allow so many connections?"
            )
        )
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(ConnectionFailure.broken(error, at: self.worker.address))
    }

    /// Of a greeting, or of the whole run.
    private func fail(_ error: AnnexError) {
        if self.isGreeting { self.greeted.fail(error) } else { self.worker.fail(error) }
        self.close()
    }
}
