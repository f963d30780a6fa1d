package import AnnexCore
import AnnexStore
import Glibc

/// A change of what is known of a user, as a client asks for it.
package enum UserChange: Sendable {
    /// - Parameter time: milliseconds since 1970; nil: now, which never replaces another event.
    case event(user: Identifier, item: Identifier, weight: Double, time: Int64?)
    case remove(user: Identifier, item: Identifier)
    case forget(user: Identifier)
}

extension ServedVersion {
    /// Whether changes can be recorded.
    package var keepsState: Bool { self.state != nil }

    /// Has a change made durable, stamped with the time of this call. Does not block.
    ///
    /// With a log it goes through that, and is answered when the log or this replica has it.
    ///
    /// - Parameters:
    ///   - until: milliseconds since 1970 after which it must not begin; nil: whenever it is its turn.
    ///   - completion: runs once, on another thread or right here, and must not block.
    package func record(
        _ change: UserChange,
        until: Int64? = nil,
        _ completion: @escaping @Sendable (Result<RecordedChange, AnnexError>) -> Void
    ) {
        guard let state else {
            let hint = "Start the server with --state DIR"
            return completion(.failure(AnnexError(.usage, "this server keeps no state", hint: hint)))
        }
        let now = state.stamp()
        let stored: StateChange =
            switch change {
            case .event(let user, let item, let weight, let time?):
                .event(user: user, item: item, weight: weight, time: time)
            case .event(let user, let item, let weight, nil):
                .stampedEvent(user: user, item: item, weight: weight, time: now)
            case .remove(let user, let item): .remove(user: user, item: item, time: now)
            case .forget(let user): .forget(user: user, hash: UserHash.of(user.bytes), time: now)
            }
        if let log {
            log.submit(stored, until: until) { result in
                completion(result.map { RecordedChange(wasThere: $0.outcome?.wasThere ?? false, token: $0.token) })
            }
        } else {
            state.submit(stored, until: until) { result in
                completion(result.map { RecordedChange(wasThere: $0.wasThere, token: nil) })
            }
        }
    }

    static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension StateOutcome {
    fileprivate var wasThere: Bool {
        switch self {
        case .added: false
        case .replaced, .unchanged: true
        case .removed(let wasThere), .forgotten(let wasThere): wasThere
        }
    }
}
