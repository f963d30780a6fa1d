import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// One connection of a load: sends what its worker wants and reports what comes back. Everything happens on the worker's
/// loop.
///
/// It has a scanner of its own instead of `RESPConnection`: what measures must build no value of a reply, and needs the
/// number of its bytes.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let worker: LoadWorker
    /// Until then `RESPBootstrap` tells whoever connects what goes wrong.
    private var isGreeted = false

    private var context: ChannelHandlerContext?
    private var scanner = ReplyScanner()
    private var flights = CircularBuffer<LoadFlight>(initialCapacity: 1)
    /// Counts bytes of a reply that is not complete.
    private var replyBytes = 0
    /// Tells whether it is in the worker's queue of connections that may send.
    var isQueued = false

    init(_ worker: LoadWorker) { self.worker = worker }

    /// The server has answered the greeting.
    func greeted() {
        self.isGreeted = true
        self.worker.add(self)
    }

    /// Counts requests that wait for a reply.
    var waiting: Int { self.flights.count }

    /// Returns the time when the oldest of them was sent.
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

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let now = LoadClock.now()
        do {
            try self.unwrapInboundIn(data).withUnsafeReadableBytes { try self.read($0, at: now) }
        } catch {
            self.fail(.senseless(error, at: self.worker.address))
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
        guard let flight = self.flights.popFirst() else {
            let text = outcome == .error ? String(decoding: self.scanner.errorText, as: UTF8.self) : nil
            return self.fail(.unasked(text, at: self.worker.address))
        }
        self.worker.replied(
            to: flight,
            error: outcome == .error ? self.scanner.errorText : nil,
            bytes: self.replyBytes,
            at: now
        )
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.isGreeted { self.worker.mayContinue(self) }
    }

    func channelInactive(context: ChannelHandlerContext) { self.fail(.closed(at: self.worker.address)) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(.broken(error, at: self.worker.address))
    }

    private func fail(_ failure: RESPFailure) {
        if self.isGreeted { self.worker.fail(failure.error) }
        self.close()
    }
}
