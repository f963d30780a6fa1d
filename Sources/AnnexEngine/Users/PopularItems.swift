import AnnexCore
import AnnexIndex
import AnnexStore
import Glibc
import Synchronization

/// The items with the most events, for those of whom nothing is known.
package struct PopularItems: Sendable {
    /// Every item of the version, the one with the most events first; equal ones in the order of ids.
    let order: [Int32]
    /// Events of each ordinal, decayed.
    let counts: [Float]
    /// Events and trained items that were read to count them.
    let readCount: Int
    private let basis: Basis

    /// The sources of a count, so that the next one reads only those that may have changed.
    private struct Basis {
        /// Trained histories that each item is in, users who were forgotten left out.
        var trained: [Int32]
        var forgotten = 0
        /// The state's highest change counter; nil without a state.
        var counter: UInt64?
        var time: Int64
    }

    /// How events fade: one that is a half-life old counts half; nil for not at all.
    package struct Decay: Sendable {
        package var halfLifeDays: Double?

        package init(halfLifeDays: Double?) { self.halfLifeDays = halfLifeDays }

        func weight(of time: Int64, at now: Int64) -> Double {
            guard let halfLifeDays else { return 1 }
            let days = max(0, Double(now) - Double(time)) / 86_400_000
            return exp2(-days / halfLifeDays)
        }
    }

    /// Users of the state whose events are read in one scope.
    private static let usersPerScope = 64

    /// Counts each item of each trained history once, as of the version's cut, and each event of the state that came after
    /// it, or that is of a user without a trained history. O(interactions + events + items log items). Blocks.
    ///
    /// Trained histories are read once for a version, and again where a user was forgotten since. Events are read where anything of
    /// the state has changed; else all counts fade alike, and the order stays.
    ///
    /// - Parameter before: the last count of the same version.
    init(
        of catalogue: Catalogue,
        _ users: KnownUsers,
        decay: Decay,
        now: Int64,
        after before: PopularItems? = nil
    ) throws(AnnexError) {
        let reader = try users.state.map { state throws(AnnexError) in try state.makeReader() }
        var basis = Basis(trained: before?.basis.trained ?? [], time: now)
        try reader?.withRead { view throws(AnnexError) in
            basis.counter = try view.highestCounter
            basis.forgotten = try view.forgottenCount
        }
        let hasTrained = before != nil && before?.basis.forgotten == basis.forgotten
        if let before, hasTrained, before.basis.counter == basis.counter {
            let factor = Float(decay.weight(of: before.basis.time, at: now))
            self.counts = before.counts.map { $0 * factor }
            self.order = before.order
            self.readCount = 0
            self.basis = basis
            return
        }
        var read = 0
        if !hasTrained { basis.trained = try Self.trained(catalogue, users, reader, &read) }
        let weight = users.trainedUntil.map { decay.weight(of: $0, at: now) } ?? 1
        var counts = basis.trained.map { Double($0) * weight }
        if let reader { try Self.add(reader, catalogue, users, decay, now, to: &counts, &read) }
        self.counts = counts.map { Float($0) }
        let found = self.counts
        self.order = (0..<Int32(found.count)).sorted {
            (found[Int($1)], $0) < (found[Int($0)], $1)
        }
        self.readCount = read
        self.basis = basis
    }

    private static func trained(
        _ catalogue: Catalogue,
        _ users: KnownUsers,
        _ reader: StateReader?,
        _ read: inout Int
    ) throws(AnnexError) -> [Int32] {
        var trained = [Int32](repeating: 0, count: catalogue.count)
        try users.store?.forEachHistory { id, history throws(AnnexError) in
            if let reader, try reader.withRead({ view throws(AnnexError) in try view.hasForgotten(id) }) { return }
            read += history.count
            for index in 0..<history.count { trained[Int(history.ordinal(index))] += 1 }
        }
        return trained
    }

    private static func add(
        _ reader: StateReader,
        _ catalogue: Catalogue,
        _ known: KnownUsers,
        _ decay: Decay,
        _ now: Int64,
        to counts: inout [Double],
        _ read: inout Int
    ) throws(AnnexError) {
        let items = try catalogue.makeReader()
        let trained = try known.store.map { users throws(AnnexError) in try users.makeReader() }
        var last: [UInt8]?
        while true {
            let users = try reader.withRead { view throws(AnnexError) in
                let users = try view.users(after: last, limit: Self.usersPerScope)
                for user in users {
                    let isTrained = trained?.withHistory(of: user.span) { $0 != nil } ?? false
                    let cut = isTrained ? known.trainedUntil : nil
                    try view.forEachEvent(of: user.span, newestFirst: true) { item, _, time throws(AnnexError) in
                        read += 1
                        if let cut, time <= cut { return false }
                        if let ordinal = items.ordinal(of: item) {
                            counts[Int(ordinal)] += decay.weight(of: time, at: now)
                        }
                        return true
                    }
                }
                return users
            }
            guard let end = users.last else { return }
            last = end
        }
    }
}

/// When to count anew what is popular: each minute, but for at most a fiftieth of a thread's time.
package enum PopularitySchedule {
    package static let leastSeconds = 60.0
    private static let share = 0.02

    /// - Parameter spent: how long the last count took, in seconds.
    /// - Returns: seconds from its end to the next.
    package static func pause(afterSpending spent: Double) -> Double {
        max(Self.leastSeconds, spent * (1 / Self.share - 1))
    }
}
