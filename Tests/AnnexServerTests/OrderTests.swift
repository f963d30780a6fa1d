import AnnexServer
import Dispatch
import Glibc
import Testing

@Suite(.serialized) struct OrderTests {
    @Test func answersArraysAndLines() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            #expect(try client.ask("PING") == "+PONG")
            try client.send(TestClient.frame("ping", "a\r\nb"))
            #expect(try client.read(10) == "$4\r\na\r\nb\r\n")
            #expect(try client.ask("ECHO 'x y'") == "$3")
            #expect(try client.line() == "x y")
        }
    }

    @Test func fragmentsAtEveryByte() async throws {
        let script =
            TestClient.frame("ECHO", "one") + "ping\r\n" + "*0\r\n\r\n" + TestClient.frame("TOPK", "user", "5")
            + TestClient.frame("PING")
        let expected = "$3\r\none\r\n+PONG\r\n$4\r\nuser\r\n+PONG\r\n"
        let bytes = Array(script.utf8)
        try await withServer { port, _ in
            for cut in 1..<bytes.count {
                let client = try TestClient(port: port)
                try client.send(bytes[..<cut])
                try client.send(bytes[cut...])
                #expect(try client.read(expected.utf8.count) == expected, "cut at \(cut)")
            }
            let client = try TestClient(port: port)
            for byte in bytes { try client.send([byte]) }
            #expect(try client.read(expected.utf8.count) == expected)
        }
    }

    /// Replies that are owed by others, and come in any order, go out in the order of the commands; what may not run meanwhile
    /// waits, and a protocol error is told last.
    @Test(arguments: [3, 512]) func owedRepliesInOrder(_ depth: Int) async throws {
        var (script, expected) = ("", "")
        for number in 0..<3_000 {
            switch number % 17 {
            case 5:
                script += TestClient.frame("PING")
                expected += "+PONG\r\n"
            case 9:
                script += TestClient.frame("EVENT", "NOW", "x")
                expected += "$3\r\nNOW\r\n"
            case 13:
                script += TestClient.frame("EVENT", "u")
                expected += "-ERR wrong number of arguments for 'event' command\r\n"
            default:
                script += TestClient.frame("EVENT", "u", "\(number)")
                expected += "$\("\(number)".utf8.count)\r\n\(number)\r\n"
            }
        }
        let bytes = Array((script + "*1\r\n$x\r\n").utf8)
        let answer = expected + "-ERR Protocol error: invalid bulk length\r\n"
        try await withServer({ $0.pipelineDepth = depth }) { port, _ in
            let client = try TestClient(port: port)
            let descriptor = client.descriptor
            DispatchQueue.global().async {
                var sent = 0
                while sent < bytes.count {
                    let n = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + sent, bytes.count - sent) }
                    guard n > 0 else { return }
                    sent += n
                }
            }
            #expect(try client.read(answer.utf8.count) == answer)
        }
    }

    @Test func longPipelineInOrder() async throws {
        let count = 100_000
        try await withServer({ $0.threads = 1 }) { port, _ in
            let client = try TestClient(port: port)
            let other = try TestClient(port: port)
            let all = (0..<count).map { TestClient.frame("ECHO", String($0)) }.joined()
            let expected = (0..<count).map { "$\(String($0).utf8.count)\r\n\($0)\r\n" }.joined()
            let descriptor = client.descriptor
            DispatchQueue.global().async {
                let bytes = Array(all.utf8)
                var sent = 0
                while sent < bytes.count {
                    let n = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + sent, bytes.count - sent) }
                    guard n > 0 else { return }
                    sent += n
                }
            }
            let first = try client.line()
            #expect(try other.ask("PING") == "+PONG")
            let rest = try client.read(expected.utf8.count - first.utf8.count - 2)
            #expect(first + "\r\n" + rest == expected)
        }
    }

    @Test func deferredRepliesKeepTheirPlace() async throws {
        let gate = Gate()
        try await withServer(gate: gate) { port, _ in
            let client = try TestClient(port: port)
            let other = try TestClient(port: port)
            try client.send("PING\r\nTOPK LATER a\r\nPING one\r\nTOPK LATER b\r\nPING two\r\n")
            #expect(try client.line() == "+PONG")
            #expect(try other.ask("PING") == "+PONG")
            gate.open()
            let expected = "$1\r\na\r\n$3\r\none\r\n$1\r\nb\r\n$3\r\ntwo\r\n"
            #expect(try client.read(expected.utf8.count) == expected)
        }
    }

    @Test func deferredWorkIsBounded() async throws {
        let gate = Gate()
        try await withServer(gate: gate, { $0.maximumDeferred = 1 }) { port, _ in
            let first = try TestClient(port: port)
            let second = try TestClient(port: port)
            try first.send("PING\r\nTOPK LATER a\r\n")
            #expect(try first.line() == "+PONG")
            // The server took both commands in one turn: the job is counted by the time PONG is written.
            #expect(try second.ask("TOPK LATER b").hasPrefix("-OVERLOADED "))
            gate.open()
            #expect(try first.bulk() == "a")
        }
    }

    @Test(arguments: ["PING", "PING\n", "PING\r\nECHO a\r\n"])
    func answersAfterTheClientStopsSending(text: String) async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send(text)
            client.finishSending()
            #expect(
                try client.rest() == (text == "PING" ? "" : text == "PING\n" ? "+PONG\r\n" : "+PONG\r\n$1\r\na\r\n")
            )
        }
    }

    @Test func deferredReplyAfterTheClientStopsSending() async throws {
        let gate = Gate()
        try await withServer(gate: gate) { port, _ in
            let client = try TestClient(port: port)
            try client.send("TOPK LATER a\r\nPING\r\n")
            client.finishSending()
            gate.open()
            #expect(try client.rest() == "$1\r\na\r\n+PONG\r\n")
        }
    }

    @Test func drainAnswersWhatWasSent() async throws {
        let gate = Gate()
        try await withServer(gate: gate) { port, server in
            let idle = try TestClient(port: port)
            let busy = try TestClient(port: port)
            let waiting = try TestClient(port: port)
            let half = try TestClient(port: port)
            #expect(try idle.ask("PING") == "+PONG")
            #expect(try busy.ask("PING") == "+PONG")
            #expect(try half.ask("PING") == "+PONG")
            try waiting.send("PING\r\nTOPK LATER a\r\nPING\r\n")
            #expect(try waiting.line() == "+PONG")
            try busy.send(String(repeating: "PING\r\n", count: 5_000))
            try half.send("*2\r\n$4\r\nECHO\r\n$1")
            Task { await server.shutdown(grace: .seconds(8)) }
            #expect(try idle.rest() == "")
            #expect(try half.rest() == "")
            gate.open()
            #expect(try waiting.rest() == "$1\r\na\r\n+PONG\r\n")
            #expect(try busy.rest() == String(repeating: "+PONG\r\n", count: 5_000))
            #expect(throws: TestClient.Failure.self) { try TestClient(port: port) }
        }
    }

    @Test func drainIsBounded() async throws {
        let gate = Gate()
        try await withServer(gate: gate) { port, server in
            let client = try TestClient(port: port)
            try client.send("PING\r\nTOPK LATER a\r\n")
            #expect(try client.line() == "+PONG")
            Task { await server.shutdown(grace: .milliseconds(100)) }
            #expect(try client.rest() == "")
            gate.open()
        }
    }
}
