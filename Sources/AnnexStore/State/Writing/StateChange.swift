package import AnnexCore

/// One change of a user's state. Times are milliseconds since 1970, any `Int64`.
package enum StateChange: Sendable {
    /// The same user, item and time again replaces the weight; another time is another event. The weight is finite.
    case event(user: Identifier, item: Identifier, weight: Double, time: Int64)
    /// The event was stamped by its receiver with its own clock, and never replaces another. Where the user has an
    /// event with the item at this time already, it gets the next millisecond that is free, so that events that come at
    /// one time add up.
    case stampedEvent(user: Identifier, item: Identifier, weight: Double, time: Int64)
    /// Deletes all events of the user with the item, whatever their times, and leaves a tombstone; of several times the
    /// latest stays.
    case remove(user: Identifier, item: Identifier, time: Int64)
    /// Deletes all that is stored of the user and leaves a tombstone under `hash`: 16 bytes, the first of the SHA-256
    /// of the user's id. Of several times the latest stays.
    case forget(user: Identifier, hash: [UInt8], time: Int64)
    /// Several changes are made in this order and in one transaction. None of them is of this case.
    case together([StateChange])

    /// - Parameter changes: at least one, none of them several.
    package init(together changes: [StateChange]) { self = changes.count == 1 ? changes[0] : .together(changes) }

    /// It is nil where the change can be stored.
    var fault: AnnexError? {
        switch self {
        case .event(_, _, let weight, _) where !weight.isFinite,
            .stampedEvent(_, _, let weight, _) where !weight.isFinite:
            AnnexError(.badInput, "an event's weight of \(weight)", hint: "Give a finite number")
        case .forget(_, let hash, _) where hash.count != StateSchema.hashBytes:
            AnnexError(.usage, "a user's hash of \(hash.count) bytes", hint: "Give \(StateSchema.hashBytes)")
        case .together(let changes): changes.lazy.compactMap(\.fault).first
        default: nil
        }
    }

    /// Returns the time that the server that received the change gave it; of several changes the latest. It is nil
    /// where the client gave the time.
    var stamp: Int64? {
        switch self {
        case .event: nil
        case .stampedEvent(_, _, _, let time), .remove(_, _, let time), .forget(_, _, let time): time
        case .together(let changes): changes.compactMap(\.stamp).max()
        }
    }

    var isEvent: Bool {
        switch self {
        case .event, .stampedEvent: true
        case .remove, .forget: false
        case .together(let changes): changes.contains(where: \.isEvent)
        }
    }
}

extension StateChange {
    /// Tells whether its reply does not depend on what was there.
    package var isOnlyEvents: Bool {
        guard case .together(let changes) = self else { return self.isEvent }
        return changes.allSatisfy(\.isEvent)
    }

    /// The answer where events are acknowledged before they are durable.
    var earlyOutcome: StateOutcome {
        guard case .together(let changes) = self else { return .added }
        return .together(changes.map { _ in .added })
    }
}

/// The effect of a change, once it is durable.
package enum StateOutcome: Sendable, Equatable {
    case added
    /// The event was there with another weight.
    case replaced
    /// The event was there with this weight: nothing was written.
    case unchanged
    /// `wasThere` says that there was any event of the user with the item.
    case removed(wasThere: Bool)
    /// `wasThere` says that there was any event or tombstone of the user.
    case forgotten(wasThere: Bool)
    /// The outcomes of several changes, one by one.
    case together([StateOutcome])
}
