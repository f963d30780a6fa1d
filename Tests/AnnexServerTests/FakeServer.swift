import Foundation
import Glibc
import Synchronization

/// A server of PING alone that misbehaves as told, on a blocking socket and a thread per connection.
final class FakeServer: Sendable {
    enum Answer: Sendable {
        case say(String)
        /// Seconds of silence, on this connection, before it.
        case after(Double, say: String)
        case nothing
        case close
    }

    static let ping = Array("*1\r\n$4\r\nPING\r\n".utf8)

    let port: Int
    private let listener: Int32
    private let asked = Atomic<Int>(0)
    private let answer: @Sendable (_ number: Int) -> Answer

    /// Requests that it read, greetings too.
    var requests: Int { self.asked.load(ordering: .relaxed) }

    /// - Parameter answer: to the request of a number, counted from 0 over all connections; a greeting is one.
    init(_ answer: @escaping @Sendable (_ number: Int) -> Answer) throws {
        self.answer = answer
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
        guard result else { throw TestClient.Failure(message: "no listener: errno \(errno)") }
        self.port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { self.accept() }
    }

    /// Accepts no more; ends the thread that does.
    func stop() { shutdown(self.listener, Int32(SHUT_RDWR)) }

    private func accept() {
        while true {
            let connection = Glibc.accept(self.listener, nil, nil)
            guard connection >= 0 else { break }
            var one: Int32 = 1
            setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            // No timeout: other tests may keep the client from its turn for long, and it closes what it opened.
            Thread.detachNewThread { self.serve(connection) }
        }
        close(self.listener)
    }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        var chunk = [UInt8](repeating: 0, count: 4_096)
        var missing = Self.ping.count
        while true {
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return }
            for _ in 0..<count {
                missing -= 1
                guard missing == 0 else { continue }
                missing = Self.ping.count
                switch self.answer(self.asked.add(1, ordering: .relaxed).oldValue) {
                case .say(let text): Self.send(connection, text)
                case .after(let seconds, let text):
                    usleep(UInt32(seconds * 1e6))
                    Self.send(connection, text)
                case .nothing: continue
                case .close: return
                }
            }
        }
    }

    private static func send(_ connection: Int32, _ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }
}
