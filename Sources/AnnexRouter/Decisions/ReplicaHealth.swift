/// Judges the health of one replica for a router, from the PINGs on its own connection and from how requests end.
///
///     probing ──2 answers──▶ healthy ◀──answer, success── suspect
///        │  ▲                   │                            │
///        │  └──answer, after    └──miss, failure, lost──▶────┤
///        │     its hold                                      │
///        └──miss──▶ ejected ◀──3 misses, 5 failures, gone────┘
///
/// A replica starts as probing: nobody is sent there while another is healthy, and it is used where there is no other.
package struct ReplicaHealth: Sendable, Equatable {
    package enum State: UInt8, Sendable, CaseIterable { case healthy, suspect, ejected, probing }

    package enum Event: UInt8, Sendable, CaseIterable {
        /// A PING was answered in time, or late.
        case pong
        /// A PING was not answered until the next was due.
        case missed
        /// The health connection ended or could not be made: nobody listens there.
        case gone
        /// A connection that carries requests ended.
        case lost
        /// A request was answered.
        case success
        /// A request was not answered in time, or the replica said that it cannot serve.
        case failure
    }

    package private(set) var state = State.probing
    /// Its connection is gone; it is not merely slow. It is asked where no other replica of its shard can be.
    package private(set) var isGone = false
    /// It answers its PINGs, as far as it was asked: whatever else is wrong with it, it runs.
    package var answersPings: Bool { self.misses == 0 && !self.isGone }

    private var misses = 0
    private var hits = 0
    private var failures = 0
    private var firstFailure: UInt64 = 0
    private var hasFailedSincePong = false
    /// It stays ejected until then, whatever PINGs say.
    private var holdEnd: UInt64 = 0
    private var holds: UInt64 = 0

    package init() {}

    /// Takes in an event. Returns the change of state, if there was one. O(1).
    package mutating func apply(_ event: Event, now: UInt64, _ settings: RouterSettings) -> HealthChange? {
        switch event {
        case .pong: self.pong(now, settings)
        case .missed: self.missed(settings)
        case .gone: self.gone()
        case .lost: self.lost(now)
        case .success: self.success()
        case .failure: self.failure(now, settings)
        }
    }

    private mutating func pong(_ now: UInt64, _ settings: RouterSettings) -> HealthChange? {
        self.misses = 0
        self.isGone = false
        switch self.state {
        case .healthy:
            self.forgetOldFailures()
            return nil
        case .suspect:
            self.forgetOldFailures()
            return self.failures == 0 ? self.enter(.healthy, .answered) : nil
        case .ejected:
            guard now >= self.holdEnd else { return nil }
            self.hits = 1
            self.forgetFailures()
            return self.enter(settings.hitsToReturn <= 1 ? .healthy : .probing, .answered)
        case .probing:
            self.hits += 1
            return self.hits >= settings.hitsToReturn ? self.enter(.healthy, .answered) : nil
        }
    }

    private mutating func missed(_ settings: RouterSettings) -> HealthChange? {
        self.misses += 1
        self.hits = 0
        switch self.state {
        case .ejected: return nil
        case .probing: return self.enter(.ejected, .missedPings)
        case .healthy, .suspect:
            if self.misses >= settings.missesToEject { return self.enter(.ejected, .missedPings) }
            return self.state == .healthy ? self.enter(.suspect, .missedPings) : nil
        }
    }

    private mutating func gone() -> HealthChange? {
        self.isGone = true
        self.hits = 0
        return self.state == .ejected ? nil : self.enter(.ejected, .gone)
    }

    private mutating func lost(_ now: UInt64) -> HealthChange? {
        self.failures += 1
        if self.failures == 1 { self.firstFailure = now }
        self.hasFailedSincePong = true
        return self.state == .healthy ? self.enter(.suspect, .connectionLost) : nil
    }

    private mutating func success() -> HealthChange? {
        self.forgetFailures()
        return self.state == .suspect && self.misses == 0 ? self.enter(.healthy, .answered) : nil
    }

    private mutating func failure(_ now: UInt64, _ settings: RouterSettings) -> HealthChange? {
        if self.failures == 0 { self.firstFailure = now }
        self.failures += 1
        self.hasFailedSincePong = true
        guard self.state != .ejected else { return nil }
        if self.failures >= settings.failuresToEject, now.since(self.firstFailure) >= settings.failureSpan {
            // A replica that fails again soon after it was taken back stays out longer each time.
            let quiet = now.since(self.holdEnd) > settings.failureHoldLimit.saturatingAdd(settings.failureHoldLimit)
            self.holds = quiet ? 1 : min(self.holds + 1, 32)
            let (hold, isOver) = settings.failureHold.multipliedReportingOverflow(by: 1 << (self.holds - 1))
            self.holdEnd = now.saturatingAdd(isOver ? settings.failureHoldLimit : min(hold, settings.failureHoldLimit))
            return self.enter(.ejected, .failures)
        }
        // One may be the request's own fault.
        return self.state == .healthy && self.failures >= 2 ? self.enter(.suspect, .failures) : nil
    }

    /// Forgets earlier failures where PINGs are answered and nothing has failed since the last one.
    private mutating func forgetOldFailures() {
        if !self.hasFailedSincePong { self.failures = 0 }
        self.hasFailedSincePong = false
    }

    private mutating func forgetFailures() {
        self.failures = 0
        self.hasFailedSincePong = false
    }

    private mutating func enter(_ state: State, _ reason: HealthChange.Reason) -> HealthChange {
        let change = HealthChange(from: self.state, to: state, reason: reason)
        self.state = state
        return change
    }
}

/// A change of a replica's state, for the log.
package struct HealthChange: Sendable, Equatable {
    package enum Reason: String, Sendable, CaseIterable {
        case answered = "it answers"
        case missedPings = "PING was not answered"
        case gone = "nobody listens there"
        case connectionLost = "a connection was lost"
        case failures = "requests fail"
    }

    package let from: ReplicaHealth.State
    package let to: ReplicaHealth.State
    package let reason: Reason
}
