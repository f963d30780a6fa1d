import AnnexServer
import Dispatch
import Foundation
import Testing

/// DEADLINE: for the next command of the connection only, whatever it is.
@Suite(.serialized) struct DeadlineTests {
    private static let far = "DEADLINE 4102444799999\r\n"
    private static let late = "-TIMEOUT the deadline given for the command had passed "

    private static func milliseconds() -> Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    @Test(arguments: [
        "", "-1", "+5", "05", "1e3", "0x10", "12 ", "4102444800000", "1700000000000000", "9223372036854775807",
        "9223372036854775808", "99999999999999999999999",
    ]) func refusesWhatIsNoTime(_ word: String) async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send(TestClient.frame("DEADLINE", word))
            #expect(try client.line().hasPrefix("-ERR invalid DEADLINE '\(word)': "))
            // Nothing holds then.
            try client.send(TestClient.frame("TOPK", "user", "1"))
            #expect(try client.bulk() == "user")
        }
    }

    @Test func holdsForTheNextCommandOnly() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            let other = try TestClient(port: port)
            for time in ["0", "1", "1700000000000"] {
                #expect(try client.ask("DEADLINE \(time)") == "+OK")
                #expect(try other.ask("PING") == "+PONG")
                #expect(try client.ask("TOPK user 1").hasPrefix(Self.late))
                try client.send("TOPK user 1\r\n")
                #expect(try client.bulk() == "user")
            }
            for command in ["PING", "EVENT NOW x", "INFO server", "CLIENT ID", "SELECT 0"] {
                #expect(try client.ask("DEADLINE 0") == "+OK")
                #expect(try client.ask(command).hasPrefix(Self.late), "\(command)")
                #expect(try client.ask("PING") == "+PONG")
            }
            // What is no command ends it as well.
            for command in ["NONSENSE", "TOPK", "CLIENT KILL"] {
                #expect(try client.ask("DEADLINE 0") == "+OK")
                #expect(try client.ask(command).hasPrefix("-ERR"))
                #expect(try client.ask("PING") == "+PONG", "after \(command)")
            }
            #expect(try client.ask("DEADLINE 4102444799999") == "+OK")
            #expect(try client.ask("PING") == "+PONG")
        }
    }

    /// Between changes that are still owed their replies: each has its own, and replies keep their order.
    @Test func followsChangesThatAreUnderWay() async throws {
        var (script, expected) = ("", [String]())
        for number in 0..<600 {
            switch number % 3 {
            case 0: script += "DEADLINE 0\r\n"
            case 1: script += "DEADLINE 0\r\n" + Self.far
            default: break
            }
            script += "EVENT u \(number)\r\n"
            if number % 3 == 0 { expected += ["+OK", Self.late] }
            if number % 3 == 1 { expected += ["+OK", "+OK"] }
            if number % 3 > 0 { expected += ["$\("\(number)".utf8.count)", "\(number)"] }
        }
        let (bytes, wanted) = (script, expected)
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send(bytes)
            for (index, line) in wanted.enumerated() {
                #expect(try client.line().hasPrefix(line), "line \(index)")
            }
        }
    }

    /// A command that waits for a thread begins when it gets one.
    @Test func holdsInTheWorkQueue() async throws {
        let gate = Gate()
        try await withServer(gate: gate, { $0.deferredThreads = 1 }) { port, _ in
            let busy = try TestClient(port: port)
            try busy.send("TOPK LATER first\r\n")
            #expect(gate.arrivals.wait { $0 > 0 })
            let deadline = Self.milliseconds() + 30
            let early = try TestClient(port: port)
            #expect(try early.ask("DEADLINE \(deadline)") == "+OK")
            try early.send("TOPK LATER second\r\n")
            let patient = try TestClient(port: port)
            try patient.send(Self.far + "TOPK LATER third\r\n")
            #expect(try patient.line() == "+OK")
            // The machine's clock has to pass it, which no condition tells.
            while Self.milliseconds() <= deadline { Thread.sleep(forTimeInterval: 0.005) }
            gate.open()
            #expect(try busy.bulk() == "first")
            #expect(try early.line().hasPrefix(Self.late))
            #expect(try patient.bulk() == "third")
        }
    }
}
