import AnnexCore
import AnnexServer
import Testing

/// Work that runs is told to stop when its time is over, and when nobody waits for it any more.
@Suite struct StoppedWorkTests {
    @Test func whatTakesTooLongIsStoppedWithAnError() async throws {
        let steps = Steps()
        try await withServer(steps: steps, { $0.workPatience = .milliseconds(50) }) { port, _ in
            let client = try TestClient(port: port)
            try client.send("TOPK LONG x\r\nPING after\r\n")
            let answer = try client.line()
            #expect(answer.hasPrefix("-TIMEOUT ") && answer.contains("was stopped"), "\(answer)")
            #expect(try client.line() == "$5", "one reply for each command: nothing is left of what it had written")
            #expect(steps.count.value == -1)
        }
    }

    @Test func workForAClientThatLeftIsStopped() async throws {
        let steps = Steps()
        try await withServer(steps: steps) { port, _ in
            var client: TestClient? = try TestClient(port: port)
            try client?.send("TOPK LONG x\r\n")
            #expect(steps.count.wait { $0 > 0 }, "it runs")
            // Reset: an end of sending alone does not tell that nobody waits, as `printf … | nc` still does.
            client?.resetWhenClosed()
            client = nil
            #expect(steps.count.wait { $0 == -1 }, "it stops, long before its time of 30 s is over")
        }
    }

    @Test func aDeadlineIsSeenByTheClockThatIsGiven() {
        let looks = Steps()
        let signal = StopSignal(deadline: 10) { UInt64(looks.count.add(6)) }
        #expect(!signal.shouldStop() && !signal.wasHeeded)
        #expect(signal.shouldStop() && signal.wasHeeded)
        #expect(!StopSignal().shouldStop())
    }
}
