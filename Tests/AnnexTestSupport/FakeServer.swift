import Foundation
import Glibc
import Synchronization

/// A server that misbehaves as told, on a blocking socket and a thread per connection.
package final class FakeServer: Sendable {
    package enum Answer: Sendable {
        case say(String)
        /// Seconds of silence, on this connection, before it.
        case after(Double, say: String)
        /// One byte at a time, with so many seconds before each.
        case trickle(Double, say: String)
        case nothing
        case close
    }

    package struct Failure: Error { let message: String }

    /// The words of a request, as text.
    package typealias Script = @Sendable (_ number: Int, _ words: [String]) -> Answer

    package static let ping = Array("*1\r\n$4\r\nPING\r\n".utf8)

    package let port: Int
    private let listener: Int32
    private let asked = Atomic<Int>(0)
    private let accepted = Atomic<Int>(0)
    private let answer: Script
    private let welcome: String?

    /// Requests that it read, greetings too.
    package var requests: Int { self.asked.load(ordering: .relaxed) }
    package var connections: Int { self.accepted.load(ordering: .relaxed) }

    /// - Parameters:
    ///   - welcome: what it says on each connection before it is asked anything.
    ///   - answer: to the request of a number, counted from 0 over all connections; a greeting is one.
    package init(welcome: String? = nil, _ answer: @escaping Script) throws {
        (self.answer, self.welcome) = (answer, welcome)
        self.listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = self.listener
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &size) == 0
            }
        }
        guard result else { throw Failure(message: "no listener: errno \(errno)") }
        self.port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { self.accept() }
    }

    /// Accepts no more; ends the thread that does.
    package func stop() { shutdown(self.listener, Int32(SHUT_RDWR)) }

    private func accept() {
        while true {
            let connection = Glibc.accept(self.listener, nil, nil)
            guard connection >= 0 else { break }
            self.accepted.add(1, ordering: .relaxed)
            var one: Int32 = 1
            setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            // No timeout: other tests may keep the client from its turn for long, and it closes what it opened.
            Thread.detachNewThread { self.serve(connection) }
        }
        close(self.listener)
    }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        if let welcome { Self.send(connection, welcome) }
        var chunk = [UInt8](repeating: 0, count: 4_096)
        var requests = RequestWords()
        while true {
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return }
            for byte in chunk[..<count] {
                guard let words = requests.take(byte) else { continue }
                switch self.answer(self.asked.add(1, ordering: .relaxed).oldValue, words) {
                case .say(let text): Self.send(connection, text)
                case .after(let seconds, let text):
                    usleep(UInt32(seconds * 1e6))
                    Self.send(connection, text)
                case .trickle(let seconds, let text):
                    for byte in text.utf8 {
                        usleep(UInt32(seconds * 1e6))
                        guard Self.send(connection, [byte]) else { return }
                    }
                case .nothing: continue
                case .close: return
                }
            }
        }
    }

    private static func send(_ connection: Int32, _ text: String) { _ = self.send(connection, Array(text.utf8)) }

    private static func send(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) } == bytes.count
    }
}

/// Requests out of a stream of bytes, as arrays of bulk strings; knows nothing of the project's own parser.
private struct RequestWords {
    private var line: [UInt8] = []
    private var words: [String] = []
    private var missingWords = 0
    /// Bytes of a word and of its line end that are still to come.
    private var missingBytes = 0

    /// The words of the request that ends in this byte.
    mutating func take(_ byte: UInt8) -> [String]? {
        self.line.append(byte)
        if self.missingBytes > 0 {
            self.missingBytes -= 1
            guard self.missingBytes == 0 else { return nil }
            self.words.append(String(decoding: self.line.dropLast(2), as: UTF8.self))
            self.missingWords -= 1
            return self.end()
        }
        guard byte == UInt8(ascii: "\n") else { return nil }
        let number = Int(String(decoding: self.line.dropFirst().dropLast(2), as: UTF8.self)) ?? 0
        if self.line.first == UInt8(ascii: "*") { self.missingWords = number } else { self.missingBytes = number + 2 }
        self.line = []
        return nil
    }

    private mutating func end() -> [String]? {
        self.line = []
        guard self.missingWords == 0 else { return nil }
        defer { self.words = [] }
        return self.words
    }
}
