import AnnexServer
import Glibc
import Testing

/// What keeps one client from wearing the server down: guesses of the password, replies that nobody takes.
@Suite(.serialized) struct GuardTests {
    private static let second: UInt64 = 1_000_000_000

    @Test func guessesAreLimitedByAddress() {
        let guesses = PasswordGuesses()
        var now: UInt64 = 5 * Self.second
        var lines = 0
        for _ in 0..<Int(PasswordGuesses.burst) {
            #expect(guesses.look("192.0.2.1:1000", now: now) == .allowed)
            if guesses.failed("192.0.2.1:2000", now: now) != nil { lines += 1 }
        }
        #expect(guesses.look("192.0.2.1:3", now: now) == .refused(seconds: 1), "whatever the port")
        #expect(guesses.look("192.0.2.2:3", now: now) == .allowed, "another address")
        #expect(lines == 1, "one line of the log")
        now += Self.second
        #expect(guesses.look("192.0.2.1:4", now: now) == .allowed)
        _ = guesses.failed("192.0.2.1:4", now: now)
        #expect(guesses.look("192.0.2.1:4", now: now) == .refused(seconds: 1))
        now += 10 * Self.second
        #expect(guesses.failed("192.0.2.1:4", now: now) == Int(PasswordGuesses.burst) + 1, "told with the next line")
        now = .max
        #expect(guesses.look("192.0.2.1:4", now: now) == .allowed)
    }

    @Test func addressesOfOneClientAreOne() {
        #expect(PasswordGuesses.key("192.0.2.1:77") == "192.0.2.1")
        let home = PasswordGuesses.key("[2001:db8:1:2::1]:77")
        #expect(PasswordGuesses.key("[2001:db8:1:2:ffff:1:2:3]:1") == home)
        #expect(PasswordGuesses.key("[2001:db8:1:3::1]:77") != home)
        #expect(PasswordGuesses.key("?:0") == "?")
    }

    /// Many addresses are remembered in bounded memory, and the one that guesses most is not forgotten for it.
    @Test func manyAddressesForgetTheOldest() {
        let guesses = PasswordGuesses()
        for address in 0..<10_000 {
            _ = guesses.failed("10.0.\(address / 256).\(address % 256):1", now: UInt64(address))
        }
        for _ in 0..<100 { _ = guesses.failed("192.0.2.1:1", now: 10_000) }
        #expect(guesses.look("192.0.2.1:1", now: 10_001) != .allowed)
    }

    @Test func wrongPasswordsAreRefusedUnhashed() async throws {
        try await withServer({
            $0.passwordHash = PasswordHash(password: "right")
            $0.authFailureDelay = .zero
            $0.maximumAuthFailures = 1_000
        }) { port, _ in
            let client = try TestClient(port: port)
            var refused = 0
            for _ in 0..<200 where try client.ask("AUTH wrong").hasPrefix("-OVERLOADED too many wrong passwords") {
                refused += 1
            }
            #expect(refused > 100, "refused \(refused) of 200")
        }
    }

    /// A client that writes and never reads: what waits for it is bounded, then it is closed.
    @Test func whoTakesNothingIsClosed() async throws {
        try await withServer({
            $0.stalledTimeout = .milliseconds(100)
            $0.pipelineBufferBytes = 1 << 16
        }) { port, _ in
            let client = try TestClient(port: port)
            let other = try TestClient(port: port)
            try client.send(Array(repeating: "TOPK BYTES 100000\r\n", count: 400).joined())
            var isClosed = false
            for _ in 0..<500 where !isClosed {
                try other.send("INFO stats\r\n")
                isClosed = try other.bulk().contains("evicted_clients:1\r\n")
                if !isClosed { usleep(20_000) }
            }
            #expect(isClosed)
            #expect(try other.ask("PING") == "+PONG")
        }
    }

    /// A pipeline that is written whole before anything is read, within the bound that INFO tells.
    @Test func aWholePipelineIsTaken() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            let count = 9_000
            try client.send(Array(repeating: "TOPK BYTES 2000\r\n", count: count).joined())
            #expect(try client.read(count * 2_009).utf8.count == count * 2_009)
            try client.send("INFO clients\r\n")
            #expect(try client.bulk().contains("pipeline_buffer_bytes:20971520\r\n"))
        }
    }

    @Test func clientsFindAPrimary() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send("INFO replication\r\n")
            #expect(try client.bulk() == "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n")
            try client.send("ROLE\r\n")
            #expect(try client.read(24) == "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")
            #expect(try client.ask("CLIENT TRACKING OFF") == "+OK")
            #expect(try client.ask("CLIENT TRACKING ON").hasPrefix("-ERR CLIENT TRACKING is not served"))
        }
    }
}
