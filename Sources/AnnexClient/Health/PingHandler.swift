import AnnexWire
package import NIOCore

/// Sends PINGs and times their answers. Any answer but an error counts: NOAUTH does not.
package final class PingHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundIn = Ping
    package typealias OutboundOut = ByteBuffer

    package struct Ping: Sendable {
        package init() {}
    }

    private let password: String?
    private let patience: Int
    private let answered: (UInt64) -> Void
    private var scanner = ReplyScanner()
    private var sent = CircularBuffer<UInt64>()
    private var ignored = 0

    /// - Parameters:
    ///   - patience: with so many PINGs unanswered the connection is given up.
    ///   - answered: nanoseconds from a PING to its answer; on the channel's loop.
    package init(password: String?, patience: Int, answered: @escaping (_ nanos: UInt64) -> Void) {
        self.password = password
        self.patience = patience
        self.answered = answered
    }

    package func channelActive(context: ChannelHandlerContext) {
        guard let password else { return }
        var buffer = ByteBuffer()
        RequestEncoder.append([Array("AUTH".utf8), Array(password.utf8)], to: &buffer)
        self.ignored = 1
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard self.sent.count < self.patience else { return context.close(promise: nil) }
        self.sent.append(NIODeadline.now().uptimeNanoseconds)
        var buffer = ByteBuffer()
        RequestEncoder.append([Array("PING".utf8)], to: &buffer)
        context.write(self.wrapOutboundOut(buffer), promise: promise)
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        var position = 0
        do {
            try bytes.withUnsafeReadableBytes { bytes in
                while let outcome = try self.scanner.next(bytes, from: &position) {
                    if self.ignored > 0 {
                        self.ignored -= 1
                        continue
                    }
                    guard let since = self.sent.popFirst(), outcome == .value else { continue }
                    self.answered(NIODeadline.now().uptimeNanoseconds &- since)
                }
            }
        } catch { context.close(promise: nil) }
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
