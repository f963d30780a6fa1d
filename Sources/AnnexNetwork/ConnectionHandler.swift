import AnnexCore
import AnnexWire
import Logging
import NIOCore
import Synchronization

/// One client: bytes in, commands answered in order, bytes out. The only handler of its channel, so a frame passes no
/// pipeline stages.
///
/// Unchecked because every member is read and written on the loop of the channel only. What this class may do next is
/// decided by `ConnectionStateMachine`; this class does it. The members that each command touches are left out of the
/// run-time checks of exclusive access, which took a tenth of the time of a pipelined PING.
final class ConnectionHandler: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What `CLIENT REPLY` asked for.
    enum ReplyMode { case on, off, skipNext, skipThis }

    /// Replies are handed to the socket when this many bytes have gathered, and at the end of each turn.
    /// So many bytes of requests may be under way before the next has to wait.
    private static let owedRequestBytes = 1 << 20
    static let flushBytes = 64 << 10
    /// Length of a turn; see also `ServerConfiguration.pipelineDepth`.
    private static let turnNanoseconds: UInt64 = 1_000_000

    let loop: LoopContext
    @exclusivity(unchecked) var state: ConnectionState
    @exclusivity(unchecked) var replyMode = ReplyMode.on
    var authFailures = 0
    let connectedAt = NIODeadline.now()
    let localAddress: String
    /// Position in the table of the last command, for CLIENT LIST; nil before the first.
    @exclusivity(unchecked) var lastCommand: Int?

    @exclusivity(unchecked) var machine = ConnectionStateMachine()
    @exclusivity(unchecked) private var parser: RequestParser
    @exclusivity(unchecked) var request = Request()
    @exclusivity(unchecked) var reply: ReplyWriter
    var context: ChannelHandlerContext?

    /// Received and not parsed.
    @exclusivity(unchecked) private var input = ByteBuffer()
    /// Whether `input` is this connection's own storage or still the buffer the socket was read into.
    private var inputIsOwn = false
    private var readHeld = false
    private var flushes = 0
    private(set) var inputHeld = 0
    private(set) var outputHeld = 0
    var owedHeld = 0
    var lastActive = NIODeadline.now()
    /// When the first byte of the command that is not complete yet came.
    private var unfinishedSince: NIODeadline?
    private var waitingCommand: (position: Int, start: UInt64)?
    private var quietDrainSteps = 0
    private var closing = false
    private var isServing = false
    var finishAfterWaiting = false
    /// Replies of commands that may follow each other without waiting; a command that may not is parked until all came.
    @exclusivity(unchecked) var owed = OwedReplies()
    @exclusivity(unchecked) private var isParked = false
    /// A protocol error that is told when all came.
    private var parkedFailure: String?
    /// The waiting command as the slow log would show it: its request is not kept while it waits.
    var waitingArguments: [String]?

    init(loop: LoopContext, state: ConnectionState, localAddress: String) {
        self.loop = loop
        self.state = state
        self.localAddress = localAddress
        self.parser = RequestParser(
            limits: loop.shared.configuration.limits,
            authenticated: state.authenticated
        )
        self.reply = ReplyWriter(version: state.respVersion, buffer: ByteBuffer())
    }

    var isWaiting: Bool { self.machine.phase == .waiting }
    var held: Int { self.inputHeld + self.outputHeld + self.owedHeld }
    var lastActiveAt: NIODeadline { self.lastActive }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.loop.add(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        self.loop.metrics.inputBytes &+= bytes.readableBytes
        self.lastActive = .now()
        self.quietDrainSteps = 0
        guard self.machine.phase != .finishing, !self.machine.isClosed else { return }
        if self.input.readableBytes == 0 {
            self.input = bytes
            self.inputIsOwn = false
        } else {
            self.input.writeBuffer(&bytes)
        }
        if self.machine.mayParse { self.serve(context) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.endTurn(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.measureOutput(context)
        // A flush within a turn comes here before it returns; the turn goes on by itself then.
        let action = self.machine.writabilityChanged(to: context.channel.isWritable)
        if action == .serve, !self.isServing { self.serveOn(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            return context.fireUserInboundEventTriggered(event)
        }
        self.machine.inputClosed()
        self.unfinishedSince = nil
        self.serveOn(context)
    }

    func channelInactive(context: ChannelHandlerContext) { self.ended() }

    /// Also comes where the channel was closed before it became active, when `channelInactive` does not.
    func handlerRemoved(context: ChannelHandlerContext) { self.ended() }

    private func ended() {
        guard self.context != nil else { return }
        self.machine.closed()
        self.loop.heldBytesChanged(by: -self.held)
        self.inputHeld = 0
        self.outputHeld = 0
        self.owedHeld = 0
        self.input = ByteBuffer()
        self.reply.buffer = ByteBuffer()
        self.request = Request()
        self.owed.removeAll()
        self.context = nil
        self.loop.remove(self)
        self.loop.shared.connections.subtract(1, ordering: .relaxed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.loop.shared.logger.debug(
            "Connection failed",
            metadata: ["client": "\(self.state.id)", "error": "\(error)"]
        )
        self.closeNow()
    }

    /// Reading stops while a reply is outstanding or the client does not take its replies.
    func read(context: ChannelHandlerContext) {
        if self.machine.mayRead { context.read() } else { self.readHeld = true }
    }

    private func readOn(_ context: ChannelHandlerContext) {
        guard self.readHeld, self.machine.mayRead else { return }
        self.readHeld = false
        context.read()
    }

    // MARK: Turns

    /// Parses and answers what is here, for at most one turn. Replies stay in `reply` until `endTurn`.
    private func serve(_ context: ChannelHandlerContext) {
        self.isServing = true
        self.quietDrainSteps = 0
        defer { self.isServing = false }
        if self.reply.buffer.capacity == 0 { self.reply.buffer = self.loop.borrowBuffer() }
        var now = NIODeadline.now().uptimeNanoseconds
        let end = now + Self.turnNanoseconds
        var commands = self.loop.shared.configuration.pipelineDepth
        while self.machine.mayParse {
            if commands == 0 || now > end, self.input.readableBytes > 0 {
                self.machine.turnEnded()
                self.loop.yield(self)
                return
            }
            switch self.nextRequest() {
            case .request:
                self.unfinishedSince = nil
                guard self.request.count > 0 else { continue }
                guard self.owed.isEmpty || self.mayFollowOwed() else {
                    self.isParked = true
                    self.machine.startedWaiting()
                    return
                }
                now = self.answer(startingAt: now)
                commands -= 1
                if self.reply.buffer.readableBytes >= Self.flushBytes { self.flush(context) }
            case .needMore:
                if self.owed.isEmpty { self.ranDry(now) } else { self.machine.startedWaiting() }
                return
            case .failed(let text):
                guard self.owed.isEmpty else {
                    self.parkedFailure = text
                    self.machine.startedWaiting()
                    return
                }
                self.failProtocol(text)
            }
        }
    }

    /// The parked request, or the next one.
    private func nextRequest() -> RequestParser.Result {
        if let failure = self.parkedFailure { return .failed(failure) }
        guard self.isParked else { return self.parser.next(&self.input, into: &self.request) }
        self.isParked = false
        return .request
    }

    private func mayFollowOwed() -> Bool {
        guard self.owed.count < self.loop.shared.configuration.pipelineDepth,
            self.owed.requestBytes < Self.owedRequestBytes,
            case .command(let found, _) = self.loop.shared.table.lookup(self.request)
        else { return false }
        return found.company != .alone && found.company == self.owed.company && self.state.authenticated
    }

    private func ranDry(_ now: UInt64) {
        if self.parser.isInsideFrame || self.input.readableBytes > 0 {
            if self.unfinishedSince == nil { self.unfinishedSince = .uptimeNanoseconds(now) }
            if !self.state.authenticated,
                self.input.readableBytes > self.loop.shared.configuration.limits.unauthenticatedBufferBytes
            {
                self.failProtocol("unauthenticated client sent too much")
            }
        }
        _ = self.machine.ranDry()
    }

    private func failProtocol(_ text: String) {
        self.loop.metrics.protocolErrors &+= 1
        self.loop.metrics.countError("ERR")
        self.reply.error(code: "ERR", "Protocol error: " + text)
        self.loop.shared.logger.debug(
            "Protocol error",
            metadata: ["client": "\(self.state.id)", "error": "\(Printable.escape(text))"]
        )
        self.machine.finish()
    }

    /// Hands over the replies of the turn and settles what the connection holds.
    private func endTurn(_ context: ChannelHandlerContext) {
        if self.reply.buffer.capacity > 0 { self.flush(context) }
        if self.reply.buffer.capacity > 0 {
            self.loop.giveBack(self.reply.buffer, written: true)
            self.reply.buffer = ByteBuffer()
        }
        self.keepInput()
        self.settle()
        if self.machine.phase == .finishing { self.closeWhenWritten(context) }
    }

    /// `serve` outside `channelRead`: a reply arrived, the client reads again, the next turn came.
    func serveOn(_ context: ChannelHandlerContext) {
        if self.machine.mayParse { self.serve(context) }
        self.endTurn(context)
        self.readOn(context)
    }

    func turnBegan() {
        guard let context = self.context, self.machine.turnBegan() == .serve else { return }
        self.serveOn(context)
    }

    // MARK: Input

    /// What is left of the input after a turn moves from the socket's read buffer, which is needed again, to storage of
    /// its own size. A connection without an unfinished command holds nothing.
    private func keepInput() {
        let left = self.input.readableBytes
        if left == 0 {
            if self.input.capacity > 0 { self.input = ByteBuffer() }
            self.inputIsOwn = false
        } else if !self.inputIsOwn {
            var own = ByteBufferAllocator().buffer(capacity: left)
            own.writeBuffer(&self.input)
            self.input = own
            self.inputIsOwn = true
        } else if self.input.readerIndex > 64 << 10 {
            self.input.discardReadBytes()
        }
        if !self.isParked { self.request.release(midFrame: self.parser.isInsideFrame) }
    }

    private func settle() {
        let inputNow = self.inputIsOwn ? self.input.capacity : 0
        guard inputNow != self.inputHeld else { return }
        let change = inputNow - self.inputHeld
        self.inputHeld = inputNow
        self.loop.heldBytesChanged(by: change)
    }

    // MARK: Output

    func flush(_ context: ChannelHandlerContext) {
        let buffer = self.reply.buffer
        self.reply.buffer = ByteBuffer()
        let count = buffer.readableBytes
        guard count > 0 else { return self.loop.giveBack(buffer, written: true) }
        self.loop.metrics.outputBytes &+= count
        self.flushes &+= 1
        context.writeAndFlush(Self.wrapOutboundOut(buffer), promise: nil)
        let writable = context.channel.isWritable
        if !writable || count >= 4_096 || self.outputHeld > 0 || self.flushes & 31 == 0 { self.measureOutput(context) }
        self.loop.giveBack(buffer, written: self.outputHeld == 0)
        if !writable { _ = self.machine.writabilityChanged(to: false) }
        if self.machine.mayParse { self.reply.buffer = self.loop.borrowBuffer() }
    }

    /// Asks the channel how many bytes wait for the client, and closes a connection that is above its limit.
    private func measureOutput(_ context: ChannelHandlerContext) {
        let bytes = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        guard bytes != self.outputHeld else { return }
        let change = bytes - self.outputHeld
        self.outputHeld = bytes
        self.loop.heldBytesChanged(by: change)
        let limit = self.loop.shared.configuration.outputBufferBytes
        if bytes > limit { self.evict("more than \(limit) bytes of replies wait for the client") }
    }

    private func closeWhenWritten(_ context: ChannelHandlerContext) {
        guard !self.closing else { return }
        self.closing = true
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.closeNow() }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: promise)
    }

    func closeNow() {
        self.machine.finish()
        self.context?.close(promise: nil)
    }

    /// Closes a connection that holds too much. Its replies are lost: it does not read them.
    func evict(_ reason: String) {
        guard !self.machine.isClosed else { return }
        self.loop.metrics.evicted &+= 1
        self.loop.shared.logger.warning(
            "Client closed",
            metadata: ["client": "\(self.state.id)", "address": "\(self.state.address)", "reason": "\(reason)"]
        )
        self.closeNow()
    }

    /// No command after the one being answered; closes when its reply is written.
    func finishAfterThis() {
        if self.isWaiting { self.finishAfterWaiting = true } else { self.machine.finish() }
    }

    /// `state.authenticated` changed: other limits hold from the next command on.
    func authenticationChanged() { self.parser.authenticated = self.state.authenticated }

    // MARK: Deadlines and drain

    func checkDeadlines(_ now: NIODeadline) {
        guard let context, !self.machine.isClosed else { return }
        if self.outputHeld > 0 { self.measureOutput(context) }
        let configuration = self.loop.shared.configuration
        if let since = self.unfinishedSince, now - since > TimeAmount(configuration.unfinishedCommandTimeout) {
            self.timeOut("command not complete in time")
        } else if !self.state.authenticated, now - self.connectedAt > TimeAmount(configuration.authTimeout) {
            self.timeOut("no successful AUTH in time")
        } else if self.machine.phase == .finishing,
            now - self.lastActive > TimeAmount(configuration.unfinishedCommandTimeout)
        {
            self.timeOut("last replies not read in time")
        } else if self.loop.settings.idleTimeoutSeconds > 0, self.machine.phase == .serving,
            now - self.lastActive > .seconds(Int64(self.loop.settings.idleTimeoutSeconds))
        {
            self.timeOut("idle")
        }
    }

    private func timeOut(_ reason: String) {
        self.loop.metrics.timedOut &+= 1
        self.loop.shared.logger.debug(
            "Client timed out",
            metadata: ["client": "\(self.state.id)", "address": "\(self.state.address)", "reason": "\(reason)"]
        )
        self.closeNow()
    }

    /// One step of a drain: closes when everything received has been answered and nothing came for two steps in which
    /// the connection was reading, or, when it is `late`, as soon as what has been received is answered.
    func drainStep(late: Bool) {
        guard let context else { return }
        self.quietDrainSteps = self.machine.mayRead ? self.quietDrainSteps + 1 : 0
        guard self.quietDrainSteps > 2 || late else { return }
        self.machine.stopReading()
        self.serveOn(context)
    }

    // MARK: Replies that come later

    /// Makes the connection wait; `completed` must be called with the reply, on any thread, exactly once.
    func wait(for position: Int, since start: UInt64) {
        self.waitingCommand = (position, start)
        self.machine.startedWaiting()
    }

    func completed(_ bytes: ByteBuffer) {
        if self.loop.eventLoop.inEventLoop {
            self.finishWaiting { $0.buffer.writeImmutableBuffer(bytes) }
        } else {
            self.loop.eventLoop.execute { self.finishWaiting { $0.buffer.writeImmutableBuffer(bytes) } }
        }
    }

    /// On the loop. `write` writes the reply.
    func finishWaiting(_ write: (inout ReplyWriter) -> Void) {
        guard let context, let (position, start) = self.waitingCommand else { return }
        self.waitingCommand = nil
        if self.reply.buffer.capacity == 0 { self.reply.buffer = self.loop.borrowBuffer() }
        let from = self.reply.buffer.writerIndex
        write(&self.reply)
        self.finishReply(from: from, position: position, start: start, now: NIODeadline.now().uptimeNanoseconds)
        self.lastActive = .now()
        _ = self.machine.replyArrived()
        if self.finishAfterWaiting { self.machine.finish() }
        self.serveOn(context)
    }
}
