import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// Says what kind of requests a link carries: slow ones must not stand in the way of others.
enum Lane: Int, CaseIterable {
    case reads, changes
    /// Reads that wait for an event to arrive first.
    case waits
    /// Heavy reads, those that wait for an event among them.
    case heavy

    init(_ kind: RequestKind) {
        switch kind {
        case .read: self = .reads
        case .heavyRead: self = .heavy
        case .event, .idempotentEvent: self = .changes
        }
    }
}

/// Connects to a replica: requests go out in the order in which they are given, replies come in the same order, and
/// many are under way at a time. A link is made when it is first needed, and anew when it was lost.
///
/// It is unchecked because it lives on one loop. All that is written within one turn of the loop goes out in one piece.
final class ReplicaLink: @unchecked Sendable {
    /// Hands replies and losses to the owner.
    struct Callbacks {
        /// A whole reply, or the beginning of a large one; returns who takes the rest, where it is not whole.
        let replied: (_ owed: OwedAttempt, _ bytes: ByteBuffer, _ isWhole: Bool) -> ReplyPromise?
        /// A reply will not come. `isWritten`: the replica may have the request.
        let lost: (_ owed: OwedAttempt, _ isWritten: Bool) -> Void
        let failed: (_ text: String) -> Void
    }

    static let connectTimeout = TimeAmount.milliseconds(500)
    /// Fewer are not followed until the socket took them: that would cost an allocation for each flush.
    private static let trackedBytes = 64 << 10
    /// A reply of this size or more is handed on in pieces.
    private static let largeReply = 64 << 10
    /// The reason begins with this where a replica refuses the router.
    static let refusal = "the replica refused the router"

    private let address: ClusterTopology.Address
    private let greeting: Greeting
    private let loop: any EventLoop
    private let callbacks: Callbacks

    private enum State { case idle, connecting, open(any Channel) }
    private var state = State.idle
    private var outbox: Outbox
    private var flushIsScheduled = false
    private var owed = CircularBuffer<OwedAttempt>()
    /// Counts the attempts at the end of `owed` that were not handed to the socket yet.
    private var unwritten = 0
    /// Replies to the greeting that are still to come.
    private var greetingReplies = 0
    private var scanner = ReplyScanner()
    /// The beginning of a reply that is not whole.
    private var partial = ByteBuffer()
    /// Who takes the rest of the reply that is coming in.
    private var streaming: ReplyPromise?
    private var isStreaming = false
    private var lastReceived = NIODeadline.now()
    /// Counts connections in a row that brought no reply, and says until when no other is made.
    private var failures = 0
    private var restsUntil = NIODeadline.uptimeNanoseconds(0)
    /// Tells whether the WAITPOS before the next reply failed.
    private var isStale = false
    /// Counts connections: what an old one says is of no interest any more.
    private var generation = 0

    init(
        address: ClusterTopology.Address,
        greeting: Greeting,
        shared: RouterShared,
        loop: any EventLoop,
        callbacks: Callbacks
    ) {
        self.outbox = Outbox(shared)
        self.address = address
        self.greeting = greeting
        self.loop = loop
        self.callbacks = callbacks
    }

    // MARK: Out

    /// - Parameters:
    ///   - waits: WAITPOS commands that go ahead of a read: where one fails, the read's reply is stale.
    ///   - deadline: a DEADLINE command that goes right ahead.
    func send(
        _ attempt: OwedAttempt,
        _ frame: RequestFrame,
        after waits: [ByteBuffer] = [],
        deadline: ByteBuffer? = nil
    ) {
        guard self.outbox.hasRoom(for: frame.byteCount), !self.rests else {
            return self.loop.assumeIsolated().execute { self.callbacks.lost(attempt, false) }
        }
        for wait in waits {
            self.outbox.append(wait)
            self.owed.append(OwedAttempt(attempt: attempt.attempt, isPart: false, isWait: true))
            self.unwritten += 1
        }
        if let deadline {
            self.outbox.append(deadline)
            self.owed.append(OwedAttempt(attempt: attempt.attempt, isPart: false, isDeadline: true))
            self.unwritten += 1
        }
        self.outbox.append(frame.head)
        if let tail = frame.tail { self.outbox.append(tail) }
        self.owed.append(attempt)
        self.unwritten += 1
        if case .idle = self.state { self.connect() }
        guard !self.flushIsScheduled, case .open = self.state else { return }
        self.flushIsScheduled = true
        // Runs when the loop has looked at all its sockets: what came from many clients goes out together.
        self.loop.assumeIsolated().execute { self.flush() }
    }

