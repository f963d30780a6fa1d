import AnnexCore
import NIOCore
import Synchronization

/// A client above the connection limit: gets one error, then is closed.
///
/// Its own end is awaited for a moment, because closing a socket with unread bytes in it makes the kernel drop what the
/// client has not read yet, that is the error.
final class RejectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let shared: ServerShared
    private let lingers: Bool

    init(shared: ServerShared) {
        self.shared = shared
        self.lingers = shared.beginLingering()
    }

    func channelActive(context: ChannelHandlerContext) {
        let bytes = ByteBuffer(string: "-\(ErrorCode.error.rawValue) max number of clients reached\r\n")
        let channel = context.channel
        let lingers = self.lingers
        channel.writeAndFlush(bytes).whenComplete { _ in
            channel.close(mode: lingers ? .output : .all, promise: nil)
        }
        if lingers {
            context.eventLoop.assumeIsolated().scheduleTask(in: ServerShared.linger) { channel.close(promise: nil) }
        }
    }

    /// Drops the bytes of the client.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Comes for a channel that never became active as well.
    func handlerRemoved(context: ChannelHandlerContext) { if self.lingers { self.shared.endLingering() } }
}
