import AnnexCore
import AnnexStore
import AnnexTestSupport
import Foundation
import Synchronization
import Testing

/// What the store promises, in dictionaries keyed by bytes.
struct StateModel {
    struct Key: Hashable, Comparable {
        let time: Int64
        let item: Identifier
        static func < (a: Key, b: Key) -> Bool { a.time == b.time ? a.item < b.item : a.time < b.time }
    }

    struct User: Equatable {
        var events: [Key: Double] = [:]
        var removed: [Identifier: Int64] = [:]
    }

    var users: [Identifier: User] = [:]
    var forgotten: [[UInt8]: Int64] = [:]
    /// Users that have a mark.
    var known: Set<Identifier> = []

    var events: Int { self.users.values.reduce(0) { $0 + $1.events.count } }
    var usersWithEvents: Int { self.users.values.count { !$0.events.isEmpty } }

    /// Not SHA-256, which the store does not care for.
    static func hash(_ user: Identifier) -> [UInt8] {
        var random = SeededRandom(seed: user.bytes.reduce(5381) { ($0 &* 33) ^ UInt64($1) })
        return (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    mutating func apply(_ change: StateChange) -> StateOutcome {
        switch change {
        case .event(let user, let item, let weight, let time):
            self.known.insert(user)
            let old = self.users[user, default: User()].events.updateValue(weight, forKey: Key(time: time, item: item))
            return old == nil ? .added : old?.bitPattern == weight.bitPattern ? .unchanged : .replaced
        case .stampedEvent(let user, let item, let weight, let time):
            self.known.insert(user)
            let newest = self.users[user]?.events.keys.map(\.time).max() ?? Int64.min
            let free = self.stamp(user, item, time, newest)
            self.users[user, default: User()].events[Key(time: free, item: item)] = weight
            return .added
        case .remove(let user, let item, let time):
            self.known.insert(user)
            var state = self.users[user, default: User()]
            let before = state.events.count
            state.events = state.events.filter { $0.key.item != item }
            state.removed[item] = max(time, state.removed[item] ?? time)
            self.users[user] = state
            return .removed(wasThere: state.events.count < before)
        case .forget(let user, let hash, let time):
            self.known.remove(user)
            let old = self.users.removeValue(forKey: user) ?? User()
            self.forgotten[hash] = max(time, self.forgotten[hash] ?? time)
            return .forgotten(wasThere: old != User())
        case .together(let changes): return .together(changes.map { self.apply($0) })
        }
    }

    /// Behind the user's newest event where that is less than 10 s ahead; otherwise behind the item's last event within 10
    /// s, or 20 s where those are full, and so on.
    private func stamp(_ user: Identifier, _ item: Identifier, _ time: Int64, _ newest: Int64) -> Int64 {
        let (lead, isOver) = newest.subtractingReportingOverflow(time)
        if newest < time { return time }
        if !isOver, lead < 10_000, newest < Int64.max { return newest + 1 }
        let taken = Set((self.users[user]?.events.keys).map { $0.filter { $0.item == item }.map(\.time) } ?? [])
        var window: Int64 = 10_000
        while let last = taken.filter({ $0 >= time && $0 < time + window }).max() {
            if last + 1 < time + window { return last + 1 }
            window *= 2
        }
        return time
    }

    /// Compares all of one user, in both directions.
    func expectEqual(_ reader: StateReader, _ user: Identifier) throws {
        let expected = self.users[user] ?? User()
        let found = try reader.user(user)
        #expect(
            found.events == expected.events.keys.sorted().map { StateEvent($0.item, expected.events[$0], $0.time) },
            "\(user)"
        )
        #expect(found.removed == expected.removed, "\(user)")
        #expect(found.forgottenAt == self.forgotten[Self.hash(user)], "\(user)")
        #expect((found.mark != nil) == self.known.contains(user), "\(user)")
        #expect(found.mark?.eventCount ?? 0 == expected.events.count, "\(user)")
        #expect(found.mark?.newest == expected.events.keys.map(\.time).max(), "\(user)")
    }
}

struct StateEvent: Equatable {
    let item: [UInt8]
    let weight: UInt64
    let time: Int64
    init(_ item: Identifier, _ weight: Double?, _ time: Int64) {
        (self.item, self.weight, self.time) = (item.bytes, (weight ?? .nan).bitPattern, time)
    }
    init(_ item: [UInt8], _ weight: Double, _ time: Int64) {
        (self.item, self.weight, self.time) = (item, weight.bitPattern, time)
    }
}

extension StateReader {
    /// All of a user; events by time, and within a time by id.
    func user(
        _ user: Identifier
    ) throws -> (events: [StateEvent], removed: [Identifier: Int64], mark: StateMark?, forgottenAt: Int64?) {
        var events: [StateEvent] = []
        var backwards: [StateEvent] = []
        var removed: [Identifier: Int64] = [:]
        var mark: StateMark?
        var forgotten: Int64?
        do {
            let id = user.bytes
            try self.withRead { view throws(AnnexError) in
                mark = try view.mark(of: id.span)
                try view.forEachEvent(of: id.span, newestFirst: false) { item, weight, time throws(AnnexError) in
                    events.append(StateEvent(Array(copying: item), weight, time))
                    return true
                }
                try view.forEachEvent(of: id.span, newestFirst: true) { item, weight, time throws(AnnexError) in
                    backwards.append(StateEvent(Array(copying: item), weight, time))
                    return true
                }
                try view.forEachRemoved(of: id.span) { item, time throws(AnnexError) in
                    if let item = Identifier(Array(copying: item)) { removed[item] = time }
                    return true
                }
            }
        }
        let hash = StateModel.hash(user)
        try self.withRead { view throws(AnnexError) in forgotten = try view.forgottenAt(hash: hash) }
        #expect(backwards == events.reversed())
        let times = events.map(\.time)
        #expect(times == times.sorted())
        events.sort {
            $0.time == $1.time ? $0.item.lexicographicallyPrecedes($1.item) : $0.time < $1.time
        }
        return (events, removed, mark, forgotten)
    }
}

extension StateStore {
    /// Submits all, then waits for all.
    func apply(_ changes: [StateChange]) -> [Result<StateOutcome, AnnexError>] {
        let results = Mutex([Result<StateOutcome, AnnexError>?](repeating: nil, count: changes.count))
        let done = DispatchGroup()
        for (index, change) in changes.enumerated() {
            done.enter()
            self.submit(change) { result in
                results.withLock { $0[index] = result }
                done.leave()
            }
        }
        #expect(done.wait(timeout: .now() + 60) == .success, "no answer")
        return results.withLock { $0.compactMap(\.self) }
    }

    func apply(_ change: StateChange) throws -> StateOutcome {
        let results = self.apply([change])
        return try #require(results.first).get()
    }
}

/// Ids for tests.
func identifier(_ text: String) throws -> Identifier { try #require(Identifier(text)) }
