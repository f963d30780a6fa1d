import Dispatch
import Glibc
package import NIOCore
package import NIOPosix
import Synchronization

/// The look-ups of names that loops wait for.
///
/// The system is asked on a thread of its own, as that blocks for as long as it likes, and the answer goes back to the loop. A loop
/// that has ended takes nothing any more, so whoever ends one calls `end` first: what is found later goes nowhere.
package enum NameLookups {
    typealias Answer = @Sendable (Result<[SocketAddress], any Error>) -> Void

    /// The look-ups of one loop. Those of one host go one after the other: a name that nobody answers for holds one thread, and
    /// keeps no other name waiting.
    private struct OfLoop {
        weak var loop: (any EventLoop)?
        var queues: [String: DispatchQueue] = [:]
        var waiting: [UInt64: Answer] = [:]
        /// Nothing is looked up for it any more.
        var isEnded = false
    }

    private struct All {
        var loops: [ObjectIdentifier: OfLoop] = [:]
        var next: UInt64 = 0

        /// Loops that are gone are forgotten: another one may get their place in memory.
        mutating func withLoop<R>(_ loop: any EventLoop, _ body: (inout OfLoop) -> R) -> R {
            for (key, known) in self.loops where known.loop == nil { self.loops[key] = nil }
            let key = ObjectIdentifier(loop)
            var known = self.loops[key] ?? OfLoop(loop: loop)
            defer { self.loops[key] = known }
            return body(&known)
        }
    }

    private static let all = Mutex(All())

    /// Asks for the addresses of a host. `answer` runs once, on the loop, from which this is called.
    static func begin(_ host: String, _ port: Int, on loop: any EventLoop, _ answer: @escaping Answer) {
        let begun = self.all.withLock { all -> (number: UInt64, queue: DispatchQueue)? in
            all.next &+= 1
            let number = all.next
            return all.withLoop(loop) { known in
                guard !known.isEnded else { return nil }
                known.waiting[number] = answer
                let queue = known.queues[host] ?? DispatchQueue(label: "annex-names")
                known.queues[host] = queue
                return (number, queue)
            }
        }
        guard let begun else { return answer(.failure(ChannelError.ioOnClosedChannel)) }
        begun.queue.async {
            let found = Self.ask(host, port)
            self.all.withLock { all in
                all.withLoop(loop) { known in
                    // As long as the look-up is there, `end` was not called, and the loop takes the answer.
                    guard let answer = known.waiting.removeValue(forKey: begun.number) else { return }
                    loop.execute { answer(found) }
                }
            }
        }
    }

    /// Fails the look-ups of a loop, those under way and those to come. On the loop, before it ends.
    package static func end(on loop: any EventLoop) {
        loop.preconditionInEventLoop()
        let waiting = self.all.withLock { all in
            all.withLoop(loop) { known in
                known.isEnded = true
                defer { known.waiting = [:] }
                return known.waiting
            }
        }
        for answer in waiting.values { answer(.failure(ChannelError.ioOnClosedChannel)) }
    }

    /// Ends a group whose loops have connections of `RESPBootstrap`.
    package static func shutDown(_ group: MultiThreadedEventLoopGroup) async {
        for loop in group.makeIterator() { try? await loop.submit { self.end(on: loop) }.get() }
        try? await group.shutdownGracefully()
    }

    /// Blocks for as long as the system's resolver does.
    private static func ask(_ host: String, _ port: Int) -> Result<[SocketAddress], any Error> {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_protocol = CInt(IPPROTO_TCP)
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, "\(port)", &hints, &first)
        guard status == 0 else {
            return .failure(UnknownHost(reason: String(cString: gai_strerror(status))))
        }
        defer { freeaddrinfo(first) }
        var addresses: [SocketAddress] = []
        var next = first
        while let info = next?.pointee {
            next = info.ai_next
            guard let address = info.ai_addr else { continue }
            switch info.ai_family {
            case AF_INET:
                let address = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
                addresses.append(SocketAddress(address, host: host))
            case AF_INET6:
                let address = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self)
                addresses.append(SocketAddress(address, host: host))
            default: continue
            }
        }
        return .success(addresses)
    }
}

/// The system knows no address of a host.
struct UnknownHost: Error, CustomStringConvertible {
    let reason: String
    var description: String { self.reason }
}

/// The addresses of one host for one connection. An address that is written out asks nobody.
final class NameResolver: Resolver, Sendable {
    private let loop: any EventLoop
    private let v4: EventLoopPromise<[SocketAddress]>
    private let v6: EventLoopPromise<[SocketAddress]>

    init(_ loop: any EventLoop) {
        self.loop = loop
        self.v4 = loop.makePromise()
        self.v6 = loop.makePromise()
    }

    /// Comes first: the system is asked once for both kinds.
    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        if let address = try? SocketAddress(ipAddress: host, port: port) {
            self.answer(.success([address]))
        } else {
            NameLookups.begin(host, port, on: self.loop) { self.answer($0) }
        }
        return self.v6.futureResult
    }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { self.v4.futureResult }

    /// What was asked is answered all the same, and nobody waits for it.
    func cancelQueries() {}

    private func answer(_ found: Result<[SocketAddress], any Error>) {
        self.v6.completeWith(found.map { $0.filter { $0.protocol == .inet6 } })
        self.v4.completeWith(found.map { $0.filter { $0.protocol == .inet } })
    }
}
