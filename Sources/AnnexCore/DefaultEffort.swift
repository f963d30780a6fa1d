/// Says with which effort queries that state none are answered, as the build measured it.
package struct DefaultEffort: Equatable, Sendable {
    /// Holds the effort for queries that leave out their own best `items` items.
    package struct LeavingOut: Equatable, Sendable {
        package var items: Int
        package var effort: SearchEffort

        package init(items: Int, effort: SearchEffort) { (self.items, self.effort) = (items, effort) }
    }

    /// Holds the effort for queries that leave nothing out.
    package var plain: SearchEffort
    /// It is nil where it was not measured.
    package var leavingOut: LeavingOut?

    package init(_ plain: SearchEffort, leavingOut: LeavingOut? = nil) {
        self.plain = plain
        self.leavingOut = leavingOut
    }
}
