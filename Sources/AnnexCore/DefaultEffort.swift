/// The effort of queries that state none, as the build measured it.
package struct DefaultEffort: Equatable, Sendable {
    /// What it takes where each query leaves out its own best `items`.
    package struct LeavingOut: Equatable, Sendable {
        package var items: Int
        package var effort: SearchEffort

        package init(items: Int, effort: SearchEffort) { (self.items, self.effort) = (items, effort) }
    }

    /// Without exclusions.
    package var plain: SearchEffort
    /// Nil where it was not measured.
    package var leavingOut: LeavingOut?

    package init(_ plain: SearchEffort, leavingOut: LeavingOut? = nil) {
        self.plain = plain
        self.leavingOut = leavingOut
    }
}
