import AnnexTestSupport

/// A reply of RESP2, as the bytes say it.
indirect enum Reply: Equatable {
    case text(String)
    case error(String)
    case list([Reply])
    case null

    var texts: [String]? {
        guard case .list(let elements) = self else { return nil }
        return elements.compactMap { if case .text(let text) = $0 { text } else { nil } }
    }
}

/// A client on a plain blocking socket, which shares no code with the server. A server that says nothing for 20 s fails the test.
final class PlainClient {
    typealias Failure = PlainSocket.Failure

    private let socket: PlainSocket
    private var received: [UInt8] = []
    private var offset = 0

    init(port: Int) throws { self.socket = try PlainSocket(port: port, patience: 60) }

    /// Sends commands in one go, without reading.
    func send(_ commands: [[String]]) throws {
        let text = commands.map { words in
            "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
        }.joined()
        try self.socket.send(Array(text.utf8))
    }

    func ask(_ words: String...) throws -> Reply {
        try self.send([words])
        return try self.reply()
    }

    /// The field of a line of INFO.
    func info(_ section: String, _ name: String) throws -> String? {
        guard case .text(let text) = try self.ask("INFO", section) else { return nil }
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
        return line.map { String($0.dropFirst(name.utf8.count + 1)) }
    }

    /// Whether the server has closed, with every reply read.
    func isAtEnd() throws -> Bool {
        guard self.offset == self.received.count else { return false }
        return try !self.more()
    }

    func reply() throws -> Reply {
        let line = try self.line()
        let rest = String(line.dropFirst())
        switch line.first {
        case "+", ":": return .text(rest)
        case "-": return .error(rest)
        case "$":
            guard let count = Int(rest), count >= 0 else { return .null }
            let text = try self.take(count)
            _ = try self.take(2)
            return .text(text)
        case "*":
            guard let count = Int(rest), count >= 0 else { return .null }
            return .list(try (0..<count).map { _ in try self.reply() })
        default: throw Failure(message: "no reply of RESP2: '\(line)'")
        }
    }

    private func line() throws -> String {
        while true {
            if let end = self.received[self.offset...].firstIndex(of: 10) {
                defer { self.offset = end + 1 }
                return String(decoding: self.received[self.offset..<max(self.offset, end - 1)], as: UTF8.self)
            }
            guard try self.more() else { throw Failure(message: "closed in the middle of a reply") }
        }
    }

    private func take(_ count: Int) throws -> String {
        while self.received.count - self.offset < count {
            guard try self.more() else { throw Failure(message: "closed in the middle of a reply") }
        }
        defer { self.offset += count }
        return String(decoding: self.received[self.offset..<(self.offset + count)], as: UTF8.self)
    }

    /// False at the end of the stream.
    private func more() throws -> Bool {
        guard let more = try self.socket.receive() else { return false }
        self.received.removeFirst(self.offset)
        self.offset = 0
        self.received += more
        return true
    }
}
