import AnnexCore
import AnnexWire
import Logging
import NIOCore
import Synchronization

/// Serves one client: it takes bytes, answers commands in order, and sends bytes. It is the only handler of its
/// channel, so a frame passes no pipeline stages.
///
/// Unchecked because every member is read and written on the loop of the channel only. What this class may do next is
/// decided by `ConnectionStateMachine`; this class does it. The members that each command touches are left out of the
/// run-time checks of exclusive access, which took a tenth of the time of a pipelined PING.
final class ConnectionHandler: ChannelDuplexHandler, LoopConnection, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Requests of so many bytes may be under way before the next command has to wait.
    private static let pendingRequestBytes = 1 << 20
    /// Replies are handed to the socket when so many bytes have gathered, and at the end of each turn.
    static let flushBytes = 64 << 10
    /// Length of a turn; see also `ServerConfiguration.pipelineDepth`.
    private static let turnNanoseconds: UInt64 = 750_000

    let loop: LoopContext
    let loops: ServerLoops
    let localAddress: String
    @exclusivity(unchecked) var state: ConnectionState
    @exclusivity(unchecked) var machine = ConnectionStateMachine()
    @exclusivity(unchecked) var inbound: InboundRequests
    @exclusivity(unchecked) var outbound: OutboundReplies
    @exclusivity(unchecked) var clock = ConnectionClock()
    var held = HeldBytes()
    var context: ChannelHandlerContext?
    /// Holds the index in the table of the last command, for CLIENT LIST. It is nil before the first.
    @exclusivity(unchecked) var lastCommand: Int?
    var authFailures = 0
    /// Holds the time that DEADLINE gave for the next command. It is nil where none was given.
    @exclusivity(unchecked) var nextDeadline: Int64?

    init(loop: LoopContext, of loops: ServerLoops, state: ConnectionState, localAddress: String) {
        self.loop = loop
        self.loops = loops
        self.state = state
        self.localAddress = localAddress
        self.inbound = InboundRequests(
            limits: loop.shared.configuration.limits,
            authenticated: state.authenticated
        )
        self.outbound = OutboundReplies(ReplyWriter(version: state.respVersion, buffer: ByteBuffer()))
    }

    var isWaiting: Bool { self.machine.isWaiting }

    /// Returns the command that is being answered.
    var request: Request { _read { yield self.inbound.request } }

    /// The reply of that command goes here.
    var reply: ReplyWriter {
        _read { yield self.outbound.writer }
        _modify { yield &self.outbound.writer }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.loop.add(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Self.unwrapInboundIn(data)
        self.loop.metrics.inputBytes &+= bytes.readableBytes
        self.clock.received()
        guard self.machine.takesInput else { return }
        self.inbound.append(bytes)
        if self.machine.mayParse { self.serve(context) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.endTurn(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.measureOutput(context)
        if !context.channel.isWritable {
            self.machine.outputIsBlocked()
        } else if self.machine.outputDrained() {
            self.serveOn(context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            return context.fireUserInboundEventTriggered(event)
        }
        if self.machine.isLingering { return self.closeNow() }
        self.machine.inputClosed()
        self.clock.unfinishedSince = nil
        self.serveOn(context)
    }

    func channelInactive(context: ChannelHandlerContext) { self.ended() }

    /// NIO calls this also where the channel was closed before it became active, when `channelInactive` does not come.
    func handlerRemoved(context: ChannelHandlerContext) { self.ended() }

    private func ended() {
        guard self.context != nil else { return }
        if !self.machine.pending.isEmpty { self.loop.handler.abandon(self.state) }
        let lingered = self.machine.isLingering
        self.machine.closed()
        self.loop.heldBytesChanged(by: -self.held.total)
        self.held = HeldBytes()
        self.inbound.removeAll()
        self.outbound.writer.use(ByteBuffer())
        self.context = nil
        self.loop.remove(self)
        if lingered {
            self.loop.shared.endLingering()
        } else {
            self.loop.shared.connections.subtract(1, ordering: .relaxed)
        }
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
        if self.machine.readWanted() { context.read() }
    }

    // MARK: Turns

    /// Parses and answers what is here, for at most one turn. Replies stay in `reply` until `endTurn`.
    private func serve(_ context: ChannelHandlerContext) {
        self.clock.quietDrainSteps = 0
        self.machine.beginTurn()
        let began = ThreadClock.nanoseconds()
        defer {
            self.machine.endTurn()
            self.loop.metrics.turnTook(ThreadClock.nanoseconds() - began)
        }
        self.borrowBuffer()
        var now = NIODeadline.now().uptimeNanoseconds
        let end = now + Self.turnNanoseconds
        var commands = self.loop.shared.configuration.pipelineDepth
        while self.machine.mayParse {
            if commands == 0 || now > end, self.inbound.unparsedBytes > 0 || self.machine.transaction.hasMore {
                self.machine.yield()
                self.loop.yield(self)
                return
            }
            switch self.nextRequest() {
            case .request:
                self.clock.unfinishedSince = nil
                guard self.request.count > 0 else { continue }
                let mayOvertake = self.machine.pending.isEmpty || self.mayFollowPending()
                guard self.machine.admit(mayOvertake: mayOvertake) else { return }
                now = self.answer(startingAt: now)
                commands -= 1
                if self.reply.buffer.readableBytes >= Self.flushBytes { self.flush(context) }
            case .paused:
                now = NIODeadline.now().uptimeNanoseconds
                // A long frame gets half a turn, because its command may cost the other half.
                guard now > end - Self.turnNanoseconds / 2 else { continue }
                self.machine.yield()
                self.loop.yield(self)
                return
            case .needMore:
                self.ranDry(now)
                return
            case .failed(let text):
                if let text = self.machine.fail(text) { self.failProtocol(text) }
                return
            }
        }
    }

    /// Returns the request that was put off, or the next one.
    private func nextRequest() -> RequestParser.Result {
        switch self.machine.takeResumed() {
        case .request: .request
        case .failure(let text): .failed(text)
        case .parse, .close, nil: self.nextParsed()
        }
    }

    /// Returns the next of the commands that EXEC runs, or of those that came since.
    private func nextParsed() -> RequestParser.Result {
        guard let kept = self.machine.transaction.takeNext() else { return self.inbound.next() }
        self.inbound.put(kept)
        return .request
    }

    /// Tells whether the request may run while replies before it are owed.
    private func mayFollowPending() -> Bool {
        let count = self.machine.pending.count
        guard count < self.loop.shared.configuration.pipelineDepth,
            self.machine.pending.requestBytes < Self.pendingRequestBytes,
            case .command(let found, _, _) = self.loop.shared.table.lookup(self.request)
        else { return false }
        guard self.state.authenticated, found.pipelineClass != .alone else { return false }
        return found.pipelineClass == .prefix || found.pipelineClass == self.machine.pending.pipelineClass
    }

    private func ranDry(_ now: UInt64) {
        if self.machine.pending.isEmpty, self.inbound.hasUnfinished {
            if self.clock.unfinishedSince == nil { self.clock.unfinishedSince = .uptimeNanoseconds(now) }
            let limit = self.loop.shared.configuration.limits.unauthenticatedBufferBytes
            if !self.state.authenticated, self.inbound.unparsedBytes > limit {
                if let text = self.machine.fail("unauthenticated client sent too much") { self.failProtocol(text) }
                return
            }
        }
        self.machine.ranDry()
    }

    private func failProtocol(_ text: String) {
        self.loop.metrics.protocolErrors &+= 1
        self.loop.metrics.countError(ErrorCode.error.rawValue)
        _ = self.reply.begin(budget: Self.flushBytes)
        self.reply.error(code: .error, "Protocol error: " + text)
        self.loop.shared.logger.debug(
            "Protocol error",
            metadata: ["client": "\(self.state.id)", "error": "\(Printable.escape(text))"]
        )
    }

    /// Hands over the replies of the turn and settles what the connection holds.
    private func endTurn(_ context: ChannelHandlerContext) {
        if self.reply.buffer.capacity > 0 { self.flush(context) }
        if self.reply.buffer.capacity > 0 { self.loop.giveBack(self.reply.takeBuffer(), written: true) }
        self.inbound.settle(keepingRequest: self.machine.keepsRequest)
        self.loop.heldBytesChanged(by: self.held.setInput(self.inbound.heldBytes + self.machine.transaction.heldBytes))
        if self.machine.beginClosing() { self.closeWhenWritten(context) }
    }

    /// Calls `serve` outside `channelRead`: a reply arrived, the client reads again, or the next turn came.
    func serveOn(_ context: ChannelHandlerContext) {
        if self.machine.mayParse { self.serve(context) }
        self.endTurn(context)
        if self.machine.takeHeldRead() { context.read() }
    }

    func turnBegan() {
        guard let context = self.context, self.machine.resume() else { return }
        self.serveOn(context)
    }

    // MARK: Buffers

    /// Makes sure that there is a buffer to write replies into.
    func borrowBuffer() {
        if self.reply.buffer.capacity == 0 { self.reply.use(self.loop.borrowBuffer()) }
    }

    // MARK: The end

    func closeAfterReplies() { self.machine.finishAfterReplies() }

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

    /// `state.authenticated` changed: other limits hold from the next command on.
    func authenticationChanged() { self.inbound.authenticationChanged(to: self.state.authenticated) }
}
