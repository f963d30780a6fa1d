import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// Whom a connection tells what happens on it.
protocol IngestConnectionOwner: AnyObject {
    func opened(_ connection: IngestConnection)
    /// To the oldest command that waits.
    ///
    /// - Parameter error: what the server said, where it is an error.
    func replied(error: [UInt8]?)
    /// What came at once was told of; the next may be sent.
    func mayContinue()
    /// Once, also for a connection that was never open.
    func lost(_ error: AnnexError, isRefused: Bool)
}

/// One connection of a lane. Everything happens on its loop.
final class IngestConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let address: String
    private let password: String?
    /// Nil once it was told of the end.
    private var owner: (any IngestConnectionOwner)?
    private var context: ChannelHandlerContext?
    private var scanner = ReplyScanner()
    private var isGreeting: Bool

    init(address: String, password: String?, owner: any IngestConnectionOwner) {
        (self.address, self.password, self.owner) = (address, password, owner)
        self.isGreeting = password != nil
    }

    func send(_ commands: [[[UInt8]]]) {
        guard let context, !commands.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: 128 * commands.count)
        for words in commands { RequestEncoder.append(words, to: &buffer) }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }

    /// Tells nobody.
    func close() {
        self.owner = nil
        self.context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        guard let password else {
            self.owner?.opened(self)
            return
        }
        self.send([[Array("AUTH".utf8), Array(password.utf8)]])
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try self.unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
                var position = 0
                while let outcome = try self.scanner.next(bytes, from: &position) { self.replied(outcome) }
            }
        } catch {
            self.end(AnnexError(.system, "the server's reply makes no sense: \(error)", at: self.address))
        }
    }

    private func replied(_ outcome: ReplyScanner.Outcome) {
        guard self.isGreeting else {
            self.owner?.replied(error: outcome == .error ? self.scanner.errorText : nil)
            return
        }
        guard outcome == .value else {
            let text = Printable.escape(self.scanner.errorText, limit: ReplyScanner.maximumErrorBytes)
            let error = AnnexError(
                .system,
                "the server answered '\(text)'",
                at: self.address,
                hint: "See --password-file"
            )
            return self.end(error, isRefused: true)
        }
        self.isGreeting = false
        self.owner?.opened(self)
    }

    func channelReadComplete(context: ChannelHandlerContext) { self.owner?.mayContinue() }

    func channelInactive(context: ChannelHandlerContext) {
        self.end(AnnexError(.system, "the server closed the connection", at: self.address, hint: "Does it still run?"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.end(ConnectionFailure.broken(error, at: self.address))
    }

    /// The owner is told once.
    func end(_ error: AnnexError, isRefused: Bool = false) {
        let owner = self.owner
        self.close()
        owner?.lost(error, isRefused: isRefused)
    }
}
