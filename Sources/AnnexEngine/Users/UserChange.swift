package import AnnexCore
import AnnexStore

/// A change of what is known of a user, as a client asks for it.
package enum UserChange: Sendable {
    /// - Parameter time: milliseconds since 1970; nil: now, which never replaces another event.
    case event(user: Identifier, item: Identifier, weight: Double, time: Int64?)
    case remove(user: Identifier, item: Identifier)
    case forget(user: Identifier)
}

extension ServedVersion {
    /// Tells whether changes can be recorded.
    package var keepsState: Bool { self.state != nil }

    /// Has changes made durable together, stamped with the time of this call: all of them or none. Does not block.
    ///
    /// With a log they go through that, and are answered when the log or this replica has them; the log keeps the changes of
    /// each slot together, and each slot's are answered by themselves.
    ///
    /// - Parameters:
    ///   - changes: at least one.
    ///   - until: milliseconds since 1970 after which they must not begin; nil: whenever it is their turn.
    ///   - completion: runs once for each group of changes, given by their indices, on another thread or right here, and must
    ///     not block.
    package func record(
        _ changes: [UserChange],
        until: Int64? = nil,
        _ completion: @escaping @Sendable (_ indices: [Int], Result<RecordedChanges, AnnexError>) -> Void
    ) {
        let all = Array(changes.indices)
        guard let state else {
            let hint = "Start the server with --state DIR"
            return completion(all, .failure(AnnexError(.usage, "this server keeps no state", hint: hint)))
        }
        let stored = changes.map { StateChange($0, stamp: state.stamp()) }
        guard let log else {
            return state.submit(StateChange(together: stored), until: until) { result in
                completion(all, result.map { RecordedChanges(wereThere: $0.wereThere, token: nil) })
            }
        }
        for indices in Self.bySlot(changes) {
            log.submit(StateChange(together: indices.map { stored[$0] }), until: until) { result in
                completion(
                    indices,
                    result.map { done in
                        let wereThere = done.outcome?.wereThere ?? indices.map { _ in false }
                        return RecordedChanges(wereThere: wereThere, token: done.token)
                    }
                )
            }
        }
    }

    /// Indices of the changes of each slot; slots and changes in the order in which they come.
    private static func bySlot(_ changes: [UserChange]) -> [[Int]] {
        guard changes.count > 1 else { return [Array(changes.indices)] }
        var groups: [[Int]] = []
        var groupOfSlot: [Int: Int] = [:]
        for (index, change) in changes.enumerated() {
            let slot = change.slot
            if let group = groupOfSlot[slot] {
                groups[group].append(index)
            } else {
                groupOfSlot[slot] = groups.count
                groups.append([index])
            }
        }
        return groups
    }
}

extension UserChange {
    /// Returns the slot of the user that it changes.
    package var slot: Int { Slot.of(self.user.bytes) }

    fileprivate var user: Identifier {
        switch self {
        case .event(let user, _, _, _), .remove(let user, _), .forget(let user): user
        }
    }
}

extension StateChange {
    fileprivate init(_ change: UserChange, stamp: Int64) {
        switch change {
        case .event(let user, let item, let weight, let time?):
            self = .event(user: user, item: item, weight: weight, time: time)
        case .event(let user, let item, let weight, nil):
            self = .stampedEvent(user: user, item: item, weight: weight, time: stamp)
        case .remove(let user, let item): self = .remove(user: user, item: item, time: stamp)
        case .forget(let user): self = .forget(user: user, hash: UserHash.of(user.bytes), time: stamp)
        }
    }
}

extension StateOutcome {
    /// Tells for each change whether anything was there before.
    fileprivate var wereThere: [Bool] {
        switch self {
        case .added: [false]
        case .replaced, .unchanged: [true]
        case .removed(let wasThere), .forgotten(let wasThere): [wasThere]
        case .together(let outcomes): outcomes.flatMap(\.wereThere)
        }
    }
}