    fileprivate func flush() {
        self.flushIsScheduled = false
        guard case .open(let channel) = self.state, channel.isWritable, !self.outbox.isEmpty else { return }
        let (pieces, bytes) = self.outbox.takeAll()
        self.unwritten = 0
        let generation = self.generation
        for piece in pieces.dropLast() { channel.write(piece, promise: nil) }
        guard let last = pieces.last else { return }
        guard bytes >= Self.trackedBytes else {
            channel.writeAndFlush(last, promise: nil)
            return self.outbox.sent(bytes)
        }
        channel.writeAndFlush(last).assumeIsolated().whenComplete { _ in
            if generation == self.generation { self.outbox.sent(bytes) }
        }
    }

    /// Tells whether it has no connection, and does not make one now.
    private var rests: Bool {
        guard self.failures > 1, case .idle = self.state else { return false }
        return NIODeadline.now() < self.restsUntil
    }

    /// Waits before the next connection. After the first loss it comes at once, then ever later, up to a second: 5 to
    /// 10 ms, 10 to 20 ms, …
    private func rest() {
        self.failures += 1
        guard self.failures > 1 else { return }
        let most = min(Int64(10_000_000) << Int64(min(self.failures - 2, 10)), 1_000_000_000)
        self.restsUntil = .now() + .nanoseconds(Int64.random(in: most / 2...most))
    }

    /// The replica was heard of again.
    func connectAgain() { self.failures = 0 }

