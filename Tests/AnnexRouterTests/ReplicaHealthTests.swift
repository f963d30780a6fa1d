import AnnexRouter
import Testing

@Suite("Health of a replica")
struct ReplicaHealthTests {
    typealias State = ReplicaHealth.State
    typealias Event = ReplicaHealth.Event

    /// What led to a state, what happens then, and what comes of it. Events are 250 ms apart.
    struct Case: CustomTestStringConvertible {
        let before: [Event]
        let event: Event
        let from: State
        let to: State
        let reason: HealthChange.Reason?

        init(_ before: [Event], _ event: Event, _ from: State, _ to: State, _ reason: HealthChange.Reason?) {
            self.before = before
            self.event = event
            self.from = from
            self.to = to
            self.reason = reason
        }

        var testDescription: String { "\(self.before) \(self.event)" }
    }

    static let well: [Event] = [.pong, .pong]
    static let silent: [Event] = Self.well + [.missed, .missed, .missed]
    static let gone: [Event] = Self.well + [.gone]

    static let cases = [
        // At first.
        Case([], .pong, .probing, .probing, nil),
        Case([.pong], .pong, .probing, .healthy, .answered),
        Case([], .missed, .probing, .ejected, .missedPings),
        Case([], .gone, .probing, .ejected, .gone),
        Case([], .success, .probing, .probing, nil),
        Case([], .failure, .probing, .probing, nil),
        Case([], .lost, .probing, .probing, nil),
        // Healthy.
        Case(well, .pong, .healthy, .healthy, nil),
        Case(well, .success, .healthy, .healthy, nil),
        Case(well, .missed, .healthy, .suspect, .missedPings),
        Case(well, .lost, .healthy, .suspect, .connectionLost),
        Case(well, .failure, .healthy, .healthy, nil),
        Case(well + [.failure], .failure, .healthy, .suspect, .failures),
        Case(well + [.failure, .success], .failure, .healthy, .healthy, nil),
        Case(well, .gone, .healthy, .ejected, .gone),
        // Suspect: by PINGs, by failures, by a lost connection.
        Case(well + [.missed], .missed, .suspect, .suspect, nil),
        Case(well + [.missed, .missed], .missed, .suspect, .ejected, .missedPings),
        Case(well + [.missed, .missed], .pong, .suspect, .healthy, .answered),
        Case(well + [.missed], .success, .suspect, .suspect, nil),
        Case(well + [.missed, .missed, .pong], .missed, .healthy, .suspect, .missedPings),
        Case(well + [.failure, .failure], .success, .suspect, .healthy, .answered),
        Case(well + [.failure, .failure], .pong, .suspect, .suspect, nil),
        Case(well + [.failure, .failure, .pong], .pong, .suspect, .healthy, .answered),
        Case(well + [.lost], .success, .suspect, .healthy, .answered),
        Case(well + [.lost], .gone, .suspect, .ejected, .gone),
        Case(well + [.failure, .failure, .failure], .failure, .suspect, .suspect, nil),
        Case(well + [.failure, .failure, .failure, .failure], .failure, .suspect, .ejected, .failures),
        Case(
            well + [.failure, .pong, .failure, .pong, .failure, .pong, .failure],
            .failure,
            .suspect,
            .ejected,
            .failures
        ),
        // Ejected, and back.
        Case(silent, .missed, .ejected, .ejected, nil),
        Case(silent, .success, .ejected, .ejected, nil),
        Case(silent, .failure, .ejected, .ejected, nil),
        Case(silent, .pong, .ejected, .probing, .answered),
        Case(silent + [.pong], .pong, .probing, .healthy, .answered),
        Case(silent + [.pong], .missed, .probing, .ejected, .missedPings),
        Case(silent + [.pong], .gone, .probing, .ejected, .gone),
        Case(gone, .gone, .ejected, .ejected, nil),
        Case(gone, .pong, .ejected, .probing, .answered),
    ]

    @Test("each event in each state", arguments: cases)
    func transitions(_ expected: Case) {
        var now: UInt64 = 5_000_000_000
        var health = ReplicaHealth()
        for event in expected.before {
            now += 250_000_000
            _ = health.apply(event, now: now, RouterSettings())
        }
        #expect(health.state == expected.from)
        let change = health.apply(expected.event, now: now + 250_000_000, RouterSettings())
        #expect(health.state == expected.to)
        #expect(change?.reason == expected.reason)
        if let change { #expect(change.from == expected.from && change.to == expected.to) }
    }

    @Test("failures eject when they are many and have lasted, not before")
    func failuresMustLast() {
        let settings = RouterSettings()
        var burst = ReplicaHealth()
        for event in Self.well { _ = burst.apply(event, now: 0, settings) }
        for _ in 0..<1_000 { _ = burst.apply(.failure, now: 1, settings) }
        #expect(burst.state == .suspect)
        _ = burst.apply(.failure, now: settings.failureSpan, settings)
        #expect(burst.state == .suspect, "one nanosecond is missing")
        _ = burst.apply(.failure, now: settings.failureSpan + 1, settings)
        #expect(burst.state == .ejected)
    }

    @Test("who fails again and again stays out longer each time, up to the limit")
    func hold() {
        let settings = RouterSettings()
        var health = ReplicaHealth()
        var now: UInt64 = 0
        var holds: [UInt64] = []
        for _ in 0..<8 {
            while health.state != .healthy {
                now += 1_000_000
                _ = health.apply(.pong, now: now, settings)
            }
            let start = now
            while health.state != .ejected {
                now += 250_000_000
                _ = health.apply(.failure, now: now, settings)
            }
            #expect(now - start >= settings.failureSpan)
            let out = now
            while health.state == .ejected {
                now += 1_000_000
                _ = health.apply(.pong, now: now, settings)
            }
            holds.append((now - out) / 1_000_000_000)
        }
        #expect(holds == [1, 2, 4, 8, 16, 30, 30, 30])
        now += 200_000_000_000
        while health.state != .healthy { _ = health.apply(.pong, now: now, settings) }
        while health.state != .ejected {
            now += 250_000_000
            _ = health.apply(.failure, now: now, settings)
        }
        _ = health.apply(.pong, now: now + 999_000_000, settings)
        #expect(health.state == .ejected)
        _ = health.apply(.pong, now: now + 1_000_000_000, settings)
        #expect(health.state == .probing, "after minutes of health it begins anew")
    }

    @Test("times at the end of the clock do not trap")
    func extremes() {
        var settings = RouterSettings()
        settings.failureHold = .max
        settings.failureHoldLimit = .max
        settings.failureSpan = 0
        for now in [0, 1, UInt64.max - 1, .max] {
            for events in [Self.silent, Self.gone, Array(repeating: Event.failure, count: 100)] {
                var health = ReplicaHealth()
                for event in events + Event.allCases { _ = health.apply(event, now: now, settings) }
            }
        }
        settings.missesToEject = .max
        settings.failuresToEject = .max
        var health = ReplicaHealth()
        for event in Self.silent + Self.silent { _ = health.apply(event, now: 1, settings) }
        #expect(health.state == .suspect)
    }
}
