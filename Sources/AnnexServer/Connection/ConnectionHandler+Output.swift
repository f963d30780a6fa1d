import AnnexWire
import NIOCore
import Synchronization

/// Replies on their way to the socket.
extension ConnectionHandler {
    /// Hands over what was written.
    func flush(_ context: ChannelHandlerContext) {
        let buffer = self.reply.takeBuffer()
        let count = buffer.readableBytes
        guard count > 0 else { return self.loop.giveBack(buffer, written: true) }
        self.send(buffer, context)
        self.loop.giveBack(buffer, written: self.held.output == 0)
        if self.machine.mayParse { self.borrowBuffer() }
    }

    /// Hands bytes to the socket without a copy.
    func send(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        let count = bytes.readableBytes
        self.loop.metrics.outputBytes &+= count
        self.outbound.sent(count)
        context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil)
        let isWritable = context.channel.isWritable
        if !isWritable || count >= 4_096 || self.held.output > 0 || self.outbound.sends & 31 == 0 {
            self.measureOutput(context)
        }
        if !isWritable { self.machine.outputIsBlocked() }
    }

    /// Asks the channel how many bytes wait for the client, and closes a connection that is above its limit.
    func measureOutput(_ context: ChannelHandlerContext) {
        let bytes = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        guard bytes != self.held.output else { return }
        if self.outbound.measured(waiting: bytes) || self.held.output == 0 { self.clock.outputMoved = .now() }
        self.loop.heldBytesChanged(by: self.held.setOutput(bytes))
        let configuration = self.loop.shared.configuration
        let limit = configuration.outputBufferBytes + configuration.pipelineBufferBytes
        if bytes > limit { self.evict("more than \(limit) bytes of replies wait for the client") }
    }

    /// Closes the connection when all is written and the client has had time to read it: its end is awaited for a moment.
    func closeWhenWritten(_ context: ChannelHandlerContext) {
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            let shared = self.loop.shared
            guard case .success = result, let context = self.context, shared.beginLingering() else {
                return self.closeNow()
            }
            guard self.machine.linger() else {
                shared.endLingering()
                return self.closeNow()
            }
            shared.connections.subtract(1, ordering: .relaxed)
            self.inbound.removeAll()
            self.loop.heldBytesChanged(by: self.held.setInput(0))
            context.close(mode: .output, promise: nil)
            context.eventLoop.assumeIsolated().scheduleTask(in: ServerShared.linger) { [weak self] in self?.closeNow() }
            if self.machine.takeHeldRead() { context.read() }
        }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: promise)
    }

    /// Tells whether the client takes none of its replies.
    func isStalled(_ now: NIODeadline, for time: TimeAmount) -> Bool {
        self.held.output > 0 && now - self.clock.outputMoved > time
    }
}
