import AnnexClient
import AnnexCore
import AnnexTestSupport
import AnnexWire
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// The commands that a test sends, in a row, and what came of each: the reply's text, or the failure.
private func ask(
    _ server: FakeServer,
    _ commands: [[String]],
    within patience: Duration? = nil,
    _ change: (inout RESPSettings) -> Void = { _ in }
) async -> [String] {
    var settings = RESPSettings(host: "127.0.0.1", port: server.port)
    change(&settings)
    struct Unconnected: Error { let text: String }
    do {
        return try await RESPClient.with(settings) { failure in
            Unconnected(text: "\(failure.kind): \(failure)")
        } _: { client in
            var replies: [String] = []
            for words in commands {
                do {
                    replies.append(try await client.send(words.map { Array($0.utf8) }, within: patience).text ?? "none")
                } catch { replies.append((error as? AnnexError)?.message ?? "\(error)") }
            }
            return replies
        }
    } catch { return [(error as? Unconnected)?.text ?? "\(error)"] }
}

private func words(_ text: String) -> [[UInt8]] { text.split(separator: " ").map { Array($0.utf8) } }

@Suite struct ClientTests {
    @Test func theGreetingGoesFirstAndIsNoReply() async throws {
        let server = try FakeServer { number, words in
            .say(words[0] == "ECHO" ? "$\(words[1].utf8.count)\r\n\(words[1])\r\n" : "+OK\r\n")
        }
        defer { server.stop() }
        let replies = await ask(server, [["ECHO", "a"], ["ECHO", "bc"]]) {
            $0.greeting = [RESPSettings.auth("secret"), words("SELECT 3"), words("PING")]
        }
        #expect(replies == ["a", "bc"] && server.requests == 5 && server.connections == 1)
    }

    @Test(arguments: [
        (FakeServer.Answer.say("-WRONGPASS no\u{1b}[2J such user\r\n"), "refused", "WRONGPASS"),
        (.nothing, "late", "AUTH was not answered in time"), (.close, "lost", "closed the connection"),
        (.say("HTTP/1.1 400 Bad Request\r\n\r\n"), "senseless", "makes no sense"),
        (.say("$99999999\r\n"), "senseless", "makes no sense"),
    ])
    func aGreetingThatFailsIsTold(answer: FakeServer.Answer, kind: String, text: String) async throws {
        let server = try FakeServer { _, _ in answer }
        defer { server.stop() }
        let told = await ask(server, []) {
            $0.greeting = [RESPSettings.auth("secret")]
            $0.greetingTimeout = .seconds(2)
        }
        #expect(told.count == 1 && told[0].hasPrefix(kind) && told[0].contains(text), "\(told)")
        #expect(!told[0].utf8.contains(0x1b), "a terminal obeys nothing of it")
    }

    @Test func nobodyListens() async throws {
        let server = try FakeServer { _, _ in .close }
        server.stop()
        var settings = RESPSettings(host: "127.0.0.1", port: 1)
        settings.greeting = [words("PING")]
        let error = await #expect(throws: AnnexError.self) { try await RESPClient.with(settings) { _ in } }
        #expect(error?.message.contains("cannot connect: Connection refused") == true && error?.hint != nil)
        #expect(error?.location == "127.0.0.1:1")
    }