    private func connect() {
        self.state = .connecting
        self.generation += 1
        let generation = self.generation
        var settings = RESPSettings(host: self.address.host, port: self.address.port)
        settings.connectTimeout = Self.connectTimeout
        settings.readsOncePerTurn = true
        // The greeting goes out with the first requests, so that they need not wait for its answers.
        RESPBootstrap.connect(settings, on: self.loop) { LinkHandler(self, generation) }
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel): self.opened(channel, generation)
                case .failure(let error): self.ended("\(error)", generation)
                }
            }
    }

    private func opened(_ channel: any Channel, _ generation: Int) {
        guard case .connecting = self.state, generation == self.generation else { return channel.close(promise: nil) }
        self.state = .open(channel)
        var first = ByteBuffer()
        self.greetingReplies = self.greeting.write(to: &first)
        if first.readableBytes > 0 { channel.write(first, promise: nil) }
        self.flush()
        channel.flush()
    }

    /// Lets go of the connection: what is owed is lost.
    func close(_ reason: String) { self.ended(reason, self.generation) }

    fileprivate func ended(_ reason: String, _ generation: Int) {
        guard generation == self.generation else { return }
        self.generation += 1
        let channel: (any Channel)?
        if case .open(let open) = self.state { channel = open } else { channel = nil }
        self.state = .idle
        channel?.close(promise: nil)
        let written = self.owed.count - self.unwritten
        let owed = self.owed
        self.owed.removeAll()
        self.unwritten = 0
        self.outbox.removeAll()
        self.partial = ByteBuffer()
        self.scanner = ReplyScanner()
        self.greetingReplies = 0
        self.isStale = false
        self.rest()
        self.callbacks.failed(reason)
        for (index, attempt) in owed.enumerated() {
            if index == 0, self.isStreaming {
                self.isStreaming = false
                self.streaming?.cut()
                self.streaming = nil
            } else if !attempt.isWait, !attempt.isDeadline {
                self.callbacks.lost(attempt, index < written)
            }
        }
        self.isStreaming = false
    }

    // MARK: In

    func cutStalled(after limit: TimeAmount) {
        guard self.isStreaming, NIODeadline.now() - self.lastReceived > limit else { return }
        self.close("a reply does not go on")
    }

    fileprivate func received(_ bytes: ByteBuffer, _ generation: Int) {
        guard generation == self.generation else { return }
        self.lastReceived = .now()
        var bytes = bytes
        var position = 0
        do {
            while true {
                let outcome = try bytes.withUnsafeReadableBytes { try self.scanner.next($0, from: &position) }
                guard outcome != nil else { break }
                let piece = bytes.readSlice(length: position) ?? ByteBuffer()
                // The reader has moved: offsets count from it.
                position = 0
                guard self.greetingReplies == 0 else {
                    self.greeted(outcome)
                    guard generation == self.generation else { return }
                    continue
                }
                self.take(piece)
                guard generation == self.generation else { return }
            }
        } catch {
            return self.close("a reply makes no sense: \(error)")
        }
        guard bytes.readableBytes > 0 else { return }
        if self.partial.readableBytes == 0, !self.isStreaming {
            self.partial = bytes
        } else {
            self.partial.writeBuffer(&bytes)
        }
        if self.partial.readableBytes >= Self.largeReply || self.isStreaming { self.passOn() }
    }

    private func greeted(_ outcome: ReplyScanner.Outcome?) {
        self.greetingReplies -= 1
        self.partial = ByteBuffer()
        guard outcome == .error else { return }
        let text = String(decoding: self.scanner.errorText, as: UTF8.self)
        // A shard without that capability says so; nothing else of a greeting may fail.
        self.close("\(Self.refusal): \(Printable.escape(text))")
    }

    /// Takes the last piece of the reply at the head.
    private func take(_ piece: ByteBuffer) {
        guard var attempt = self.owed.popFirst() else { return self.close("a reply to nothing") }
        if self.isStreaming {
            self.isStreaming = false
            self.streaming?.fulfilNow(piece)
            self.streaming = nil
            return
        }
        self.failures = 0
        var whole = piece
        if self.partial.readableBytes > 0 {
            self.partial.writeImmutableBuffer(piece)
            whole = self.partial
            self.partial = ByteBuffer()
        }
        if attempt.isWait {
            if whole.getInteger(at: whole.readerIndex, as: UInt8.self) == UInt8(ascii: "-") { self.isStale = true }
            return
        }
        if attempt.isDeadline {
            guard whole.getInteger(at: whole.readerIndex, as: UInt8.self) == UInt8(ascii: "-") else { return }
            // A replica that knows no deadline would carry the change out, however late.
            let text = Printable.escape(Array(whole.readableBytesView.prefix(200)))
            return self.close("the replica takes no DEADLINE, and has to be brought up to date: \(text)")
        }
        attempt.isStale = self.isStale
        self.isStale = false
        _ = self.callbacks.replied(attempt, whole, true)
    }

    /// Hands on the part of a large reply that is here; the rest follows as it comes.
    private func passOn() {
        let bytes = self.partial
        if self.isStreaming {
            self.partial = ByteBuffer()
            self.streaming?.fulfilNow(bytes, isLast: false)
        } else if let attempt = self.owed.first, !attempt.isPart, !attempt.isWait, !attempt.isDeadline, !self.isStale,
            self.greetingReplies == 0
        {
            self.partial = ByteBuffer()
            self.isStreaming = true
            self.streaming = self.callbacks.replied(attempt, bytes, false)
        }
    }
}

/// The channel's end of a link. Unchecked: it is made and used on the loop of the link only.
private final class LinkHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    private let link: ReplicaLink
    private let generation: Int

    init(_ link: ReplicaLink, _ generation: Int) {
        self.link = link
        self.generation = generation
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.link.received(self.unwrapInboundIn(data), self.generation)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { self.link.flush() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.link.ended("the replica closed the connection", self.generation)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.link.ended("\(error)", self.generation)
        context.close(promise: nil)
    }
}
