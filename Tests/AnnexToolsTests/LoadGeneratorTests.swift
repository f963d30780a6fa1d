import AnnexCore
import AnnexTestSupport
import AnnexTools
import Testing

private let pong = "+PONG\r\n"

/// A load of PING on a server that answers so.
private func load(
    _ change: (inout LoadSettings) -> Void,
    _ answer: @escaping @Sendable (Int) -> FakeServer.Answer = { _ in .say(pong) }
) async throws -> (result: LoadResult, requests: Int) {
    let server = try FakeServer { number, _ in answer(number) }
    defer { server.stop() }
    var settings = LoadSettings()
    settings.port = server.port
    settings.connections = 1
    change(&settings)
    let requests = try LoadRequests(LoadMix(parsing: "PING"), .init())
    return (try await LoadGenerator.run(settings, requests), server.requests)
}

@Suite(.serialized) struct LoadGeneratorTests {
    /// One stall of 200 ms in 2 s at 1,000 a second: a tenth of the requests were due in it and waited 100 ms on average.
    /// From the sending of each, one alone was late; so it is in a closed loop, which asked nobody meanwhile.
    @Test func aStallShowsWhereRequestsWereDue() async throws {
        let stall: @Sendable (Int) -> FakeServer.Answer = { $0 == 1_000 ? .after(0.2, say: pong) : .say(pong) }
        let open = try await load(
            {
                $0.rate = 1_000
                $0.duration = .seconds(2)
            },
            stall
        ).result
        #expect(open.requests == 2_000 && open.unsent == 0 && open.errors.isEmpty)
        #expect(open.latency.max >= 195_000)
        #expect(open.latency.p99 >= 120_000, "p99 \(open.latency.p99) µs")
        #expect(open.service.p99 < open.latency.p99 / 2, "p99 from the sending: \(open.service.p99) µs")
        #expect((1.99...5).contains(open.seconds), "\(open.seconds) s")
        let closed = try await load({ $0.requests = 2_000 }, stall).result
        #expect(closed.requests == 2_000 && closed.latency.max >= 195_000)
        #expect(closed.latency.p99 < open.latency.p99 / 2, "closed loop: p99 \(closed.latency.p99) µs")
    }

    @Test(arguments: [(1, 1, 1), (8, 1, 1), (8, 16, 1), (7, 3, 2)])
    func aClosedLoopSendsWhatItWasAskedFor(connections: Int, pipeline: Int, threads: Int) async throws {
        let (result, requests) = try await load {
            ($0.connections, $0.pipeline, $0.threads) = (connections, pipeline, threads)
            $0.requests = 5_003
        }
        #expect(result.requests == 5_003 && requests == 5_003 + connections)
        #expect(result.bytesOut == 5_003 * FakeServer.ping.count && result.bytesIn == 5_003 * pong.utf8.count)
        #expect(result.latency.p50 <= result.latency.p90 && result.latency.p999 <= result.latency.max)
        #expect(result.generatorSeconds > 0 && result.requestsPerSecond > 0)
        #expect(result.curve.count == 74 && result.curve.first?.share == 1, "20 points to each of 3.7 nines, and one")
        #expect(
            zip(result.curve, result.curve.dropFirst()).allSatisfy { $0.micros <= $1.micros && $0.share > $1.share }
        )
    }

    @Test func theWarmUpIsNotCounted() async throws {
        let closed = try await load {
            $0.warmup = .milliseconds(100)
            $0.requests = 100
        }
        #expect(closed.result.requests == 100 && closed.requests > 101)
        let open = try await load {
            $0.rate = 500
            $0.threads = 2
            $0.connections = 2
            $0.warmup = .milliseconds(200)
            $0.duration = .milliseconds(400)
        }
        #expect(open.result.requests == 200 && open.requests == 302)
    }

    @Test func timeEndsALoad() async throws {
        let result = try await load { $0.duration = .milliseconds(300) }.result
        #expect((0.29...3).contains(result.seconds) && result.requests > 10)
    }

    /// 100 a second where 50 are answered: half a second of requests is caught up on within the timeout, or not at all.
    @Test func aServerThatDoesNotKeepUpIsSeen() async throws {
        let slow: @Sendable (Int) -> FakeServer.Answer = { $0 == 0 ? .say(pong) : .after(0.02, say: pong) }
        let late = try await load(
            {
                $0.rate = 100
                $0.duration = .milliseconds(500)
            },
            slow
        ).result
        #expect(late.requests == 50 && late.unsent == 0 && late.latency.max > 400_000)
        #expect(late.requestsPerSecond < 60)
        let cut = try await load(
            {
                $0.rate = 100
                $0.duration = .milliseconds(500)
                $0.timeout = .milliseconds(200)
            },
            slow
        ).result
        #expect(cut.unsent > 0 && cut.requests + cut.unsent == 50)
    }

    @Test func errorsAreCountedByCode() async throws {
        let result = try await load({ $0.requests = 99 }) { number in
            switch number % 3 {
            case 1: .say("-NOUSER no such user\r\n")
            case 2: .say("*1\r\n-BUSY later\r\n")
            default: .say(pong)
            }
        }.result
        #expect(result.errorCount == 66 && result.errors.count == 2)
        #expect(result.errors["NOUSER"]?.count == 33 && result.errors["NOUSER"]?.example == "NOUSER no such user")
        #expect(result.errors["BUSY"]?.count == 33)
    }

    @Test(arguments: [
        (FakeServer.Answer.close, "closed"), (.nothing, "no reply within"), (.say("HTTP/1.1 400\r\n"), "no sense"),
        (.say("+PONG\r\n+PONG\r\n"), "nobody asked"),
    ])
    func aServerThatFailsEndsTheLoad(answer: FakeServer.Answer, words: String) async throws {
        for rate in [nil, 1_000.0] {
            let error = await #expect(throws: AnnexError.self) {
                _ = try await load(
                    {
                        $0.connections = 3
                        $0.rate = rate
                        $0.duration = .seconds(5)
                        $0.timeout = .seconds(1)
                    },
                    { $0 < 50 ? .say(pong) : answer }
                )
            }
            #expect(error?.message.contains(words) == true, "\(String(describing: error))")
        }
    }

    @Test(arguments: [
        (FakeServer.Answer.close, "closed"), (.nothing, "not answered in time"), (.say("-NOAUTH first\r\n"), "NOAUTH"),
        (.say("HTTP/1.1 400\r\n"), "no sense"),
    ])
    func aServerThatDoesNotGreetIsRefused(answer: FakeServer.Answer, words: String) async throws {
        let error = await #expect(throws: AnnexError.self) {
            _ = try await load(
                {
                    $0.requests = 1
                    $0.timeout = .seconds(1)
                },
                { _ in answer }
            )
        }
        #expect(error?.message.contains(words) == true, "\(String(describing: error))")
    }

    @Test func nobodyListens() async throws {
        var settings = LoadSettings()
        settings.port = 1
        settings.requests = 1
        let requests = try LoadRequests(LoadMix(parsing: "PING"), .init())
        let error = await #expect(throws: AnnexError.self) { _ = try await LoadGenerator.run(settings, requests) }
        #expect(error?.message.contains("cannot connect") == true && error?.hint != nil)
    }
}