    @Test(arguments: [false, true])
    func theConnectionIsClosedWhateverHappens(fails: Bool) async throws {
        struct Failed: Error {}
        let server = try FakeServer { _, _ in .say("+OK\r\n") }
        defer { server.stop() }
        var kept: RESPClient?
        do {
            try await RESPClient.with(RESPSettings(host: "127.0.0.1", port: server.port)) { client in
                kept = client
                #expect(try await client.send("PING").text == "OK")
                if fails { throw Failed() }
            }
            #expect(!fails)
        } catch is Failed { #expect(fails) }
        let client = try #require(kept)
        await #expect(throws: AnnexError.self) { try await client.send("PING") }
        #expect(server.requests == 1)
    }

    /// Only the deadline of the request that is late ends the connection, and all behind it get the reason.
    @Test func aReplyThatDoesNotComeEndsTheConnection() async throws {
        let server = try FakeServer { number, _ in number == 1 ? .nothing : .say("+OK\r\n") }
        defer { server.stop() }
        let replies = await ask(server, [["GET", "a"], ["GET", "b"], ["GET", "c"]], within: .seconds(1))
        #expect(replies[0] == "OK" && replies[1].hasPrefix("no reply to GET within 1.0 s"), "\(replies)")
        #expect(replies[2] == replies[1] && server.requests == 2)
    }

    @Test(arguments: [true, false])
    func progressMayExtendDeadlines(extends: Bool) async throws {
        let text = "$40\r\n" + String(repeating: "x", count: 40) + "\r\n"
        let server = try FakeServer { _, _ in .trickle(0.05, say: text) }
        defer { server.stop() }
        let replies = await ask(server, [["GET"]], within: .milliseconds(1_500)) {
            $0.progressExtendsDeadlines = extends
        }
        #expect(replies[0].hasPrefix(extends ? "xxxx" : "no reply to GET"), "\(replies)")
    }

    @Test(arguments: [
        ("+OK\r\n+OK\r\n", "nobody asked"), ("+OK\r\n-ERR too many\r\n", "nobody asked for: 'ERR too many'"),
        ("+OK\r\n>2\r\n+invalidate\r\n+x\r\n", "second"), ("+OK\r\n#x\r\n", "makes no sense"),
    ])
    func whatNobodyAskedForEndsTheConnection(said: String, told: String) async throws {
        let server = try FakeServer { number, _ in .say(number == 0 ? said : "+second\r\n") }
        defer { server.stop() }
        let replies = await ask(server, [["GET"], ["GET"]])
        #expect(replies[0] == "OK" && replies[1].contains(told), "\(replies)")
    }

    @Test func aRepliesSizeIsBounded() async throws {
        let server = try FakeServer { _, _ in .say("*100\r\n" + String(repeating: "$4\r\nbody\r\n", count: 99)) }
        defer { server.stop() }
        let replies = await ask(server, [["GET"]]) { $0.limits.replyBytes = 512 }
        #expect(replies == ["a reply is longer than 512 bytes"])
        let passed = try FakeServer { _, _ in .say("*2\r\n$100\r\n" + String(repeating: "x", count: 100) + "\r\n:1\r\n")
        }
        defer { passed.stop() }
        #expect(await ask(passed, [["GET"]]) { $0.limits.bulkBytes = 64 }[0].contains("makes no sense"))
        let none = await ask(passed, [["GET"], ["GET"]]) {
            $0.limits.bulkBytes = 64
            $0.limits.replyBytes = 16
            $0.limits.passesOver = true
        }
        #expect(none == ["none", "none"], "arrays, the large element dropped")
    }

    /// Who asks short questions keeps short replies: nobody has to set a limit for that.
    @Test(arguments: [(65_536, true), (65_537, false), (Int.max, false)])
    func aFreshConnectionKeepsShortReplies(bytes: Int, isTaken: Bool) async throws {
        let body = String(repeating: "x", count: min(bytes, 70_000))
        let server = try FakeServer { _, _ in .say("$\(bytes)\r\n\(body)\r\n") }
        defer { server.stop() }
        let reply = await ask(server, [["GET"]])[0]
        #expect(reply.contains("makes no sense") != isTaken, "\(reply.prefix(80))")
    }

    @Test func whatIsSaidBeforeTheFirstRequestIsTold() async throws {
        let server = try FakeServer(welcome: "-ERR max number of clients reached\r\n") { _, _ in .close }
        defer { server.stop() }
        let told = await ask(server, []) { $0.greeting = [words("PING")] }
        #expect(told.count == 1 && told[0].contains("max number of clients"), "\(told)")
    }
}

/// What happens on a connection's loop, in order.
private final class Told: Sendable {
    private let list = Mutex<[String]>([])
    func add(_ text: String) { self.list.withLock { $0.append(text) } }
    var all: [String] { self.list.withLock { $0 } }
}

@Suite struct ConnectionTests {
    private let loop = MultiThreadedEventLoopGroup.singleton.next()

