/// Who is well, by PINGs alone: out after some in a row went unanswered, back after some in a row were answered.
package struct PingTally: Sendable {
    package static let misses = 3
    package static let hits = 2

    package private(set) var isWell = true
    /// Counts the PINGs in a row that speak against `isWell`.
    private var against = 0

    package init() {}

    /// Tells whether `isWell` changed.
    package mutating func add(answered: Bool) -> Bool {
        guard answered != self.isWell else {
            self.against = 0
            return false
        }
        self.against += 1
        guard self.against >= (self.isWell ? Self.misses : Self.hits) else { return false }
        self.isWell.toggle()
        self.against = 0
        return true
    }
}
