import AnnexCore
import AnnexServer
import AnnexTestSupport
import AnnexWire
import Testing

@Suite(.serialized) struct HostileInputTests {
    private static let pieces = [
        "*", "$", "\r\n", "\n", "*3\r\n", "$4\r\n", "PING", "*1\r\n$4\r\nPING\r\n", "*0\r\n", "*-1\r\n", "$-1\r\n",
        "9999999999",
        "\"", "'", "\\x", " ", "\0", "HELLO 3\r\n", "CLIENT REPLY OFF\r\n", "CLIENT REPLY ON\r\n", "INFO all\r\n",
        "RESET\r\n",
        "CLIENT LIST\r\n", "QUIT\r\n", "COMMAND DOCS\r\n", "SLOWLOG GET -1\r\n", "TOPK LATER a\r\n",
        "TOPK BYTES 5000\r\n", "%2\r\n", "~",
        "*2\r\n$4\r\nECHO\r\n$3\r\na\r\n", "-", "+0", "\u{e9}",
    ]

    /// A socket that is closed with unread bytes in it takes the last reply with it.
    @Test(arguments: ["*70000\r\n", "*1\r\n$999999999\r\n", "QUIT\r\n"])
    func whoeverStillSendsReadsWhyItWasClosed(beginning: String) async throws {
        try await withServer { port, _ in
            for round in 0..<20 {
                let client = try TestClient(port: port)
                try client.send(beginning + String(repeating: "x", count: 4 << 20))
                let reply = try client.rest()
                let expected = beginning == "QUIT\r\n" ? "+OK\r\n" : "-ERR Protocol error"
                #expect(reply.hasPrefix(expected), "round \(round)")
            }
        }
    }

    /// A hundred clients have their last reply and never end: more than may linger, and far more than may be connected.
    @Test func clientsThatLingerTakeNobodysPlace() async throws {
        try await withServer {
            $0.maximumConnections = 4
        } _: { port, _ in
            var lingering: [TestClient] = []
            for number in 0..<100 {
                let client = try TestClient(port: port)
                try client.send("QUIT\r\n")
                #expect(try client.line() == "+OK", "client \(number)")
                lingering.append(client)
            }
            let other = try TestClient(port: port)
            #expect(try other.ask("PING") == "+PONG")
            #expect(try lingering.allSatisfy { try $0.rest().isEmpty }, "all are told that nothing follows")
        }
    }

    /// Clients that talk nonsense get replies or are closed; others notice nothing.
    @Test(arguments: [UInt64(1), 2, 3])
    func nonsenseHurtsNobodyElse(seed: UInt64) async throws {
        print("seed \(seed)")
        let gate = Gate()
        gate.open()
        try await withServer(gate: gate) { port, _ in
            var generator = SeededRandom(seed: seed)
            let healthy = try TestClient(port: port)
            for round in 0..<150 {
                let client = try TestClient(port: port)
                let count = Int.random(in: 1...20, using: &generator)
                let text = (0..<count).map { _ in Self.pieces.randomElement(using: &generator) ?? "" }.joined()
                // The server may close in the midst of it.
                try? client.send(text)
                client.finishSending()
                let reply = (try? client.rest()) ?? ""
                #expect(reply.isEmpty || "+-:$*%_=#,~".contains(reply.first ?? " "), "round \(round): \(text)")
                #expect(try healthy.ask("PING") == "+PONG", "round \(round): \(text)")
            }
            try healthy.send("INFO clients\r\n")
            #expect(try healthy.bulk().contains("connected_clients:1\r\n"))
        }
    }
}