    /// Replies in order, however many are under way, and each completion once.
    @Test func manyRequestsUnderWay() async throws {
        let server = try FakeServer { number, words in .say(":\(words[1])\r\n") }
        defer { server.stop() }
        let (loop, settings, told) = (self.loop, RESPSettings(host: "127.0.0.1", port: server.port), Told())
        let done = loop.makePromise(of: Void.self)
        try await loop.flatSubmit {
            RESPConnection.connect(settings, on: loop, onClose: { told.add("\($0.kind)") }).flatMap { connection in
                for number in 0..<1_000 {
                    connection.send(words("GET \(number)"), within: .seconds(30)) { result in
                        guard case .success(.integer(let got)) = result, got == number else {
                            return done.fail(AnnexError(.system, "asked for \(number), got \(result)"))
                        }
                        if number == 999 { done.succeed() }
                    }
                }
                connection.flush()
                return done.futureResult.map { connection.close("done") }
            }
        }.get()
        #expect(told.all == ["closed"] && server.requests == 1_000)
    }

    /// What waits is told before the owner, once; what is sent afterwards gets the reason at once.
    @Test func theEndIsToldInOrder() async throws {
        let server = try FakeServer { number, _ in number == 0 ? .say("+OK\r\n") : .close }
        defer { server.stop() }
        let (loop, settings, told) = (self.loop, RESPSettings(host: "127.0.0.1", port: server.port), Told())
        let closed = loop.makePromise(of: Void.self)
        let connection = try await loop.flatSubmit {
            RESPConnection.connect(settings, on: loop, afterReplies: { told.add("after") }) { failure in
                told.add("end \(failure.kind)")
                closed.succeed()
            }
        }.get()
        loop.execute {
            for name in ["a", "b", "c"] {
                connection.send(words(name), within: nil) { result in
                    switch result {
                    case .success: told.add(name)
                    case .failure(let failure): told.add("\(name) \(failure.kind)")
                    }
                }
            }
            connection.flush()
        }
        try await closed.futureResult.get()
        try await loop.submit {
            connection.send(words("d"), within: nil) {
                if case .failure(let failure) = $0 { told.add("d \(failure.kind)") }
            }
            connection.close("again")
        }.get()
        let events = told.all.filter { $0 != "after" }
        #expect(events == ["a", "b lost", "c lost", "end lost", "d lost"], "\(told.all)")
        #expect(told.all.contains("after"))
    }
}

@Suite struct PingTests {
    /// Errors are no sign of life; a connection on which nothing comes is made anew, and the server is well when it answers.
    @Test func aMonitorTellsWhoAnswers() async throws {
        let server = try FakeServer { number, words in
            if words[0] == "AUTH" { return .say("-ERR no password is set\r\n") }
            return number < 4 ? .say("-LOADING wait\r\n") : number < 20 ? .nothing : .say("+PONG\r\n")
        }
        defer { server.stop() }
        var settings = HealthMonitor.Settings()
        settings.interval = .milliseconds(20)
        settings.password = "secret"
        let told = Told()
        let monitor = HealthMonitor(settings) { _, nanos in told.add(nanos == nil ? "silent" : "well") }
        monitor.watch([ClusterTopology.Address(host: "127.0.0.1", port: server.port)])
        for _ in 0..<1_000 where !told.all.contains("well") { try await Task.sleep(for: .milliseconds(10)) }
        await monitor.stop()
        let first = told.all.firstIndex(of: "well") ?? 0
        #expect(first >= 8 && told.all[..<first].allSatisfy { $0 == "silent" }, "\(told.all)")
        #expect(server.connections >= 2, "with eight unanswered it connected again")
    }
}
