import AnnexCore
import AnnexServer
import AnnexWire
import Testing

/// MULTI, EXEC and DISCARD on the wire.
@Suite(.serialized) struct TransactionTests {
    /// Sends the commands at once and reads exactly these replies. A blank stands for a line end.
    private static func check(_ client: TestClient, _ commands: [String], _ replies: String) throws {
        try client.send(commands.map { TestClient.frame($0.split(separator: " ").map(String.init)) }.joined())
        let expected = replies.split(separator: "|").map { $0 + "\r\n" }.joined()
        let answer = try client.read(expected.utf8.count)
        #expect(answer == expected, "\(commands)")
        #expect(try client.ask("PING") == "+PONG", "\(commands)")
    }

    @Test func commandsRunInTheirTurn() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try Self.check(
                client,
                ["MULTI", "TOPK u 1", "EVENT u a", "PING", "EVENT u b", "FORGET u", "ECHO x", "EXEC", "EVENT NOW z"],
                "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*6|$1|u|$3|a/3|+PONG|$3|b/3|$3|u/3|$1|x|$3|NOW"
            )
            try Self.check(client, ["MULTI", "EXEC"], "+OK|*0")
            try Self.check(client, ["MULTI", "PING", "DISCARD", "EVENT u y"], "+OK|+QUEUED|+OK|$1|y")
            // The same connection, many times.
            for number in 0..<50 {
                try Self.check(
                    client,
                    ["MULTI", "EVENT u \(number)", "EXEC"],
                    "+OK|+QUEUED|*1|$\(number < 10 ? 3 : 4)|\(number)/1"
                )
            }
        }
    }

    @Test(arguments: [
        ["NOSUCH"], ["EVENT", "u"], ["MULTI"], ["WATCH", "k"], ["AUTH", "x"], ["HELLO", "3"],
        ["CLIENT", "REPLY", "OFF"],
        ["ATOMIC", "u", "3", "EVENT", "u", "i"],
    ]) func aRefusedCommandAbortsAll(_ words: [String]) async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            #expect(try client.ask("MULTI") == "+OK")
            #expect(try client.ask("EVENT u a") == "+QUEUED")
            try client.send(TestClient.frame(words))
            #expect(try client.line().hasPrefix("-ERR "))
            #expect(try client.ask("EVENT u b") == "+QUEUED")
            #expect(try client.ask("EXEC").hasPrefix("-EXECABORT "))
            #expect(try client.ask("EXEC") == "-ERR EXEC without MULTI")
        }
    }

    @Test func whatCannotBeStoredAbortsAll() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            for word in ["MULTI", "TOPK u 1", "EVENT u absent", "EVENT u a"] { _ = try client.ask(word) }
            #expect(try client.ask("EXEC") == "-EXECABORT nothing was done: NOITEM no item 'absent'")
            #expect(try client.ask("DISCARD") == "-ERR DISCARD without MULTI")
            #expect(try client.ask("WATCH k").hasPrefix("-ERR WATCH is not supported"))
            #expect(try client.ask("MULTI") == "+OK")
            #expect(try client.ask("RESET") == "+RESET")
            #expect(try client.ask("EXEC") == "-ERR EXEC without MULTI")
        }
    }

    /// Commands that need other threads, and many turns, keep their order.
    @Test func longOnes() async throws {
        let gate = Gate()
        gate.open()
        try await withServer(
            gate: gate,
            {
                $0.threads = 1; $0.pipelineDepth = 16
            }
        ) { port, _ in
            let client = try TestClient(port: port)
            let words = (0..<Limits.maximumTransactionCommands).map { $0 % 97 == 5 ? "TOPK LATER \($0)" : "ECHO \($0)" }
            let replies = (0..<words.count).map { "$\(String($0).utf8.count)|\($0)" }.joined(separator: "|")
            let queued = Array(repeating: "+QUEUED", count: words.count).joined(separator: "|")
            try Self.check(client, ["MULTI"] + words + ["EXEC"], "+OK|\(queued)|*\(words.count)|\(replies)")
        }
    }

    // MARK: Limits

    @Test func limits() async throws {
        let advice = "send them in parts, or without MULTI"
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            for (word, limit, what) in [
                ("PING", Limits.maximumTransactionCommands, "commands"),
                ("EVENT u a", Limits.maximumTransactionChanges, "changes"),
            ] {
                #expect(try client.ask("MULTI") == "+OK")
                for _ in 0..<limit { #expect(try client.ask(word) == "+QUEUED") }
                #expect(try client.ask(word) == "-ERR more than \(limit) \(what) behind MULTI: \(advice)")
                #expect(try client.ask("EXEC").hasPrefix("-EXECABORT "))
            }
        }
        // Bytes: as many as one command may have.
        try await withServer({ $0.limits.commandBytes = 1_000 }) { port, server in
            let client = try TestClient(port: port)
            #expect(try client.ask("MULTI") == "+OK")
            let word = "ECHO " + String(repeating: "x", count: 400)
            #expect(try client.ask(word) == "+QUEUED")
            #expect(try client.ask(word) == "+QUEUED")
            #expect(try client.ask(word) == "-ERR more than 1000 bytes of commands behind MULTI: \(advice)")
            #expect(try client.ask("EXEC").hasPrefix("-EXECABORT "))
        }
    }

    /// What is kept counts as held for the client, and is let go of.
    @Test func keptBytesAreCounted() async throws {
        try await withServer { port, server in
            let client = try TestClient(port: port)
            let other = try TestClient(port: port)
            #expect(try client.ask("MULTI") == "+OK")
            for _ in 0..<10 { #expect(try client.ask("ECHO " + String(repeating: "x", count: 50_000)) == "+QUEUED") }
            func held() throws -> Int {
                try other.send(TestClient.frame("CLIENT", "LIST"))
                let length = Int(try other.line().dropFirst()) ?? 0
                let text = try other.read(length + 2)
                let line = text.split(separator: "\n").first { $0.contains("multi=10") || $0.contains("cmd=discard") }
                let word = line?.split(separator: " ").first { $0.hasPrefix("qbuf=") }
                return Int(word?.dropFirst(5) ?? "") ?? -1
            }
            #expect(try held() >= 500_000)
            #expect(try client.ask("DISCARD") == "+OK")
            #expect(try held() == 0)
        }
    }
}
