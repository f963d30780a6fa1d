import AnnexTestSupport
import Glibc

/// A client on a plain blocking socket. Reads give up after ten seconds, so that a silent server fails a test instead
/// of hanging it.
final class TestClient {
    typealias Failure = PlainSocket.Failure

    private let socket: PlainSocket
    private var received: [UInt8] = []
    var descriptor: Int32 { self.socket.descriptor }

    init(port: Int) throws { self.socket = try PlainSocket(port: port) }

    func send(_ text: String) throws { try self.send(Array(text.utf8)) }

    func send(_ bytes: some Collection<UInt8>) throws { try self.socket.send(Array(bytes)) }

    /// Sends until the server has taken nothing for `patience` milliseconds; returns how much it took.
    func sendUntilStuck(_ bytes: [UInt8], patience: Int32) throws -> Int {
        var total = 0
        while true {
            var poll = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
            guard Glibc.poll(&poll, 1, patience) > 0 else { return total }
            let start = total % bytes.count
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    self.descriptor,
                    $0.baseAddress! + start,
                    bytes.count - start,
                    Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
                )
            }
            if count < 0, errno == EAGAIN { continue }
            guard count > 0 else { throw Failure(message: "send: errno \(errno)") }
            total += count
        }
    }

    /// Closing sends a reset in place of an end.
    func resetWhenClosed() {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    }

    func finishSending() { shutdown(self.descriptor, Int32(SHUT_WR)) }

    /// False at the end of the stream.
    private func more() throws -> Bool {
        guard let more = try self.socket.receive() else { return false }
        self.received += more
        return true
    }

    /// The next `count` bytes.
    func read(_ count: Int) throws -> String {
        while self.received.count < count {
            guard try self.more() else {
                throw Failure(message: "closed after \(String(decoding: self.received, as: UTF8.self))")
            }
        }
        defer { self.received.removeFirst(count) }
        return String(decoding: self.received.prefix(count), as: UTF8.self)
    }

    /// The next line, without its end.
    func line() throws -> String {
        var from = 0
        while true {
            if let end = self.received[from...].firstIndex(of: 10) {
                defer { self.received.removeFirst(end + 1) }
                return String(decoding: self.received[..<max(end - 1, 0)], as: UTF8.self)
            }
            from = self.received.count
            guard try self.more() else {
                throw Failure(message: "closed after \(String(decoding: self.received, as: UTF8.self))")
            }
        }
    }

    /// A bulk or verbatim string.
    func bulk() throws -> String {
        let header = try self.line()
        guard let count = Int(header.dropFirst()), header.hasPrefix("$") || header.hasPrefix("=") else {
            throw Failure(message: "not a bulk string: \(header)")
        }
        return String(decoding: try self.read(count + 2).utf8.dropLast(2), as: UTF8.self)
    }

    /// Everything until the server closes.
    func rest() throws -> String {
        while try self.more() {}
        defer { self.received = [] }
        return String(decoding: self.received, as: UTF8.self)
    }

    func ask(_ text: String) throws -> String {
        try self.send(text + "\r\n")
        return try self.line()
    }

    static func frame(_ words: String...) -> String { self.frame(words) }

    static func frame(_ words: [String]) -> String {
        "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
    }
}
