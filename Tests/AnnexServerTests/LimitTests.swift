import AnnexCore
import AnnexServer
import AnnexWire
import Glibc
import Testing

@Suite(.serialized) struct LimitTests {
    private static func bulk(_ count: Int) -> String { "$\(count)\r\n" + String(repeating: "a", count: count) + "\r\n" }

    @Test(arguments: [0, 1, 100])
    func argumentBytes(excess: Int) async throws {
        try await withServer({ $0.limits.argumentBytes = 1_000 }) { port, _ in
            let client = try TestClient(port: port)
            try client.send("*2\r\n$4\r\nECHO\r\n" + Self.bulk(1_000 + excess))
            if excess == 0 {
                #expect(try client.bulk().utf8.count == 1_000)
            } else {
                #expect(try client.rest() == "-ERR Protocol error: invalid bulk length\r\n")
            }
        }
    }

    @Test(arguments: ["*9223372036854775807\r\n", "*65537\r\n", "*1\r\n$9223372036854775807\r\n", "*1\r\n:1\r\n"])
    func hostileLengthsCloseWithAnError(text: String) async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send("PING\r\n" + text)
            let reply = try client.rest()
            #expect(reply.hasPrefix("+PONG\r\n-ERR Protocol error: "))
        }
    }

    @Test func outputLimitOfOneReply() async throws {
        try await withServer({ $0.outputBufferBytes = 10_000 }) { port, _ in
            let client = try TestClient(port: port)
            let fitting = 10_000 - 10  // "$9990\r\n" and "\r\n" are 9 bytes
            #expect(try client.ask("TOPK BYTES \(fitting + 1)") == "$\(fitting + 1)")
            _ = try client.read(fitting + 3)
            #expect(try client.ask("TOPK BYTES \(fitting + 2)").hasPrefix("-ERR the reply is larger than 10000 bytes"))
            #expect(try client.ask("PING") == "+PONG")
        }
    }

    @Test func repliesNobodyReadsCostLittle() async throws {
        try await withServer({ $0.pipelineBufferBytes = 65_536 }) { port, _ in
            let client = try TestClient(port: port)
            let command = Array(TestClient.frame("ECHO", String(repeating: "x", count: 1_000)).utf8)
            let sent = try client.sendUntilStuck(command, patience: 300)
            // Memory of the process is measured where nothing else runs in it: Tests/Clients.
            let other = try TestClient(port: port)
            try other.send("CLIENT LIST\r\n")
            let list = try other.bulk()
            let omem = list.split(separator: " ").compactMap { $0.hasPrefix("omem=") ? Int($0.dropFirst(5)) : nil }
                .max()
            #expect((omem ?? 0) > 0 && (omem ?? 0) < 256 << 10)
            // Once the client reads, everything whole that it sent is answered.
            let whole = sent / command.count
            client.finishSending()
            #expect(try client.rest().utf8.count == whole * ("$1000\r\n".utf8.count + 1_002))
        }
    }

    @Test func theBiggestIsClosedWhenAllHoldTooMuch() async throws {
        try await withServer({ $0.allClientsBytes = 1 << 20 }) { port, _ in
            let big = try TestClient(port: port)
            let small = try TestClient(port: port)
            try small.send("*2\r\n$4\r\nECHO\r\n$300000\r\n" + String(repeating: "s", count: 200_000))
            try big.send("*2\r\n$4\r\nECHO\r\n$1000000\r\n" + String(repeating: "b", count: 990_000))
            #expect(try big.rest() == "")
            try small.send(String(repeating: "s", count: 100_000) + "\r\n")
            #expect(try small.bulk().utf8.count == 300_000)
            try small.send("INFO stats\r\n")
            #expect(try small.bulk().contains("evicted_clients:1\r\n"))
        }
    }

    @Test(arguments: [(10, 16_384, true), (11, 10, false), (2, 16_385, false)])
    func beforeAuthentication(count: Int, bytes: Int, accepted: Bool) async throws {
        try await withServer({ $0.passwordHash = PasswordHash(password: "secret") }) { port, _ in
            let client = try TestClient(port: port)
            try client.send("*\(count)\r\n$4\r\nTOPK\r\n" + Self.bulk(bytes))
            if accepted {
                for _ in 2..<count { try client.send(Self.bulk(1)) }
                #expect(try client.line() == "-NOAUTH Authentication required.")
            } else {
                #expect(try client.rest().hasPrefix("-ERR Protocol error: unauthenticated "))
            }
        }
    }

    @Test func bufferBeforeAuthentication() async throws {
        try await withServer({ $0.passwordHash = PasswordHash(password: "secret") }) { port, _ in
            let client = try TestClient(port: port)
            try client.send("*10\r\n")
            for _ in 0..<4 { try client.send(Self.bulk(16_384)) }
            #expect(try client.rest() == "-ERR Protocol error: unauthenticated client sent too much\r\n")
        }
    }

    @Test func silenceBeforeAuthenticationEnds() async throws {
        try await withServer({
            $0.passwordHash = PasswordHash(password: "secret")
            $0.authTimeout = .milliseconds(50)
        }) { port, _ in
            let silent = try TestClient(port: port)
            let known = try TestClient(port: port)
            #expect(try known.ask("AUTH secret") == "+OK")
            #expect(try silent.rest() == "")
            #expect(try known.ask("PING") == "+PONG")
        }
    }

    @Test func unfinishedCommandsEnd() async throws {
        try await withServer({ $0.unfinishedCommandTimeout = .milliseconds(100) }) { port, _ in
            let slow = try TestClient(port: port)
            let line = try TestClient(port: port)
            let idle = try TestClient(port: port)
            #expect(try idle.ask("PING") == "+PONG")
            try slow.send("PING\r\n*1\r\n$4\r\nPI")
            try line.send("PI")
            #expect(try slow.rest() == "+PONG\r\n")
            #expect(try line.rest() == "")
            #expect(try idle.ask("PING") == "+PONG")
        }
    }

    @Test func idleConnectionsEndOnlyWhenAsked() async throws {
        try await withServer { port, _ in
            let idle = try TestClient(port: port)
            #expect(try idle.ask("PING") == "+PONG")
            let other = try TestClient(port: port)
            #expect(try other.ask("CONFIG SET timeout 1") == "+OK")
            #expect(try idle.rest() == "")
        }
    }

    @Test func connectionLimit() async throws {
        try await withServer({ $0.maximumConnections = 2 }) { port, _ in
            let first = try TestClient(port: port)
            let second = try TestClient(port: port)
            #expect(try first.ask("PING") == "+PONG")
            #expect(try second.ask("PING") == "+PONG")
            let third = try TestClient(port: port)
            #expect(try third.rest() == "-ERR max number of clients reached\r\n")
            #expect(try first.ask("QUIT") == "+OK")
            #expect(try first.rest() == "")
            #expect(try second.ask("CONFIG SET maxclients 1") == "+OK")
            let fourth = try TestClient(port: port)
            #expect(try fourth.rest() == "-ERR max number of clients reached\r\n")
            #expect(try second.ask("CONFIG SET maxclients 2") == "+OK")
            let fifth = try TestClient(port: port)
            #expect(try fifth.ask("PING") == "+PONG")
        }
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.9.9.9", true), ("localhost", true), ("::1", true), ("0.0.0.0", false),
        ("127.0.0.1.example", false), ("127.0.0", false), ("::", false), ("10.0.0.1", false), ("", false),
    ])
    func otherAddressesNeedAPassword(host: String, loopback: Bool) throws {
        var configuration = ServerConfiguration()
        configuration.host = host
        if loopback {
            try configuration.validate()
        } else {
            #expect(throws: AnnexError.self) { try configuration.validate() }
        }
        configuration.passwordHash = PasswordHash(password: "secret")
        try configuration.validate()
    }
}
