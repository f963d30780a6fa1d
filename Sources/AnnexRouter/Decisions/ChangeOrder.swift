/// The subject of a change, as far as its order among others matters.
package struct ChangeSubject: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// The time is nil where the server that receives it gives one, so that it never takes another's place.
        case event(time: Int64?)
        case remove, forget
        /// Several changes that are stored together, of any users.
        case several
    }

    /// Hashes of ids: where two are equal by chance, a change waits without need.
    let user: Int
    let item: Int
    package let kind: Kind

    package init(_ kind: Kind, user: Int, item: Int = 0) {
        (self.kind, self.user, self.item) = (kind, user, item)
    }

    /// Tells whether both orders of the two end in the same.
    package func commutes(with other: ChangeSubject) -> Bool {
        if self.kind == .several || other.kind == .several { return false }
        guard self.user == other.user else { return true }
        if self.kind == .forget || other.kind == .forget { return false }
        guard self.item == other.item else { return true }
        guard case .event(let first) = self.kind, case .event(let second) = other.kind else { return false }
        return first == nil || first != second
    }
}

/// The changes of one client that are under way, and those that wait: two that do not commute are never under way at a time,
/// so that no failure, no second attempt and no other replica can turn them round. All others go at once.
///
/// `Held` is what is kept of a change that waits. O(changes under way and waiting) each.
package struct ChangeOrder<Held> {
    private var underWay: [(ticket: UInt64, subject: ChangeSubject)] = []
    private var waiting: [(subject: ChangeSubject, held: Held)] = []
    private var nextTicket: UInt64 = 0

    package init() {}

    package var isEmpty: Bool { self.underWay.isEmpty && self.waiting.isEmpty }
    package var waitingCount: Int { self.waiting.count }

    /// Returns a ticket for `end`; nil where the change has to wait: `hold` it.
    package mutating func begin(_ subject: ChangeSubject) -> UInt64? {
        guard self.underWay.allSatisfy({ $0.subject.commutes(with: subject) }),
            self.waiting.allSatisfy({ $0.subject.commutes(with: subject) })
        else { return nil }
        return self.enter(subject)
    }

    package mutating func hold(_ subject: ChangeSubject, _ held: Held) { self.waiting.append((subject, held)) }

    /// The change has ended, and nothing of it can be carried out any more.
    package mutating func end(_ ticket: UInt64) {
        guard let index = self.underWay.firstIndex(where: { $0.ticket == ticket }) else { return }
        self.underWay.remove(at: index)
    }

    /// Returns the first of those that wait which may go now; it is under way then.
    package mutating func next() -> (ticket: UInt64, held: Held)? {
        let found = self.waiting.indices.first { index in
            let subject = self.waiting[index].subject
            return self.underWay.allSatisfy { $0.subject.commutes(with: subject) }
                && self.waiting[..<index].allSatisfy { $0.subject.commutes(with: subject) }
        }
        guard let found else { return nil }
        let (subject, held) = self.waiting.remove(at: found)
        return (self.enter(subject), held)
    }

    private mutating func enter(_ subject: ChangeSubject) -> UInt64 {
        self.nextTicket += 1
        self.underWay.append((self.nextTicket, subject))
        return self.nextTicket
    }
}
