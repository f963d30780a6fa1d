import AnnexWire
import NIOCore

/// Says the greeting, waits for its answers, and leaves the pipeline. What comes behind the answers goes to the next handler.
final class GreetingHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// An answer to a greeting is a line, or HELLO's map.
    private static let (bulkLimit, elementLimit) = (64 << 10, 1 << 10)

    private let settings: RESPSettings
    private let greeted: EventLoopPromise<Void>
    private var parser = ReplyParser(maximumBulkBytes: bulkLimit, maximumElements: elementLimit)
    private var received = ByteBuffer()
    private var answers = 0
    private var deadline: Scheduled<Void>?
    private var isDone = false

    /// - Parameter greeted: fails with `RESPFailure`.
    init(_ settings: RESPSettings, _ greeted: EventLoopPromise<Void>) {
        (self.settings, self.greeted) = (settings, greeted)
    }

    func channelActive(context: ChannelHandlerContext) {
        var hello = ByteBuffer()
        for words in self.settings.greeting { RequestEncoder.append(words, to: &hello) }
        context.writeAndFlush(self.wrapOutboundOut(hello), promise: nil)
        let patience = self.settings.greetingTimeout ?? self.settings.connectTimeout
        self.deadline = context.eventLoop.assumeIsolated().scheduleTask(in: patience) {
            self.fail(.notGreeted(self.open, at: self.settings.address))
        }
        context.fireChannelActive()
    }

    /// Name of the command whose answer is awaited.
    private var open: [UInt8] { self.settings.greeting[min(self.answers, self.settings.greeting.count - 1)][0] }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.received.writeBuffer(&bytes)
        do throws(ReplyParser.Failure) {
            while self.answers < self.settings.greeting.count, !self.isDone {
                guard let reply = try self.parser.next(&self.received) else { return }
                switch reply {
                case .push: continue
                case .error(let text): return self.fail(.refused(self.open, text, at: self.settings.address))
                default: self.answers += 1
                }
            }
        } catch { return self.fail(.senseless(error, at: self.settings.address)) }
        guard !self.isDone else { return }
        self.end()
        self.greeted.succeed()
        if self.received.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(self.received)) }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(.closed(at: self.settings.address))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(.broken(error, at: self.settings.address))
        context.fireErrorCaught(error)
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.fail(.closed(at: self.settings.address)) }

    private func fail(_ failure: RESPFailure) {
        guard !self.isDone else { return }
        self.end()
        self.greeted.fail(failure)
    }

    private func end() {
        self.isDone = true
        self.deadline?.cancel()
    }
}
