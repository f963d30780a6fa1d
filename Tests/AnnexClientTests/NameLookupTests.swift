import AnnexClient
import AnnexTestSupport
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// Names that are looked up while their loop ends.
@Suite struct NameLookupTests {
    private final class Idle: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
    }

    /// How many of so many connections to a host were made, and how many failed.
    private static func connect(
        _ count: Int,
        to host: String,
        port: Int,
        on loop: any EventLoop,
        then body: @escaping @Sendable () -> Void = {}
    ) async throws -> (made: Int, failed: Int) {
        try await loop.flatSubmit {
            let attempts = (0..<count).map { _ in
                RESPBootstrap.connect(RESPSettings(host: host, port: port), on: loop) { Idle() }
            }
            body()
            return EventLoopFuture.whenAllComplete(attempts, on: loop).map { outcomes in
                let made = outcomes.filter { if case .success = $0 { true } else { false } }.count
                return (made, outcomes.count - made)
            }
        }.get()
    }

    @Test func namesAndAddressesAreFound() async throws {
        let server = try FakeServer { _, _ in .say("+OK\r\n") }
        defer { server.stop() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        for host in ["127.0.0.1", "localhost"] {
            let (made, failed) = try await Self.connect(8, to: host, port: server.port, on: group.next())
            #expect(made == 8 && failed == 0, "\(host)")
        }
        let (made, failed) = try await Self.connect(2, to: "no such host", port: 1, on: group.next())
        #expect(made == 0 && failed == 2)
        await NameLookups.shutDown(group)
    }

    /// NIO ends the process where something is scheduled on a loop that has ended, as it is told to here.
    @Test func aLoopThatEndsTakesNoAnswer() async throws {
        setenv("SWIFTNIO_STRICT", "1", 1)
        var failures = 0
        for _ in 0..<10 {
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let loop = group.next()
            let (made, failed) = try await Self.connect(200, to: "localhost", port: 1, on: loop) {
                NameLookups.end(on: loop)
            }
            #expect(made == 0)
            failures += failed
            // What would begin now is refused, without asking anybody.
            let late = try await Self.connect(1, to: "localhost", port: 1, on: loop)
            #expect(late.failed == 1)
            await NameLookups.shutDown(group)
        }
        // The look-ups that were under way come back meanwhile.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let (_, failed) = try await Self.connect(200, to: "localhost", port: 1, on: group.next())
        await NameLookups.shutDown(group)
        #expect(failures == 2_000 && failed == 200)
        print("aLoopThatEndsTakesNoAnswer: 2,000 look-ups under way at the end of 10 loops, all of them failed")
    }
}
